// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Free space of FAT, held against what fsck.fat(8) counts.
@Suite(.enabled(if: Tool.isInstalled("mkfs.vfat", "mcopy", "mdel", "fsck.fat"))) struct FATSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Makes, fills and ages a volume: files deleted, and others copied into the gaps.
    private func image(_ arguments: [String], megabytes: Int, many: Int = 200) throws -> String {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: many, isForWindows: true)
        try Trees.directory("\(tree)/aged")
        var generator = SeededGenerator(seed: 5)
        for index in 0..<80 {
            try SampleContent.write(generator.bytes(Int(generator.next() % 20_000)), to: "\(tree)/aged/\(index)")
        }
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mkfs.vfat", arguments + [file])
        try copy(try Folder.names(in: tree).map { "\(tree)/\($0)" }, to: "::", of: file)
        let deleted = (0..<80).filter { $0 % 2 == 0 }
        let result = try Tool.run(
            "mdel", ["-i", file] + deleted.map { "::aged/\($0)" }, environment: ["MTOOLS_SKIP_CHECK=1"])
        #expect(result.status == 0, "\(result.errors)")
        for index in deleted { unlink("\(tree)/aged/\(index)") }
        for index in 0..<4 {
            try SampleContent.write(generator.bytes(50_001), to: "\(tree)/aged/late\(index)")
            try copy(["\(tree)/aged/late\(index)"], to: "::aged", of: file)
        }
        return file
    }

    private func copy(_ files: [String], to place: String, of image: String) throws {
        let result = try Tool.run(
            "mcopy", ["-s", "-i", image] + files + [place], environment: ["LC_ALL=C.UTF-8", "MTOOLS_SKIP_CHECK=1"])
        #expect(result.status == 0, "\(result.errors)")
    }

    /// Returns used clusters and all, as fsck.fat counts them on a volume that it finds no fault in.
    private static func clusters(_ file: String) throws -> (used: Int64, all: Int64) {
        let words = try Tool.output("fsck.fat", ["-n", file]).split(whereSeparator: { $0 == " " || $0 == "\n" })
        let place = try #require(words.lastIndex(of: "clusters"))
        let counts = words[place - 1].split(separator: "/")
        return (try #require(Int64(counts[0])), try #require(Int64(counts[1])))
    }

    private static func sizes(_ content: [UInt8]) -> (cluster: Int64, reserved: Int, tables: Int, table: Int) {
        func word(_ place: Int) -> Int { Int(content[place]) | Int(content[place + 1]) << 8 }
        let sector = word(11)
        return (
            Int64(sector * Int(content[13])), word(14) * sector, Int(content[16]),
            (word(22) != 0 ? word(22) : word(36) | word(38) << 16) * sector
        )
    }

    static let variants: [([String], Int)] = [
        (["-F", "12", "-s", "8"], 12), (["-F", "12", "-s", "16", "-f", "1"], 20), (["-F", "16"], 40),
        (["-F", "16", "-s", "64"], 300), (["-F", "32", "-s", "1"], 40), (["-F", "32", "-s", "8", "-f", "1"], 300),
        (["-F", "32", "-S", "4096"], 300), (["-F", "16", "-S", "2048", "-a"], 100),
    ]

    @Test(arguments: variants) func findsWhatIsFree(_ arguments: [String], megabytes: Int) throws {
        let file = try image(arguments, megabytes: megabytes)
        let size = Self.sizes(try FileSource(file).bytes(at: 0, count: 512)).cluster
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let count = try Self.clusters(file)
        #expect(use.free.totalLength == (count.all - count.used) * size)
        #expect(use.free.ranges.count > 3 && (use.checkedExtents ?? 0) > 100)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(reader.state == .clean)
        #expect(try reader.spaceUse(SpaceOptions(isChecked: false)).free == use.free)
        let tree = try Trees.ofKernel(folder.file("tree"))
        #expect(Trees.differences(try Trees.ofReader(reader), tree) == [])
        let after = try Self.clusters(copy)
        #expect(after.used == count.used)
    }

    /// Sets the entry of `cluster` in every table.
    private static func set(_ cluster: Int, to value: UInt32, _ width: Int, in content: inout [UInt8]) {
        let sizes = sizes(content)
        for table in 0..<sizes.tables {
            let place = sizes.reserved + table * sizes.table + cluster * width / 8
            switch width {
            case 12:
                let old = UInt32(content[place]) | UInt32(content[place + 1]) << 8
                let new = cluster % 2 == 0 ? old & 0xf000 | value & 0xfff : old & 0xf | value << 4
                content[place] = UInt8(truncatingIfNeeded: new)
                content[place + 1] = UInt8(truncatingIfNeeded: new >> 8)
            default:
                for index in 0..<width / 8 {
                    content[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
                }
            }
        }
    }

    /// Returns the entry of `cluster` in the first table.
    private static func entry(_ cluster: Int, _ width: Int, _ content: [UInt8]) -> UInt32 {
        let place = sizes(content).reserved + cluster * width / 8
        let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(content[place + $1]) << UInt32(8 * $1) }
        switch width {
        case 12: return cluster % 2 == 0 ? value & 0xfff : value >> 4 & 0xfff
        case 16: return value & 0xffff
        default: return value
        }
    }

    @Test(arguments: [(["-F", "12", "-s", "8"], 12, 12), (["-F", "16"], 30, 16), (["-F", "32", "-s", "1"], 36, 32)])
    func noticesATableThatLies(_ arguments: [String], megabytes: Int, width: Int) throws {
        let seed: UInt64 = 21
        let original = try MemoryVolume(file: try image(arguments, megabytes: megabytes, many: 100))
        let truth = try #require(SpaceLies.use(original, "vfat")).free
        let size = Self.sizes(original.content).cluster
        let count = try Self.clusters(folder.file("image")).all
        // The last cluster is free.
        let start = try #require(truth.ranges.last).upperBound - count * size
        var generator = SeededGenerator(seed: seed)
        var volume = original
        var lies = 0
        while lies < 60 * SpaceLies.factor {
            let cluster = Int64.random(in: 2..<count + 2, using: &generator)
            let place = start + (cluster - 2) * size
            guard !truth.overlaps(place..<place + size) else { continue }
            lies += 1
            Self.set(Int(cluster), to: 0, width, in: &volume.content)
            #expect(SpaceLies.use(volume, "vfat") == nil, "seed \(seed), cluster \(cluster)")
            // Into another chain, or into its own begin.
            Self.set(Int(cluster), to: UInt32(cluster), width, in: &volume.content)
            #expect(SpaceLies.use(volume, "vfat") == nil, "seed \(seed), cluster \(cluster)")
            Self.set(Int(cluster), to: Self.entry(Int(cluster), width, original.content), width, in: &volume.content)
        }
        #expect(volume.content == original.content)
        // A table that is not the same as its copy.
        volume.content[Self.sizes(volume.content).reserved + 30] ^= 1
        #expect(SpaceLies.use(volume, "vfat", isChecked: false) == nil)
    }

    /// Bad and lost clusters are not free.
    @Test(arguments: [(["-F", "16"], 30, 16), (["-F", "32", "-s", "1"], 40, 32)])
    func leavesBadClustersAlone(_ arguments: [String], megabytes: Int, width: Int) throws {
        var volume = try MemoryVolume(file: try image(arguments, megabytes: megabytes, many: 10))
        let truth = try #require(SpaceLies.use(volume, "vfat")).free
        let count = try Self.clusters(folder.file("image")).all
        let size = Self.sizes(volume.content).cluster
        Self.set(Int(count) + 1, to: width == 16 ? 0xfff7 : 0x0fff_fff7, width, in: &volume.content)
        Self.set(Int(count), to: width == 16 ? 0xffff : 0x0fff_ffff, width, in: &volume.content)
        let free = try #require(SpaceLies.use(volume, "vfat")).free
        let end = try #require(truth.ranges.last).upperBound
        #expect(free.totalLength == truth.totalLength - 2 * size && free.ranges.last?.upperBound == end - 2 * size)
    }

    @Test(arguments: [(["-F", "12", "-s", "8"], 12), (["-F", "16"], 20), (["-F", "32", "-s", "1"], 36)])
    func damageIsNoFreeSpace(_ arguments: [String], megabytes: Int) throws {
        let volume = try MemoryVolume(file: try image(arguments, megabytes: megabytes, many: 40))
        let sizes = Self.sizes(volume.content)
        let ranges = Damage.metadata(Array(volume.content.prefix(1 << 20)), blockSize: 512) { block in
            block.withUnsafeBytes { !$0.isAllZero } && block.filter { $0 == 0 }.count > 50
        }
        try SpaceLies.flip(volume.content, in: ranges, count: 60, seed: 1, type: "vfat")
        try SpaceLies.flip(volume.content, in: [11..<90], count: 60, seed: 2, type: "vfat")
        // Seen to move all clusters by some sectors: how many entries the root has.
        for (place, byte) in [(18, 0), (17, 46), (17, 16), (18, 1)] as [(Int, UInt8)] where arguments[1] != "32" {
            var moved = volume
            moved.content[place] = byte
            #expect(SpaceLies.use(moved, "vfat") == nil, "\(place): \(byte)")
        }
        try SpaceLies.truncate(volume.content, type: "vfat")
        // With one table only, nothing but the chains tells.
        let single = try MemoryVolume(file: try single(arguments + ["-f", "1"], megabytes: megabytes))
        let table = sizes.reserved..<sizes.reserved + 800
        try SpaceLies.flip(single.content, in: [table], count: 80, seed: 3, type: "vfat")
    }

    private func single(_ arguments: [String], megabytes: Int) throws -> String {
        let file = folder.file("single")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mkfs.vfat", arguments + [file])
        let tree = folder.file("tree")
        try copy(try Folder.names(in: tree).map { "\(tree)/\($0)" }, to: "::", of: file)
        return file
    }

    @Test func stopsWhenAsked() throws {
        let reader = try #require(
            try FileSystemKind.open(FileSource(try image(["-F", "16"], megabytes: 20, many: 3))))
        #expect { try reader.spaceUse(SpaceOptions(goesOn: { false })) } throws: {
            ($0 as? FileSystemError)?.cause == .stopped
        }
    }
}
