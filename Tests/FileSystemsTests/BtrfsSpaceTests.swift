// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Free space of btrfs, held against btrfs-progs and the kernel.
@Suite(.enabled(if: Tool.isInstalled("mkfs.btrfs", "btrfs") && LoopDevice.areAvailable && Mount.isPossible))
struct BtrfsSpaceTests {
    private let images: BtrfsImages
    private var folder: TemporaryFolder { images.folder }

    init() throws { images = try BtrfsImages() }

    private func use(_ file: String, isChecked: Bool = true) throws -> SpaceUse {
        try #require(try FileSystemKind.open(FileSource(file))).spaceUse(SpaceOptions(isChecked: isChecked))
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
        let file = try images.make(arguments)
        var expected: [String: String] = [:]
        try images.mounted(file, arguments.isEmpty ? "compress-force=zstd" : "defaults") { folder in
            try Trees.make(in: folder, many: 300)
            try images.age(folder, seed: 7)
            try Tool.output("btrfs", ["subvolume", "snapshot", folder, "\(folder)/snap"])
            try images.age(folder, seed: 8, count: 40)
            expected = try Trees.ofKernel(folder)
        }
        let use = try checkCopy(of: file, expected)
        #expect(use.free.totalLength > 100 << 20 && use.free.ranges.count > 20)
        try images.mounted(folder.file("copy"), "ro") { folder in
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
        let file = try images.make(arguments + ["-r", tree])
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let free = try BtrfsDump(file).free()
        #expect(use.free.ranges == free)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(Trees.differences(try Trees.ofReader(reader), try Trees.ofKernel(tree)) == [])
    }

    @Test func tellsWhenItDoesNotKnow() throws {
        let file = try images.make(["--csum", "sha256"])
        #expect(throws: FileSystemError(file, .unsupported("a checksum that is not CRC-32C"))) { try use(file) }
        let image = try BtrfsImage(try images.make(["-m", "single"], megabytes: 120))
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

    /// What is deleted is not gone at once: a root tells how far its tree is.
    @Test func treesThatAreBeingDeleted() throws {
        let file = try images.make(["-n", "4096"])
        try images.mounted(file, "commit=300") { folder in
            for name in ["kept", "gone"] { try Tool.output("btrfs", ["subvolume", "create", "\(folder)/\(name)"]) }
            try Trees.make(in: "\(folder)/kept", many: 40)
            for index in 0..<12_000 { try Trees.write("\(index)", to: "\(folder)/gone/a-longer-name-\(index)") }
            try Tool.output("btrfs", ["subvolume", "snapshot", "\(folder)/kept", "\(folder)/snap"])
            try Tool.output("sync", ["-f", folder])
            for name in ["gone", "snap"] { try Tool.output("btrfs", ["subvolume", "delete", "\(folder)/\(name)"]) }
            // The next commit may find the deletion anywhere: unmounting stops it.
            try Tool.output("btrfs", ["filesystem", "sync", folder])
        }
        let free = try BtrfsDump(file).free()
        #expect(try use(file).free.ranges == free)
    }

    @Test func snapshotsShareWhatIsRead() throws {
        let file = try images.make([])
        try images.mounted(file, "commit=300") { folder in
            try Tool.output("btrfs", ["subvolume", "create", "\(folder)/one"])
            for index in 0..<3000 { try Trees.write("\(index)", to: "\(folder)/one/file-\(index)") }
        }
        let before = try #require(try use(file).checkedExtents)
        try images.mounted(file, "commit=300") { folder in
            for index in 0..<60 {
                try Tool.output("btrfs", ["subvolume", "snapshot", "\(folder)/one", "\(folder)/snap\(index)"])
            }
        }
        // Each has a block of its own at the top.
        let after = try #require(try use(file).checkedExtents)
        #expect(before > 60 && after < before + 200)
    }

    @Test(arguments: ["raid1", "single"]) func ofSeveralDevicesOnlyWhatNoChunkUses(_ data: String) throws {
        let files = ["one", "other"].map { folder.file($0) }
        for file in files { try Tool.output("truncate", ["--size", "700M", file]) }
        var expected: [String: String] = [:]
        func mount(_ files: [String], _ body: (String) throws -> Void) throws {
            let loops = try files.map { try LoopDevice($0) }
            let point = access(folder.file("mnt"), F_OK) == 0 ? folder.file("mnt") : try folder.folder("mnt")
            // What the kernel does not know yet of the devices is given to it.
            let mount = try Mount(
                ["-t", "btrfs", "-o", "device=\(loops[1].path)", loops[0].path], at: point, keeping: loops)
            try withExtendedLifetime(mount) { try body(point) }
        }
        do {
            let loops = try files.map { try LoopDevice($0) }
            try Tool.output("mkfs.btrfs", ["-q", "-f", "-d", data, "-m", "raid1"] + loops.map(\.path))
        }
        try mount(files) { folder in
            try Trees.make(in: folder, many: 100)
            try images.age(folder, seed: 1, count: 60)
            expected = try Trees.ofKernel(folder)
        }
        let copies = files.map { $0 + "-copy" }
        for (file, copy) in zip(files, copies) {
            let use = try Skipping.copy(file, to: copy)
            let free = try BtrfsDump(file).free(isWhole: true)
            #expect(use.free.ranges == free && use.checkedExtents == nil && use.free.totalLength > 100 << 20)
        }
        try mount(copies) { folder in
            let found = try Trees.ofKernel(folder)
            #expect(Trees.differences(found, expected) == [])
        }
        // A superblock that has not heard of the last transaction, while the tree of chunks has.
        let source = try FileSource(files[1])
        let heads = try [Int64(64 << 10), 64 << 20].map { (place: $0, bytes: try source.bytes(at: $0, count: 4096)) }
        try mount(files) { folder in
            try Tool.output("fallocate", ["--length", "300M", "\(folder)/large"])
            try Tool.output("sync", ["-f", folder])
        }
        let sink = try FileSink(resuming: files[1])
        for (place, bytes) in heads { try sink.write(bytes, at: place) }
        try sink.close()
        let error = #expect(throws: FileSystemError.self) { try use(files[1]) }
        #expect(error?.description.contains("younger than the superblock") ?? false, "\(error?.description ?? "")")
        _ = try use(files[0])
    }

    @Test func devicesThatCameAndWent() throws {
        let first = try images.make([])
        let files = ["second", "third"].map { folder.file($0) }
        for file in files { try Tool.output("truncate", ["--size", "400M", file]) }
        var expected: [String: String] = [:]
        for (index, file) in files.enumerated() {
            let other = try LoopDevice(file)
            let source = index == 0 ? first : files[0]
            try images.mounted(source, "defaults") { folder in
                if index == 0 {
                    try images.age(folder, seed: 1, count: 60)
                    let old = try Tool.output("findmnt", ["-no", "SOURCE", folder]).trimmed
                    try Tool.output("btrfs", ["device", "add", "-f", other.path, folder])
                    try Tool.output("btrfs", ["device", "remove", old, folder])
                } else {
                    try Tool.output("btrfs", ["replace", "start", "-B", "-r", "-f", "2", other.path, folder])
                }
                expected = try Trees.ofKernel(folder)
            }
            try checkCopy(of: file, expected)
        }
    }
}

extension String {
    fileprivate var trimmed: String { split(separator: "\n").first.map(String.init) ?? "" }
}
