// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// ext2, ext3 and ext4 made by mke2fs(8), which also puts the files in.
@Suite(.enabled(if: Tool.isInstalled("mkfs.ext4", "tune2fs", "debugfs"))) struct ExtReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func image(_ arguments: [String], many: Int = 300, megabytes: Int = 24) throws -> String {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: many)
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mke2fs", ["-q", "-F", "-d", tree] + arguments + [file])
        return file
    }

    @Test(
        arguments: [
            (["-t", "ext2", "-b", "1024"], "ext2"), (["-t", "ext3", "-b", "2048"], "ext3"),
            (["-t", "ext4", "-b", "4096", "-L", "root fs"], "ext4"), (["-t", "ext4", "-b", "1024"], "ext4"),
            (["-t", "ext4", "-b", "4096", "-O", "inline_data,bigalloc,meta_bg,^resize_inode", "-N", "3000"], "ext4"),
            (["-t", "ext4", "-b", "65536", "-O", "^has_journal"], "ext4"),
            (["-t", "ext4", "-O", "^64bit,^metadata_csum"], "ext4"),
        ] as [([String], String)])
    func readsWhatWasPutIn(_ arguments: [String], type: String) throws {
        let file = try image(arguments, megabytes: arguments.contains("65536") ? 96 : 24)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        var expected = try Trees.ofKernel(folder.file("tree"))
        var found = try Trees.ofReader(reader)
        if arguments.contains(where: { $0.contains("inline_data") }) {
            // Then mke2fs 1.47.0 ends a file at its last written block: debugfs(8) sees the same.
            found["/sizes/sparse"] = nil
            expected["/sizes/sparse"] = nil
        }
        #expect(Trees.differences(found, expected) == [])
        #expect(reader.kind.rawValue == type)
        #expect(reader.state == .clean)
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", file])
        #expect(blkid.contains("\nTYPE=\(reader.kind.rawValue)\n"))
        #expect(blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-L") ? "root fs" : nil))
    }

    @Test func followsLinksWithinTheFileSystem() throws {
        let reader = try #require(try FileSystemKind.open(FileSource(try image(["-t", "ext4"], many: 3))))
        let expected = "ID=test\nVERSION_ID=\"1\"\n"
        for path in [
            "etc/os-release", "/etc//./os-release", "links/short", "links/absolute", "links/long", "links/longest",
            "links/folder/os-release", "links/escape", "links/folder/../etc/os-release",
        ] {
            #expect(try reader.text(path) == expected, "\(path)")
        }
        #expect(throws: FileSystemError("\(folder.file("image"))", file: "links/loop", .tooManyLinks)) {
            try reader.text("links/loop")
        }
        #expect(try reader.locate("links/nowhere") == nil)
        #expect(try reader.locate("missing/file") == nil)
        #expect(try reader.status("links/short", following: false).type == .symbolicLink)
        #expect(try reader.linkTarget("links/folder") == "../etc")
        #expect(throws: FileSystemError.self) { try reader.text("etc") }
        #expect(throws: FileSystemError.self) { try reader.names(in: "etc/os-release") }
        #expect(throws: FileSystemError.self) { try reader.text("etc/os-release/below") }
        #expect(throws: FileSystemError(reader.volume, file: "sizes/4097", .tooLarge(limit: 4096))) {
            try reader.read("sizes/4097", limit: 4096)
        }
    }

    @Test func readsAnyPartOfAFile() throws {
        let reader = try #require(try FileSystemKind.open(FileSource(try image(["-t", "ext4"], many: 3))))
        let file = try #require(try reader.locate("sizes/sparse"))
        let whole = try SmallFile.read("\(folder.file("tree"))/sizes/sparse", limit: 1 << 20)
        for (offset, count) in [(0, 1), (4095, 2), (24_570, 10_000), (899_999, 5), (900_000, 5), (123_456, 70_000)] {
            let part = try reader.content(of: file, at: Int64(offset), count: count)
            #expect(part == Array(whole[offset..<min(offset + count, whole.count)]), "\(offset)")
        }
    }

    @Test func tellsWhatIsNotClean() throws {
        let file = try image(["-t", "ext4"], many: 3)
        func state(after commands: String...) throws -> FileSystemState? {
            for command in commands { try Tool.output("debugfs", ["-w", "-R", command, file]) }
            return try FileSystemKind.open(FileSource(file))?.state
        }
        #expect(try state(after: "ssv state 1") == .clean)
        #expect(try state(after: "feature needs_recovery") == .needsRecovery)
        #expect(try state(after: "feature -needs_recovery", "ssv state 0") == .dirty)
        #expect(try state(after: "ssv state 3") == .dirty)
        #expect(try state(after: "ssv state 1", "ssv last_orphan 13") == .needsRecovery)
    }

    @Test(.enabled(if: LoopDevice.areAvailable && Mount.isPossible)) func aMountedFileSystemNeedsRecovery() throws {
        let file = try image(["-t", "ext4"], many: 3)
        let loop = try LoopDevice(file)
        let mount = try Mount([loop.path], at: try folder.folder("mnt"), keeping: loop)
        try Trees.write("new", to: "\(mount.folder)/new")
        try Tool.output("sync", ["-f", mount.folder])
        let reader = try #require(try FileSystemKind.open(FileSource(loop.path)))
        #expect(reader.state == .needsRecovery)
    }

    @Test func refusesAVolumeThatWasCut() throws {
        var volume = try MemoryVolume(file: try image(["-t", "ext4"], many: 3))
        volume.content.removeLast(1 << 20)
        #expect(throws: FileSystemError.self) { try FileSystemKind.open(volume) }
        for length in [0, 1, 1023, 1024, 1100, 2047, 2048, 5000] {
            let short = MemoryVolume(Array(volume.content.prefix(length)))
            #expect((try? FileSystemKind.open(short)) == nil, "\(length)")
        }
    }

    @Test(arguments: [
        ["-t", "ext4", "-O", "^metadata_csum", "-b", "1024"], ["-t", "ext2", "-b", "1024"], ["-t", "ext4"],
    ])
    func damageIsAnErrorAtMost(_ arguments: [String]) throws {
        let volume = try MemoryVolume(file: try image(arguments, many: 40, megabytes: 12))
        // Superblock, descriptors, inode tables and first directories lie in front, the journal's content behind.
        let ranges = Damage.metadata(volume.content, blockSize: 1024) { block in
            block.withUnsafeBytes { !$0.isAllZero } && block.filter { $0 == 0 }.count > 500
        }
        Damage.flip(volume.content, in: ranges + [1024..<2048, 2048..<4096], count: 400, seed: 4, type: "ext4")
    }

    @Test func isNoOtherThanItSays() throws {
        let volume = MemoryVolume([UInt8](repeating: 0, count: 1 << 20))
        #expect(try FileSystemKind.open(volume) == nil)
        #expect(throws: FileSystemError.self) { try FileSystemKind.open(volume, type: "ext4") }
        #expect(try FileSystemKind.open(volume, type: "crypto_LUKS") == nil)
    }
}
