// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// XFS made by mkfs.xfs(8), filled through the kernel's own driver, which is the oracle.
@Suite(.enabled(if: XFSVolume.isPossible))
struct XFSReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    private func make(_ arguments: [String], sectorSize: Int = 512, megabytes: Int = 96) throws -> XFSVolume {
        try XFSVolume(in: folder, arguments, sectorSize: sectorSize, megabytes: megabytes)
    }

    @Test(
        arguments: [
            (["-b", "size=1024", "-L", "ten chars"], 512), (["-m", "reflink=1,rmapbt=1"], 512),
            (["-b", "size=2048", "-n", "size=8192"], 512), ([], 4096), (["-i", "size=2048", "-n", "size=16384"], 4096),
            (["-l", "su=32768", "-d", "agcount=5"], 512), (["-i", "sparse=1", "-m", "bigtime=1,inobtcount=1"], 512),
        ] as [([String], Int)])
    func readsWhatTheKernelReads(_ arguments: [String], sectorSize: Int) throws {
        let volume = try make(arguments, sectorSize: sectorSize)
        var expected: [String: String] = [:]
        try volume.mounted { folder in
            try Trees.make(in: folder, many: 1500)
            // Every second block of many: more extents than an inode holds.
            let fragmented = try FileSink(creating: "\(folder)/fragmented")
            var generator = SeededGenerator(seed: 7)
            for block in 0..<900 { try fragmented.write(generator.bytes(4096), at: Int64(block) * 8192) }
            try fragmented.close()
            // Allocated, never written.
            try Tool.output("fallocate", ["--length", "100000", "\(folder)/unwritten"])
            expected = try Trees.ofKernel(folder)
        }
        let reader = try volume.reader()
        #expect(Trees.differences(try Trees.ofReader(reader), expected) == [])
        #expect(reader.state == .clean)
        #expect(try XFSVolume.isCleanForXfsprogs(volume.file))
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", volume.file])
        #expect(blkid.contains("\nTYPE=xfs\n") && blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-L") ? "ten chars" : nil))
        #expect(try reader.text("links/escape") == "ID=test\nVERSION_ID=\"1\"\n")
        #expect(expected.count > 1500)
    }

    /// Version 4, and blocks larger than a page: a protofile makes mkfs.xfs put the files in.
    @Test(
        arguments: [
            (["-m", "crc=0", "-b", "size=512", "-n", "size=4096"], 512), (["-m", "crc=0", "-n", "ftype=0"], 512),
            (["-m", "crc=0,finobt=0", "-i", "size=256"], 512), (["-m", "crc=0", "-n", "size=32768"], 4096),
            (["-b", "size=8192"], 512), (["-b", "size=16384"], 4096), (["-b", "size=65536"], 512),
        ] as [([String], Int)])
    func readsWhatTheKernelHereCannotMount(_ arguments: [String], sectorSize: Int) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 400)
        try Trees.write(try Trees.protofile(tree, without: XFSVolume.isUnwritable), to: folder.file("proto"))
        let volume = try make(arguments + ["-p", folder.file("proto")], sectorSize: sectorSize, megabytes: 400)
        let reader = try volume.reader()
        let expected = try Trees.ofKernel(tree).filter { !$0.key.contains(" ") && !XFSVolume.isUnwritable($0.key) }
        #expect(Trees.differences(try Trees.ofReader(reader), expected) == [])
        #expect(reader.state == .clean)
        #expect(try XFSVolume.isCleanForXfsprogs(volume.file))
    }

    @Test func tellsALogThatIsNotClean() throws {
        let volume = try make(["-l", "size=10m"])
        #expect(try volume.reader().state == .clean)
        try volume.mounted { folder in
            try Trees.make(in: folder, many: 40)
            try Tool.output("sync", ["-f", folder])
            #expect(try volume.reader().state == .needsRecovery)
            try Tool.output("xfs_io", ["-x", "-c", "shutdown -f", folder])
        }
        #expect(try XFSVolume.isCleanForXfsprogs(volume.file) == false)
        #expect(try volume.reader().state == .needsRecovery)
        try Tool.output("xfs_repair", ["-L", volume.file])
        #expect(try XFSVolume.isCleanForXfsprogs(volume.file))
        #expect(try volume.reader().state == .clean)
    }

    /// The ring goes round, with every stop at another place, properly or by a cut.
    @Test(arguments: [["-l", "size=2560b"], ["-l", "size=2560b,su=65536"], ["-l", "size=4608b,su=262144"]])
    func agreesWithXfsprogsOnTheLog(_ arguments: [String]) throws {
        let volume = try make(arguments)
        var states: [Bool] = []
        var heads: [Int] = []
        for round in 0..<9 {
            try volume.mounted { folder in
                for index in 0..<(300 + round * 37) { try Trees.write("", to: "\(folder)/r\(round)-\(index)") }
                // Each call is a record of its own.
                let descriptor = open("\(folder)/synced", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
                for index in 0..<950 {
                    _ = ftruncate(descriptor, off_t(index * 700 + round))
                    #expect(fsync(descriptor) == 0)
                }
                close(descriptor)
                for index in 0..<250 { unlink("\(folder)/r\(round)-\(index)") }
                if round % 3 == 2 { try Tool.output("xfs_io", ["-x", "-c", "shutdown -f", folder]) }
            }
            let text = try Tool.output("xfs_logprint", ["-t", volume.file])
            states.append(text.contains("<CLEAN>"))
            heads.append(text.firstMatch(of: /head: (\d+)/).flatMap { Int($0.output.1) } ?? -1)
            #expect(try volume.reader().state == (states[round] ? .clean : .needsRecovery), "round \(round)")
        }
        #expect(states == (0..<9).map { $0 % 3 != 2 })
        #expect(heads != heads.sorted(), "the log never came round: \(heads)")
    }

    @Test(arguments: [["-m", "crc=0"], []]) func damageIsAnErrorAtMost(_ arguments: [String]) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 300)
        try Trees.write(try Trees.protofile(tree, without: XFSVolume.isUnwritable), to: folder.file("proto"))
        let volume = try make(arguments + ["-p", folder.file("proto")], megabytes: 48)
        let whole = try SmallFile.read(volume.file, limit: 1 << 30)
        let magics: [[UInt8]] =
            ["XFSB", "IN", "XD2", "XDD3", "XDB3", "XSLM"].map { Array($0.utf8) } + [[0xfe, 0xed, 0xba, 0xbe]]
        let ranges = Damage.metadata(whole, blockSize: 512) { block in magics.contains { block.starts(with: $0) } }
        #expect(ranges.count > 200)
        Damage.flip(whole, in: ranges + [0..<256], count: 150, seed: 9, type: "xfs")
        for length in [0, 4, 511, 512, 4096, 1 << 20] {
            #expect((try? FileSystemKind.open(MemoryVolume(Array(whole.prefix(length))))) == nil, "\(length)")
        }
    }
}
