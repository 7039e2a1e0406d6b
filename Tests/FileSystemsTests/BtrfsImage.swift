// SPDX-License-Identifier: GPL-3.0-or-later

internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// What btrfs-progs says of an image's chunks and extents.
struct BtrfsDump {
    struct Chunk {
        var logical: Int64
        var length: Int64
        var places: [Int64]
    }

    /// An item that says that something is used, and the place of the item.
    struct Extent {
        var logical: Int64
        var length: Int64
        var isData: Bool
        var leaf: Int64
        var index: Int
        /// Whether the item that follows says the same of another.
        var isAlone = true
    }

    static let unit: Int64 = 4096

    var chunks: [Chunk] = []
    var extents: [Extent] = []
    /// Where the item of each block group is.
    var groups: [(logical: Int64, leaf: Int64, index: Int)] = []
    let nodeSize: Int64
    let deviceLength: Int64

    init(_ file: String) throws {
        let superblock = try Tool.output("btrfs", ["inspect-internal", "dump-super", file])
        func number(_ name: String) throws -> Int64 {
            let line = try #require(superblock.split(separator: "\n").first { $0.hasPrefix("\(name)\t") })
            return try #require(line.split(separator: "\t").last.flatMap { Int64($0) })
        }
        nodeSize = try number("nodesize")
        deviceLength = try number("dev_item.total_bytes")
        let device = try number("dev_item.devid")
        for line in try Self.lines(file, "chunk") {
            if let match = line.firstMatch(of: /CHUNK_ITEM (\d+)\)/) {
                chunks.append(Chunk(logical: Int64(match.output.1) ?? 0, length: 0, places: []))
            } else if let match = line.prefixMatch(of: /\t\tlength (\d+) owner/) {
                chunks[chunks.count - 1].length = Int64(match.output.1) ?? 0
            } else if let match = line.firstMatch(of: /stripe \d+ devid (\d+) offset (\d+)/),
                Int64(match.output.1) == device
            {
                chunks[chunks.count - 1].places.append(Int64(match.output.2) ?? 0)
            }
        }
        var leaf: Int64 = 0
        for line in try Self.lines(file, "extent") {
            if line.hasPrefix("leaf "), line.contains(" items ") {
                leaf = line.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
            } else if let match = line.firstMatch(of: /item (\d+) key \((\d+) (\w+) (\d+)\)/) {
                let kind = match.output.3
                guard kind == "EXTENT_ITEM" || kind == "METADATA_ITEM" else {
                    if !extents.isEmpty { extents[extents.count - 1].isAlone = false }
                    if kind == "BLOCK_GROUP_ITEM" {
                        groups.append((Int64(match.output.2) ?? 0, leaf, Int(match.output.1) ?? 0))
                    }
                    continue
                }
                let length = kind == "METADATA_ITEM" ? nodeSize : Int64(match.output.4) ?? 0
                extents.append(
                    Extent(
                        logical: Int64(match.output.2) ?? 0, length: length, isData: false, leaf: leaf,
                        index: Int(match.output.1) ?? 0))
            } else if line.hasSuffix("flags DATA"), line.contains("refs") {
                extents[extents.count - 1].isData = true
            }
        }
    }

    private static func lines(_ file: String, _ tree: String) throws -> [Substring] {
        try Tool.output("btrfs", ["inspect-internal", "dump-tree", "-t", tree, file]).split(separator: "\n")
    }

    /// Returns where the copies of `logical` are.
    func places(_ logical: Int64) -> [Int64] {
        guard let chunk = chunks.first(where: { $0.logical <= logical && logical < $0.logical + $0.length }) else {
            return []
        }
        return chunk.places.map { $0 + logical - chunk.logical }
    }

    /// Returns for each unit of the device whether something uses it; where two devices share it, all of each chunk.
    func used(isWhole: Bool = false) -> [Bool] {
        var used = [Bool](repeating: false, count: Int(deviceLength / Self.unit))
        func add(_ place: Int64, _ length: Int64) {
            for unit in place / Self.unit..<(place + length + Self.unit - 1) / Self.unit where unit < used.count {
                used[Int(unit)] = true
            }
        }
        add(0, 1 << 20)
        for chunk in chunks where isWhole {
            for place in chunk.places { add(place, chunk.length) }
        }
        for extent in extents where !isWhole {
            for place in places(extent.logical) { add(place, extent.length) }
        }
        for superblock in [Int64(64 << 10), 64 << 20, 256 << 30] {
            add(superblock, 64 << 10)
        }
        return used
    }

    /// Returns the runs of units that nothing uses, in bytes.
    func free(isWhole: Bool = false) -> [Range<Int64>] {
        var runs = FreeRuns()
        for (unit, isUsed) in used(isWhole: isWhole).enumerated() where !isUsed {
            runs.append(Int64(unit) * Self.unit..<Int64(unit + 1) * Self.unit)
        }
        return runs.ranges
    }
}

/// An image in memory whose structures are changed, and their checksums set right.
struct BtrfsImage {
    var volume: MemoryVolume
    let dump: BtrfsDump

    init(_ file: String) throws {
        volume = try MemoryVolume(file: file)
        dump = try BtrfsDump(file)
    }

    func number(at place: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(volume.content[place + $1]) << UInt64($1 * 8) }
    }

    mutating func set(_ value: UInt64, at place: Int) {
        for index in 0..<8 { volume.content[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) }
    }

    /// Sets the checksum of the `count` bytes from `place` right, of which the first 32 are kept for it.
    mutating func seal(_ place: Int, count: Int) {
        var register = UInt32.max
        for byte in volume.content[place + 32..<place + count] {
            register = Self.table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ register >> 8
        }
        for index in 0..<4 {
            volume.content[place + index] = UInt8(truncatingIfNeeded: ~register >> (UInt32(index) * 8))
        }
    }

    mutating func sealSuperblock() { seal(64 << 10, count: 4096) }

    /// Changes all copies of the block at `logical`.
    mutating func change(_ logical: Int64, _ body: (inout BtrfsImage, Int) -> Void) {
        for place in dump.places(logical) {
            body(&self, Int(place))
            seal(Int(place), count: Int(dump.nodeSize))
        }
    }

    /// Says that the tree of free space is not valid, so that nothing contradicts the extent tree.
    mutating func forgetFreeSpaceTree() {
        set(number(at: (64 << 10) + 180) & ~2, at: (64 << 10) + 180)
        sealSuperblock()
    }

    /// Returns where the data of item `index` are in the leaf at byte `place`.
    func data(_ place: Int, _ index: Int) -> Int {
        place + 101 + Int(UInt32(truncatingIfNeeded: number(at: place + 101 + index * 25 + 17)))
    }

    func use(_ isChecked: Bool = true) throws -> SpaceUse {
        // Damage may hit what it is known by, which is no failure of the test.
        guard let reader = try FileSystemKind.open(volume) else { throw ToolError("there is no file system") }
        return try reader.spaceUse(SpaceOptions(isChecked: isChecked))
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    }
}

/// Images that mkfs.btrfs(8) makes in a folder of a test's own, and the kernel fills.
struct BtrfsImages {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    func make(_ arguments: [String], megabytes: Int = 300, name: String = "image") throws -> String {
        let file = folder.file(name)
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mkfs.btrfs", ["-q", "-f"] + arguments + [file])
        return file
    }

    func mounted(_ file: String, _ options: String, _ body: (String) throws -> Void) throws {
        let point = access(folder.file("mnt"), F_OK) == 0 ? folder.file("mnt") : try folder.folder("mnt")
        let loop = try LoopDevice(file)
        let mount = try Mount(["-t", "btrfs", "-o", options, loop.path], at: point, keeping: loop)
        try withExtendedLifetime(mount) { try body(point) }
    }

    /// Makes files, and deletes and overwrites some, several times over.
    func age(_ folder: String, seed: UInt64, count: Int = 150) throws {
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
}
