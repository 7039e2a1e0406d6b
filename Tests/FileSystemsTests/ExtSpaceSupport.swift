// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// Images of ext2, ext3 and ext4 that were filled and aged, and what e2fsprogs says of them.
struct ExtSpaceImages {
    /// What mke2fs(8) is told, the image's size, and what is done to it afterwards.
    struct Variant: Sendable, CustomTestStringConvertible {
        let arguments: String
        var megabytes = 24
        /// Further options after `-E`.
        var extended = ""
        /// Size in megabytes to which resize2fs(8) brings it.
        var grown: Int?
        var testDescription: String { arguments }

        /// Whether the kernel may be asked to mount it: some lack quotas, and Linux 6.18 crashes on inline data.
        var isForKernel: Bool { !["quota", "inline_data", "fast_commit"].contains { arguments.contains($0) } }
    }

    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Makes an image, puts a tree in, and ages it: by the kernel where it can, else by debugfs(8).
    ///
    /// It lies on garbage, where `isOnGarbage` says so: nothing may be read that was never written.
    func image(_ variant: Variant, many: Int = 300, isOnGarbage: Bool = true) throws -> String {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: many)
        let file = folder.file("image")
        try write(megabytes: variant.megabytes, isOnGarbage, to: file)
        let words = variant.arguments.split(separator: " ").map(String.init)
        try Tool.output(
            "mke2fs",
            ["-q", "-F", "-E", "nodiscard,lazy_itable_init=1,\(variant.extended)", "-d", tree] + words + [file])
        if let size = variant.grown {
            try Tool.output("truncate", ["-s", "\(size)M", file])
            try Tool.output("resize2fs", [file])
        }
        if try !variant.isForKernel || !ageMounted(file, many) {
            try age(file, many)
        }
        return file
    }

    private func write(megabytes: Int, _ isOnGarbage: Bool, to file: String) throws {
        let sink = try FileSink(creating: file)
        try sink.setLength(Int64(megabytes) << 20)
        guard isOnGarbage else { return }
        var generator = SeededGenerator(seed: 7)
        let garbage = AlignedBuffer(count: 1 << 20)
        garbage.prefix(1 << 20).copyBytes(from: generator.bytes(1 << 20).prefix(1 << 20))
        for megabyte in 0..<megabytes {
            try sink.write(UnsafeRawBufferPointer(garbage.prefix(1 << 20)), at: Int64(megabyte) << 20)
        }
    }

    private func age(_ file: String, _ many: Int) throws {
        var commands = (0..<many).filter { $0 % 5 < 2 }.map { "rm /many\(many)/file-number-\($0)" }
        commands += ["rm /sizes/70001", "rm /sizes/4097"]
        try debug(file, commands)
        // It keeps no account of quotas.
        if try !Tool.run("e2fsck", ["-f", "-p", file]).status.isMultiple(of: 2) { try debug(file, []) }
    }

    /// Lets debugfs(8) do `commands` to `file`.
    func debug(_ file: String, _ commands: [String]) throws {
        let list = folder.file("commands")
        try Trees.write(commands.map { $0 + "\n" }.joined(), to: list)
        try Tool.output("debugfs", ["-w", "-f", list, file])
    }

    /// Makes and removes files through the kernel; false when it cannot mount this.
    private func ageMounted(_ file: String, _ many: Int) throws -> Bool {
        guard LoopDevice.areAvailable, Mount.isPossible else { return false }
        let point = try folder.folder("mounted")
        let loop = try LoopDevice(file)
        guard let mount = try? Mount(["-o", "noinit_itable", loop.path], at: point, keeping: loop) else {
            return try ageAsExt2(loop, at: point, many)
        }
        try fill(mount.folder, many)
        return true
    }

    /// The kernel's ext2 driver knows no lazily made tables.
    private func ageAsExt2(_ loop: LoopDevice, at point: String, _ many: Int) throws -> Bool {
        guard let mount = try? Mount([loop.path], at: point, keeping: loop) else { return false }
        try fill(mount.folder, many)
        return true
    }

    private func fill(_ folder: String, _ many: Int) throws {
        var generator = SeededGenerator(seed: UInt64(many))
        try Trees.directory("\(folder)/aged")
        for number in 0..<many {
            let size = Int.random(in: 1...(number % 9 == 0 ? 60_000 : 6000), using: &generator)
            try SampleContent.write(generator.bytes(size), to: "\(folder)/aged/\(number)")
        }
        // More extents than an inode holds, and attributes within and beside it.
        try SampleContent.write([UInt8](repeating: 3, count: 2 << 20), to: "\(folder)/aged/holes")
        for hole in stride(from: 0, to: 2 << 20, by: 64 << 10) {
            _ = try Tool.run("fallocate", ["-p", "-o", "\(hole)", "-l", "32768", "\(folder)/aged/holes"])
        }
        for (number, length) in [(1, 30), (2, 700), (4, 3000), (5, 900), (7, 900)] {
            let value = String(repeating: "v", count: length)
            _ = try Tool.run("setfattr", ["-n", "user.test", "-v", value, "\(folder)/aged/\(number)"])
        }
        _ = try Tool.run("fallocate", ["-l", "300000", "\(folder)/aged/reserved"])
        try Tool.output("mknod", ["\(folder)/aged/pipe", "p"])
        try Tool.output("mknod", ["\(folder)/aged/null", "c", "1", "3"])
        try Tool.output("rm", (0..<many).filter { $0 % 3 == 0 }.map { "\(folder)/aged/\($0)" })
    }

    /// Returns the free bytes that dumpe2fs(8) lists, the size of a block, and the groups whose bitmap was written.
    func oracle(_ file: String) throws -> (free: FreeRuns, blockSize: Int64, groups: [Range<Int64>]) {
        let text = try Tool.output("dumpe2fs", [file])
        var numbers: [Substring: Int64] = [:]
        var free = FreeRuns()
        var groups: [Range<Int64>] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: ":")
            if words.count == 2, let number = Int64(words[1].filter { $0 != " " }) { numbers[words[0]] = number }
            let blockSize = numbers["Block size"] ?? 0
            if line.hasPrefix("Group "), !line.contains("BLOCK_UNINIT"),
                let blocks = line.split(separator: " ").dropFirst(3).first?.split(separator: ")").first,
                let ends = Optional(blocks.split(separator: "-").compactMap { Int64($0) }), ends.count == 2
            {
                groups.append(ends[0]..<ends[1] + 1)
            }
            guard line.hasPrefix("  Free blocks: ") else { continue }
            // It names the first block of the last cluster.
            let cluster = numbers["Cluster size"].map { $0 / max(blockSize, 1) } ?? 1
            for run in line.dropFirst(15).split(separator: ",") {
                let ends = run.split(separator: "-").compactMap { Int64($0.filter { $0 != " " }) }
                guard let first = ends.first, let last = ends.last else { continue }
                free.append(first * blockSize..<min(last + cluster, numbers["Block count"] ?? 0) * blockSize)
            }
        }
        return (free, numbers["Block size"] ?? 0, groups)
    }
}
