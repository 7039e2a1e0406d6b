// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import Synchronization
internal import TestSupport
internal import Testing

/// Images that qemu-img wrote, read by us.
@Suite(.enabled(if: Tool.isInstalled("qemu-img", "qemu-io"), "qemu-utils is not installed"))
struct Qcow2ReaderTests {
    /// Options of `qemu-img convert`, each with its `-o` text and whether clusters are compressed.
    static let conversions: [(options: String, compressed: Bool)] = {
        var conversions: [(String, Bool)] = []
        for size in [512, 4096, 65536, 2_097_152] {
            conversions.append(("compat=0.10,cluster_size=\(size)", false))
            conversions.append(("compat=0.10,cluster_size=\(size)", true))
            conversions.append(("compat=1.1,cluster_size=\(size)", false))
            conversions.append(("compat=1.1,cluster_size=\(size),compression_type=zlib", true))
            conversions.append(("compat=1.1,cluster_size=\(size),compression_type=zstd", true))
            if size >= 16384 { conversions.append(("compat=1.1,cluster_size=\(size),extended_l2=on", false)) }
        }
        for preallocation in ["off", "metadata", "falloc", "full"] {
            conversions.append(("compat=1.1,preallocation=\(preallocation)", false))
        }
        for bits in [1, 2, 8, 64] { conversions.append(("compat=1.1,refcount_bits=\(bits)", false)) }
        conversions.append(("compat=1.1,lazy_refcounts=on", false))
        return conversions
    }()

    @Test(arguments: conversions)
    func readsWhatQemuWrites(options: String, compressed: Bool) throws {
        let folder = try TemporaryFolder()
        // No multiple of the cluster, nor of 1 MiB, but of the sector: qemu-img rounds up to that.
        let content = SampleContent.bytes(.mixed, length: 5 << 20 | 3 << 9, seed: 7)
        try SampleContent.write(content, to: folder.file("disk.raw"))
        try Tool.output(
            "qemu-img",
            ["convert", "-O", "qcow2", "-o", options] + (compressed ? ["-c"] : [])
                + [folder.file("disk.raw"), folder.file("disk.qcow2")])
        try expectContent(of: folder.file("disk.qcow2"), content)
    }

    @Test(arguments: ["compat=1.1", "compat=1.1,extended_l2=on", "compat=1.1,cluster_size=4096"])
    func readsZeroAndDiscardedClusters(options: String) throws {
        let folder = try TemporaryFolder()
        let image = folder.file("disk.qcow2")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", "-o", options, image, "8M"])
        let commands = [
            "write -P 17 0 4M", "write -z 1M 512k", "write -z -u 2M 64k", "discard 3M 192k", "write -P 34 5000k 3k",
            "write -P 51 2049k 1k", "write -z 7M 1M",
        ]
        try Tool.output("qemu-io", ["-f", "qcow2"] + commands.flatMap { ["-c", $0] } + [image])
        try Tool.output("qemu-img", ["convert", "-O", "raw", image, folder.file("expected.raw")])
        let expected = try SmallFile.read(folder.file("expected.raw"), limit: 64 << 20)
        try expectContent(of: image, expected)
    }

    @Test func readsTheActiveStateBesideSnapshots() throws {
        let folder = try TemporaryFolder()
        let image = folder.file("disk.qcow2")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", image, "4M"])
        try Tool.output("qemu-io", ["-f", "qcow2", "-c", "write -P 1 0 2M", image])
        try Tool.output("qemu-img", ["snapshot", "-c", "before", image])
        try Tool.output("qemu-io", ["-f", "qcow2", "-c", "write -P 2 1M 1M", image])
        try Tool.output("qemu-img", ["bitmap", "--add", image, "dirty"])
        let expected =
            [UInt8](repeating: 1, count: 1 << 20) + [UInt8](repeating: 2, count: 1 << 20)
            + [UInt8](repeating: 0, count: 2 << 20)
        try expectContent(of: image, expected)
    }

    @Test func refusesWhatItCannotRead() throws {
        let folder = try TemporaryFolder()
        let base = folder.file("base.qcow2")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", base, "1M"])
        let refused: [(name: String, arguments: [String], feature: String)] = [
            ("backing", ["-b", base, "-F", "qcow2"], "a backing file"),
            ("external", ["-o", "data_file=\(folder.file("data"))"], "an external data file"),
            // Not LUKS: to choose its iterations, qemu-img measures its own processor time, and gives up where that is 0.
            (
                "aes", ["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"],
                "encryption"
            ),
        ]
        for (name, arguments, feature) in refused {
            let image = folder.file(name)
            try Tool.output("qemu-img", ["create", "-f", "qcow2"] + arguments + [image, "1M"])
            #expect(throws: ImageError.unsupported(path: image, feature: feature)) {
                try DiskImage.open(FileSource(image), format: .qcow2)
            }
        }
    }

    /// Where qemu-img says that a cluster is, it is.
    @Test(arguments: ["cluster_size=4096", "cluster_size=65536", "extended_l2=on"])
    func mapsAsQemuDoes(options: String) throws {
        let folder = try TemporaryFolder()
        let image = folder.file("disk.qcow2")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", "-o", options, image, "8M"])
        let commands = ["write -P 1 5M 1M", "write -P 2 0 100k", "write -z 5200k 64k", "write -P 3 2M 300k"]
        try Tool.output("qemu-io", ["-f", "qcow2"] + commands.flatMap { ["-c", $0] } + [image])
        let reader = try DiskImage.open(FileSource(image), format: .qcow2)
        var mapped: Int64 = 0
        // Lines of: offset, length, mapped to, file.
        for line in try Tool.output("qemu-img", ["map", "-f", "qcow2", image]).split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ").prefix(3).compactMap { field in
                Int64(field.dropFirst(field.hasPrefix("0x") ? 2 : 0), radix: 16)
            }
            try #require(fields.count == 3)
            let extent = try reader.extent(at: fields[0])
            #expect(extent.kind == .data && extent.length >= fields[1])
            let cluster = try #require(try reader.clusterOffset(of: fields[0]))
            let first = try reader.bytes(at: fields[0], count: 1)
            #expect(cluster <= fields[2] && fields[2] - cluster < 65536)
            #expect(try FileSource(image).bytes(at: fields[2], count: 1) == first)
            mapped += fields[1]
        }
        var data: Int64 = 0
        var position: Int64 = 0
        while position < reader.lengthInBytes {
            let extent = try reader.extent(at: position)
            if extent.kind == .data { data += extent.length }
            position = extent.end
        }
        #expect(data == mapped)
    }

    /// A table has 64 entries here, so that threads take the cache's tables from each other.
    @Test(arguments: ["cluster_size=512", "cluster_size=65536,compression_type=zstd"])
    func readsFromManyThreads(options: String) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.mixed, length: 6 << 20, seed: 9)
        try SampleContent.write(content, to: folder.file("raw"))
        let compressed = options.contains("zstd") ? ["-c"] : []
        let files = [folder.file("raw"), folder.file("disk")]
        try Tool.output("qemu-img", ["convert", "-O", "qcow2", "-o", options] + compressed + files)
        let reader = try DiskImage.open(FileSource(folder.file("disk")), format: .qcow2)
        let wrong = Atomic<Int>(0)
        try ParallelWork.run(threads: 8) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for _ in 0..<40 {
                let offset = Int.random(in: 0..<content.count, using: &generator)
                let count = Int.random(in: 0...min(content.count - offset, 200_000), using: &generator)
                let piece = try? reader.bytes(at: Int64(offset), count: count)
                if piece?.firstDifference(from: content[offset..<offset + count]) != nil || piece == nil {
                    wrong.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: ["0", "512", "65535k"]) func readsImagesThatNobodyWroteTo(size: String) throws {
        let folder = try TemporaryFolder()
        for options in ["compat=0.10", "cluster_size=512", "extended_l2=on", "cluster_size=2M"] {
            let image = folder.file(options)
            try Tool.output("qemu-img", ["create", "-f", "qcow2", "-o", options, image, size])
            let reader = try DiskImage.open(FileSource(image), format: .qcow2)
            try expectContent(of: image, [UInt8](repeating: 0, count: Int(reader.lengthInBytes)))
        }
    }

    @Test func walksAnEmptyHugeImageAtOnce() throws {
        let folder = try TemporaryFolder()
        let image = folder.file("disk.qcow2")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", image, "8T"])
        let reader = try DiskImage.open(FileSource(image), format: .qcow2)
        var calls = 0
        var position: Int64 = 0
        while position < reader.lengthInBytes {
            let extent = try reader.extent(at: position)
            #expect(extent.kind == .hole)
            position = extent.end
            calls += 1
        }
        #expect(position == 8 << 40)
        #expect(calls < 100)
    }

    /// Expects the image at `path` to hold `content`, its extents to be gapless and true, and its structure clean.
    private func expectContent(of path: String, _ content: [UInt8]) throws {
        let reader = try DiskImage.open(FileSource(path), format: .qcow2)
        #expect(reader.lengthInBytes == Int64(content.count))
        #expect(try reader.bytes(at: 0, count: content.count).firstDifference(from: content) == nil)
        // Odd pieces, as no reader in a hurry would ask for them.
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<(content.isEmpty ? 0 : 50) {
            let offset = Int.random(in: 0..<content.count, using: &generator)
            let count = Int.random(in: 0...min(content.count - offset, 300_000), using: &generator)
            let piece = try reader.bytes(at: Int64(offset), count: count)
            #expect(piece.firstDifference(from: content[offset..<offset + count]) == nil)
        }
        var position: Int64 = 0
        while position < reader.lengthInBytes {
            let extent = try reader.extent(at: position)
            #expect(extent.offset == position && extent.length > 0)
            if extent.kind == .hole {
                #expect(content[Int(position)..<Int(extent.end)].withUnsafeBytes { $0.isAllZero })
            }
            position = extent.end
        }
        #expect(position == reader.lengthInBytes)
        var problems: [StructureProblem] = []
        try reader.checkStructure { problem in
            problems.append(problem)
            return problems.count < 10
        }
        #expect(problems.isEmpty, "\(problems)")
    }
}
