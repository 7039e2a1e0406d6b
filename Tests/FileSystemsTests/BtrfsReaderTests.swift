// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// btrfs made by mkfs.btrfs(8), filled by it or through the kernel's driver.
@Suite(.enabled(if: Tool.isInstalled("mkfs.btrfs", "btrfs") && LoopDevice.areAvailable && Mount.isPossible))
struct BtrfsReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    private func make(_ arguments: [String], megabytes: Int = 160) throws -> String {
        let file = folder.file("image")
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

    private func reader(_ file: String) throws -> any FileSystemReader {
        try #require(try FileSystemKind.open(FileSource(file)))
    }

    @Test(arguments: [
        [], ["-n", "4096", "-s", "4096", "-m", "single"], ["-n", "65536", "-L", "root fs"], ["--mixed"],
        ["--csum", "xxhash64"], ["-O", "^no-holes,^extref", "-R", "^free-space-tree"],
    ])
    func readsWhatWasPutIn(_ arguments: [String]) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 600)
        let file = try make(arguments + ["-r", tree])
        let reader = try reader(file)
        #expect(Trees.differences(try Trees.ofReader(reader), try Trees.ofKernel(tree)) == [])
        #expect(reader.kind == .btrfs && reader.state == .clean)
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", file])
        #expect(blkid.contains("\nTYPE=btrfs\n") && blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-L") ? "root fs" : nil))
        #expect(try reader.text("links/escape") == "ID=test\nVERSION_ID=\"1\"\n")
    }

    @Test(arguments: ["zlib", "zstd", "no"]) func readsWhatTheKernelReads(_ compression: String) throws {
        let file = try make([], megabytes: 400)
        var expected: [String: String] = [:]
        try mounted(file, compression == "no" ? "compress=no" : "compress-force=\(compression)") { folder in
            try Trees.make(in: folder, many: 2500)
            let text = SampleContent.bytes(.mixed, length: 3_000_001, seed: 4)
            try SampleContent.write(text, to: "\(folder)/mixed")
            try Tool.output("sync", ["-f", folder])
            // Overwritten in the middle, so that extents are used in part.
            let sink = try FileSink(creating: "\(folder)/over")
            try sink.write(Array(text[..<1_000_000]), at: 0)
            try sink.synchronize()
            for place in stride(from: 10_000, to: 900_000, by: 77_777) {
                try sink.write(text[0..<5000].map(\.self), at: Int64(place))
            }
            try sink.close()
            try Tool.output("fallocate", ["--length", "200000", "\(folder)/unwritten"])
            try Tool.output("cp", ["--reflink=always", "\(folder)/over", "\(folder)/copy"])
            expected = try Trees.ofKernel(folder)
        }
        let reader = try reader(file)
        #expect(Trees.differences(try Trees.ofReader(reader), expected) == [])
        #expect(reader.state == .clean && expected.count > 2500)
        let over = try #require(try reader.locate("over"))
        let whole = try reader.read("over", limit: 1 << 20)
        for (offset, count) in [(0, 1), (9_999, 2), (131_071, 70_000), (999_990, 100)] {
            let part = try reader.content(of: over, at: Int64(offset), count: count)
            #expect(part == Array(whole[offset..<min(offset + count, whole.count)]), "\(offset)")
        }
    }

    @Test func lzoIsRefusedByName() throws {
        let file = try make([])
        try mounted(file, "compress-force=lzo") { folder in
            try SampleContent.write([UInt8](repeating: 65, count: 500_000), to: "\(folder)/a")
        }
        let reader = try reader(file)
        #expect(throws: FileSystemError(reader.volume, file: "a", .unsupported("LZO compression"))) {
            try reader.read("a", limit: 1 << 20)
        }
    }

    @Test func findsSubvolumes() throws {
        let file = try make([])
        var identifier = ""
        try mounted(file, "defaults") { folder in
            for name in ["@", "@home", "@/nested"] {
                try Tool.output("btrfs", ["subvolume", "create", "\(folder)/\(name)"])
            }
            try Trees.write("in @", to: "\(folder)/@/file")
            try Trees.write("in nested", to: "\(folder)/@/nested/file")
            try Tool.output("btrfs", ["subvolume", "snapshot", "\(folder)/@", "\(folder)/snap"])
            identifier = try Tool.output("btrfs", ["inspect-internal", "rootid", "\(folder)/@"])
                .trimmingPrefix(while: \.isWhitespace).prefix { $0.isNumber }.description
        }
        var reader = try reader(file)
        #expect(try reader.names(in: "/") == ["@", "@home", "snap"])
        #expect(try reader.text("@/file") == "in @" && reader.text("@/nested/file") == "in nested")
        #expect(try reader.text("snap/file") == "in @")
        // The snapshot holds the nested one's name only.
        #expect(try reader.names(in: "snap") == ["file", "nested"] && reader.names(in: "snap/nested").isEmpty)
        let root = try #require(try RootedReader(reader, at: "@"))
        #expect(try root.text("/file") == "in @" && root.text("../nested/../file") == "in @")
        #expect(try RootedReader(reader, at: "nowhere") == nil)

        try mounted(file, "defaults") { try Tool.output("btrfs", ["subvolume", "set-default", identifier, $0]) }
        reader = try self.reader(file)
        #expect(try reader.text("file") == "in @")
        let top = RootedReader(reader, root: FileID(tree: 5, 256))
        #expect(try top.names(in: "/") == ["@", "@home", "snap"])
    }

    @Test func tellsALogTree() throws {
        let file = try make([])
        try mounted(file, "commit=300") { folder in
            try Tool.output("sync", ["-f", folder])
            try Tool.output(
                "dd", ["if=/dev/zero", "of=\(folder)/synced", "bs=4096", "count=1", "conv=fsync", "status=none"])
            #expect(try reader(file).state == .needsRecovery)
        }
        #expect(try reader(file).state == .clean)
    }

    @Test func readsOneOfTwoMirrors() throws {
        let (one, other) = (folder.file("one"), folder.file("other"))
        for file in [one, other] { try Tool.output("truncate", ["--size", "200M", file]) }
        var expected: [String: String] = [:]
        do {
            let loops = [try LoopDevice(one), try LoopDevice(other)]
            try Tool.output("mkfs.btrfs", ["-q", "-f", "-d", "raid1", "-m", "raid1"] + loops.map(\.path))
            let mount = try Mount(
                ["-t", "btrfs", "-o", "device=\(loops[1].path)", loops[0].path], at: try folder.folder("mnt"),
                keeping: loops)
            try Trees.make(in: mount.folder, many: 100)
            expected = try Trees.ofKernel(mount.folder)
        }
        for file in [one, other] {
            #expect(Trees.differences(try Trees.ofReader(try reader(file)), expected) == [])
        }
        try Tool.output("mkfs.btrfs", ["-q", "-f", "-d", "raid0", "-m", "raid0", one, other])
        #expect(throws: FileSystemError(one, .unsupported("striping over several devices"))) { try reader(one) }
    }

    @Test func aBrokenCopyIsReplacedByTheOther() throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 100)
        let file = try make(["-m", "dup", "-r", tree])
        var volume = try MemoryVolume(file: file)
        let dump = try Tool.output("btrfs", ["inspect-internal", "dump-super", file])
        let logical = try #require(dump.firstMatch(of: /\nroot\t\t\t(\d+)/)).output.1
        let places = try Tool.output("btrfs-map-logical", ["-l", String(logical), file])
            .matches(of: /physical (\d+)/).compactMap { Int($0.output.1) }
        #expect(places.count == 2)
        for (index, place) in places.enumerated() {
            volume.content[place + 200] ^= 1
            let found = (try? FileSystemKind.open(volume)).flatMap { $0 }.flatMap { try? Trees.ofReader($0) }
            #expect((found == (try Trees.ofKernel(tree))) == (index == 0))
        }
    }

    /// Checksums are set right again, so that the parser itself meets the damage.
    @Test(arguments: [true, false]) func damageIsAnErrorAtMost(_ isResealed: Bool) throws {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 100)
        // A checksum that is not looked at stands for one that is right.
        let file = try make(
            ["-m", "single"] + (isResealed ? ["--csum", "xxhash64"] : []) + ["-r", tree], megabytes: 24)
        let volume = try MemoryVolume(file: file)
        let fsid = Array(volume.content[65536 + 32..<65536 + 48])
        let ranges = Damage.metadata(volume.content, blockSize: 4096) { $0.dropFirst(32).starts(with: fsid) }
            .flatMap { [$0.lowerBound..<$0.lowerBound + 700, $0.upperBound - 1500..<$0.upperBound] }
        #expect(ranges.count > 10)
        Damage.flip(volume.content, in: ranges + [65536..<66600], count: 200, seed: 3, type: "btrfs")
        for length in [0, 65536, 65600, 69632, 1 << 20] {
            #expect((try? FileSystemKind.open(MemoryVolume(Array(volume.content.prefix(length))))) == nil, "\(length)")
        }
    }
}
