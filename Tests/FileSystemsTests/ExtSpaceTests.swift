// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// Free space of ext2, ext3 and ext4, with dumpe2fs(8), e2fsck(8) and the kernel as oracles.
@Suite(.enabled(if: Tool.isInstalled("mkfs.ext4", "dumpe2fs", "e2fsck", "debugfs", "resize2fs")))
struct ExtSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// What mke2fs(8) is told, and the image's size.
    struct Variant: Sendable, CustomTestStringConvertible {
        let arguments: String
        var megabytes = 48
        var testDescription: String { arguments }
    }

    static let variants = [
        Variant(arguments: "-t ext2 -b 1024 -O ^sparse_super,^resize_inode"),
        Variant(arguments: "-t ext2 -b 4096 -r 0", megabytes: 160),
        Variant(arguments: "-t ext3 -b 2048 -I 128"),
        Variant(arguments: "-t ext3 -b 1024 -g 2048"),
        Variant(arguments: "-t ext4 -b 4096", megabytes: 300),
        Variant(arguments: "-t ext4 -b 1024 -I 512 -O metadata_csum_seed"),
        Variant(arguments: "-t ext4 -b 1024 -O ^flex_bg,uninit_bg,^metadata_csum,^64bit"),
        Variant(arguments: "-t ext4 -b 1024 -g 1024 -G 4 -O uninit_bg,^metadata_csum,64bit"),
        Variant(arguments: "-t ext4 -b 1024 -O ^64bit,^uninit_bg,^metadata_csum"),
        Variant(arguments: "-t ext4 -b 2048 -O ^64bit,metadata_csum -E packed_meta_blocks=1"),
        Variant(arguments: "-t ext4 -b 4096 -O bigalloc -C 65536 -N 4000", megabytes: 200),
        Variant(arguments: "-t ext4 -b 1024 -O bigalloc,^resize_inode -C 8192", megabytes: 200),
        Variant(arguments: "-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode"),
        Variant(arguments: "-t ext4 -b 1024 -g 256 -O ^64bit,meta_bg,^resize_inode,^flex_bg,^has_journal -N 3000"),
        Variant(arguments: "-t ext4 -b 1024 -O sparse_super2"),
        Variant(arguments: "-t ext4 -b 1024 -O sparse_super2 -E num_backup_sb=1"),
        Variant(
            arguments: "-t ext4 -b 4096 -O quota,project,mmp,orphan_file,ea_inode,inline_data,large_dir,fast_commit"),
        Variant(arguments: "-t ext4 -b 4096 -O casefold,encrypt,verity,stable_inodes,^has_journal"),
        Variant(arguments: "-t ext4 -b 8192 -O ^has_journal"),
        Variant(arguments: "-t ext4 -b 65536", megabytes: 400),
    ]

    /// Makes an image on old garbage, puts a tree in, and ages it: by the kernel where it can, else by debugfs(8).
    private func image(_ variant: Variant, many: Int = 300, name: String = "image") throws -> String {
        let tree = try folder.folder("tree-\(name)")
        try Trees.make(in: tree, many: many)
        let file = folder.file(name)
        var generator = SeededGenerator(seed: 7)
        let sink = try FileSink(creating: file)
        let garbage = AlignedBuffer(count: 1 << 20)
        garbage.prefix(1 << 20).copyBytes(from: generator.bytes(1 << 20).prefix(1 << 20))
        for megabyte in 0..<variant.megabytes {
            try sink.write(UnsafeRawBufferPointer(garbage.prefix(1 << 20)), at: Int64(megabyte) << 20)
        }
        let words = variant.arguments.split(separator: " ").map(String.init)
        try Tool.output(
            "mke2fs", ["-q", "-F", "-E", "nodiscard,lazy_itable_init=1,root_owner=0:0", "-d", tree] + words + [file])
        let seeds = Array(0..<many).shuffled(using: &generator).prefix(many / 2)
        if try !ageMounted(file, seeds) {
            let commands = folder.file("commands-\(name)")
            try Trees.write(
                seeds.map { "rm /many\(many)/file-number-\($0)\n" }.joined() + "rm /sizes/70001\n", to: commands)
            try Tool.output("debugfs", ["-w", "-f", commands, file])
        }
        return file
    }

    /// Makes and removes files through the kernel; false when it cannot mount this.
    private func ageMounted(_ file: String, _ seeds: ArraySlice<Int>) throws -> Bool {
        guard LoopDevice.areAvailable, Mount.isPossible else { return false }
        let folder = try TemporaryFolder()
        let loop = try LoopDevice(file)
        guard let mount = try? Mount([loop.path], at: folder.path, keeping: loop) else { return false }
        var generator = SeededGenerator(seed: UInt64(seeds.count))
        try Trees.directory("\(mount.folder)/aged")
        for number in seeds {
            let size = Int.random(in: 1...(number % 9 == 0 ? 90_000 : 9000), using: &generator)
            try SampleContent.write(generator.bytes(size), to: "\(mount.folder)/aged/\(number)")
        }
        var sparse = [UInt8](repeating: 0, count: 3 << 20)
        for block in stride(from: 0, to: sparse.count, by: 16 << 10) { sparse[block] = 1 }
        try SampleContent.write(sparse, to: "\(mount.folder)/aged/holes")
        let holes = stride(from: 0, to: 2 << 20, by: 16 << 10).map { "\($0)" }
        for hole in holes {
            _ = try Tool.run("fallocate", ["-p", "-o", hole, "-l", "8192", "\(mount.folder)/aged/holes"])
        }
        let removed = seeds.filter { $0 % 3 == 0 }.map { "\(mount.folder)/aged/\($0)" }
        try Tool.output("rm", ["-f"] + removed)
        return true
    }

    /// Returns the free blocks that dumpe2fs(8) lists, as bytes, and the size of a block.
    private func oracle(_ file: String) throws -> (free: FreeRuns, blockSize: Int64) {
        let text = try Tool.output("dumpe2fs", [file])
        var blockSize: Int64 = 0
        var (count, cluster): (Int64, Int64) = (0, 1)
        var free = FreeRuns()
        for line in text.split(separator: "\n") {
            if line.hasPrefix("Block size:") { blockSize = Int64(line.split(separator: " ").last ?? "") ?? 0 }
            if line.hasPrefix("Block count:") { count = Int64(line.split(separator: " ").last ?? "") ?? 0 }
            if line.hasPrefix("Cluster size:") {
                cluster = (Int64(line.split(separator: " ").last ?? "") ?? 0) / max(blockSize, 1)
            }
            guard line.hasPrefix("  Free blocks: ") else { continue }
            for run in line.dropFirst(15).split(separator: ",") {
                let ends = run.split(separator: "-").compactMap { Int64($0.filter { $0 != " " }) }
                guard let first = ends.first, let last = ends.last else { continue }
                // It names the first block of the last cluster.
                free.append(first * blockSize..<min(last + cluster, count) * blockSize)
            }
        }
        return (free, blockSize)
    }

    @Test(arguments: variants) func freeSpaceIsWhatTheToolsSay(_ variant: Variant) throws {
        let file = try image(variant)
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let expected = try oracle(file)
        #expect(use.free.ranges.count > (variant.arguments.contains("65536") ? 2 : 20))
        #expect(use.free.totalLength == expected.free.totalLength)
        #expect(use.free.ranges == expected.free.ranges)
        #expect((use.checkedExtents ?? 0) > 300)
        let unchecked = try Skipping.copy(file, to: folder.file("copy2"), SpaceOptions(isChecked: false))
        #expect(unchecked.free == use.free && unchecked.checkedExtents == nil)

        let check = try Tool.run("e2fsck", ["-f", "-n", copy])
        #expect(check.status == 0, "\(check.output)")
        let original = try Trees.ofReader(try #require(try FileSystemKind.open(FileSource(file))))
        let found = try Trees.ofReader(try #require(try FileSystemKind.open(FileSource(copy))))
        #expect(original.count > 200)
        #expect(Trees.differences(original, found) == [])
    }
}
