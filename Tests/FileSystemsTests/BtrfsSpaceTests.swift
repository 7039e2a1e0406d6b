// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Free space of btrfs, held against btrfs-progs and the kernel.
@Suite(.enabled(if: Tool.isInstalled("mkfs.btrfs", "btrfs") && LoopDevice.areAvailable && Mount.isPossible))
struct BtrfsSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    private func make(_ arguments: [String], megabytes: Int = 300, name: String = "image") throws -> String {
        let file = folder.file(name)
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mkfs.btrfs", ["-q", "-f"] + arguments + [file])
        return file
    }

    private func mounted(_ file: String, _ options: String, _ body: (String) throws -> Void) throws {
        let point = access(folder.file("mnt"), F_OK) == 0 ? folder.file("mnt") : try folder.folder("mnt")
        let loop = try LoopDevice(file)
        let mount = try Mount(["-t", "btrfs", "-o", options, loop.path], at: point, keeping: loop)
        try withExtendedLifetime(mount) { try body(point) }
    }

    private func use(_ file: String, isChecked: Bool = true) throws -> SpaceUse {
        try #require(try FileSystemKind.open(FileSource(file))).spaceUse(SpaceOptions(isChecked: isChecked))
    }

    /// Makes files, and deletes and overwrites some, several times over.
    private func age(_ folder: String, seed: UInt64, count: Int = 150) throws {
        var generator = SeededGenerator(seed: seed)
        let text = SampleContent.bytes(.mixed, length: 2_000_000, seed: seed)
        for round in 0..<3 {
            for index in 0..<count {
                let path = "\(folder)/aged-\(Int.random(in: 0..<count * 2, using: &generator))"
                if index % 5 == 4 {
                    unlink(path)
                    continue
                }
                let length = [100, 5000, 70_000, 400_000][Int(generator.next() % 4)]
                let start = Int.random(in: 0..<text.count - length, using: &generator)
                try SampleContent.write(Array(text[start..<start + length]), to: path)
            }
            if round < 2 { try Tool.output("sync", ["-f", folder]) }
        }
        try Tool.output("fallocate", ["--length", "300000", "\(folder)/unwritten"])
        try Tool.output("cp", ["--reflink=always", "\(folder)/unwritten", "\(folder)/copy"])
    }

    /// Checks that a copy of `file` without what is free is as good as `file`; returns what was said to be free.
    @discardableResult
    private func checkCopy(of file: String, _ expected: [String: String]) throws -> SpaceUse {
        let copy = folder.file("copy")
        unlink(copy)
        let use = try Skipping.copy(file, to: copy)
        let free = try BtrfsDump(file).free()
        #expect(use.free.ranges == free)
        #expect((use.checkedExtents ?? 0) > 10)
        // Its checksums of data too: what is read of a file is what was written.
        try Tool.output("btrfs", ["check", "--readonly", "--check-data-csum", copy])
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(Trees.differences(try Trees.ofReader(reader), expected) == [])
        return use
    }

    @Test(arguments: [
        [], ["-n", "4096", "-m", "single"], ["-n", "65536", "-d", "dup"], ["--mixed"], ["-R", "^free-space-tree"],
        ["-O", "^no-holes,^extref,^skinny-metadata"], ["-R", "quota"],
    ])
    func freeSpaceIsWhatNothingUses(_ arguments: [String]) throws {
        let file = try make(arguments)
        var expected: [String: String] = [:]
        try mounted(file, arguments.isEmpty ? "compress-force=zstd" : "defaults") { folder in
            try Trees.make(in: folder, many: 300)
            try age(folder, seed: 7)
            try Tool.output("btrfs", ["subvolume", "snapshot", folder, "\(folder)/snap"])
            try age(folder, seed: 8, count: 40)
            expected = try Trees.ofKernel(folder)
        }
        let use = try checkCopy(of: file, expected)
        #expect(use.free.totalLength > 100 << 20 && use.free.ranges.count > 20)
        try mounted(folder.file("copy"), "ro") { folder in
            let found = try Trees.ofKernel(folder)
            #expect(Trees.differences(found, expected) == [])
        }
    }

    @Test(arguments: [
        [], ["-m", "single", "--shrink"], ["-s", "16384", "-n", "16384"], ["-s", "65536", "-n", "65536"],
    ])
    func whatMkfsFilledItself(_ arguments: [String]) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 300)
        let file = try make(arguments + ["-r", tree])
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let free = try BtrfsDump(file).free()
        #expect(use.free.ranges == free)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(Trees.differences(try Trees.ofReader(reader), try Trees.ofKernel(tree)) == [])
    }

    @Test func tellsWhenItDoesNotKnow() throws {
        let file = try make(["--csum", "sha256"])
        #expect(throws: FileSystemError(file, .unsupported("a checksum that is not CRC-32C"))) { try use(file) }
        let image = try BtrfsImage(try make(["-m", "single"], megabytes: 120))
        _ = try image.use()
        // Offset in the superblock, bits, whether the state says so.
        let flags: [(offset: Int, bit: Int, isClean: Bool)] = [
            (56, 32, true), (56, 33, false), (56, 34, false), (56, 36, false), (56, 38, false), (96, 12, false),
            (180, 9, true), (188, 12, true),
        ]
        for (offset, bit, isClean) in flags {
            var changed = image
            changed.set(changed.number(at: 65536 + offset) | 1 << UInt64(bit), at: 65536 + offset)
            changed.sealSuperblock()
            let reader = try #require(try FileSystemKind.open(changed.volume))
            #expect((reader.state == .clean) == isClean, "\(offset)")
            #expect(throws: FileSystemError.self, "\(offset)") { try reader.spaceUse(SpaceOptions()) }
        }
        // The copy at 64 MiB is younger.
        var younger = image
        younger.set(younger.number(at: (64 << 20) + 72) + 1, at: (64 << 20) + 72)
        younger.seal(64 << 20, count: 4096)
        #expect(throws: FileSystemError.self) { try younger.use() }
        // It is stopped at once.
        let reader = try #require(try FileSystemKind.open(image.volume))
        #expect(throws: FileSystemError(reader.volume, .stopped)) {
            try reader.spaceUse(SpaceOptions(goesOn: { false }))
        }
    }
}
