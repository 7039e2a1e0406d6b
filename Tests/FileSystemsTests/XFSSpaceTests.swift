// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Synchronization
internal import TestSupport
internal import Testing

/// Free space of XFS, held against xfsprogs and the kernel.
@Suite(.enabled(if: XFSVolume.isPossible))
struct XFSSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try XFSVolume.folder() }

    @Test(
        arguments: [
            ([], 512, 160), (["-m", "rmapbt=1,reflink=1"], 512, 160),
            (["-m", "rmapbt=1", "-d", "agcount=7"], 512, 160),
            (["-b", "size=1024", "-m", "reflink=0"], 512, 160), (["-b", "size=2048", "-n", "size=8192"], 512, 160),
            (["-i", "nrext64=1,size=1024", "-m", "finobt=0,inobtcount=0"], 512, 160), (["-l", "su=262144"], 4096, 192),
            (["-i", "sparse=0,size=2048", "-m", "bigtime=0"], 4096, 192),
        ] as [([String], Int, Int)])
    func agreesWithXfsprogsOnWhatIsFree(_ arguments: [String], sectorSize: Int, megabytes: Int) throws {
        let volume = try XFSVolume(in: folder, arguments, sectorSize: sectorSize, megabytes: megabytes)
        try volume.mounted { folder in
            try Trees.make(in: folder, many: 300)
            try XFSVolume.age(folder, seed: 3)
        }
        var expected: [String: String] = [:]
        try volume.mounted(options: "ro") { expected = try Trees.ofKernel($0) }
        try check(volume, expected: expected)
        #expect(expected.count > 1200)
    }

    /// Version 4, and the sizes at both ends: a protofile makes mkfs.xfs put the files in.
    @Test(
        arguments: [
            (["-m", "crc=0", "-b", "size=512", "-n", "size=4096"], 512), (["-m", "crc=0", "-l", "lazy-count=0"], 512),
            (["-m", "crc=0", "-i", "size=256", "-l", "version=1"], 512), (["-m", "crc=0"], 4096),
            (["-b", "size=8192"], 512), (["-b", "size=65536"], 4096), (["-b", "size=65536", "-i", "size=512"], 512),
        ] as [([String], Int)])
    func agreesOnWhatTheKernelMayNotMount(_ arguments: [String], sectorSize: Int) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 400)
        try Trees.write(try Trees.protofile(tree, without: XFSVolume.isUnwritable), to: folder.file("proto"))
        let volume = try XFSVolume(
            in: folder, arguments + ["-p", folder.file("proto")], sectorSize: sectorSize, megabytes: 400)
        try check(volume, expected: nil)
    }

    /// Holds our free space, and a copy without it, against xfs_db(8), xfs_repair(8) and the files.
    private func check(_ volume: XFSVolume, expected: [String: String]?) throws {
        let reader = try volume.reader()
        #expect(reader.state == .clean)
        let copy = folder.file("copy")
        let use = try Skipping.copy(volume.file, to: copy)
        let oracle = try volume.freeBytes()
        #expect(use.free.totalLength == oracle)
        #expect(use.free.ranges.count > (expected == nil ? 0 : 300))
        #expect(use.checkedExtents ?? 0 > 100)
        let unchecked = try reader.spaceUse(SpaceOptions(isChecked: false))
        #expect(unchecked.free == use.free && unchecked.checkedExtents == nil)
        let repair = try Tool.run("xfs_repair", ["-n", copy])
        #expect(repair.status == 0, "\(repair.output)\(repair.errors)")
        let original = try expected ?? Trees.ofReader(reader)
        let copied = try #require(try FileSystemKind.open(FileSource(copy)))
        let read = try Trees.ofReader(copied)
        #expect(Trees.differences(read, original) == [])
        guard let expected else { return }
        try volume.mounted(copy, options: "ro,norecovery") {
            let mounted = try Trees.ofKernel($0)
            #expect(Trees.differences(mounted, expected) == [])
        }
    }

    @Test func refusesWhatLiesOnOtherDevices() throws {
        let other = folder.file("other")
        try Tool.output("truncate", ["--size", "64M", other])
        for arguments in [["-l", "logdev=\(other),size=32m"], ["-r", "rtdev=\(other)"]] {
            let reader = try XFSVolume(in: folder, arguments).reader()
            #expect(arguments[0] == "-r" || reader.state != .clean)
            let error = #expect(throws: FileSystemError.self) { try reader.spaceUse(SpaceOptions()) }
            guard case .unsupported? = error?.cause else {
                Issue.record("\(arguments): \(String(describing: error))")
                continue
            }
        }
    }

    @Test func stopsWhenAsked() throws {
        let volume = try XFSVolume(in: folder, ["-m", "rmapbt=1"], megabytes: 160)
        try volume.mounted { try XFSVolume.age($0, seed: 1) }
        let reader = try volume.reader()
        let pieces = try #require(try reader.spaceUse(SpaceOptions()).checkedExtents)
        for most in 0..<pieces / 4096 {
            let calls = Mutex(0)
            let options = SpaceOptions(goesOn: {
                calls.withLock {
                    $0 += 1
                    return $0 <= most
                }
            })
            let error = #expect(throws: FileSystemError.self) { try reader.spaceUse(options) }
            #expect(error?.cause == .stopped)
        }
    }
}
