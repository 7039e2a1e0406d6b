// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport

/// An image of XFS in memory, whose structures tests change as a liar would: with all counts and checksums made right.
struct XFSImage {
    /// A tree that has only one block.
    struct Leaf {
        var place: Int
        var records: [[UInt32]]
    }

    var volume: MemoryVolume
    /// What was changed, and what stood there before.
    private var changes: [(place: Int, byte: UInt8)] = []
    let blockSize: Int
    let sectorSize: Int
    let groupBlocks: Int
    let groupCount: Int
    let groupLog: Int
    let inodeSize: Int
    let isVersion5: Bool

    init(_ file: String) throws {
        volume = try MemoryVolume(file: file)
        let head = Array(volume.content.prefix(512))
        func number(_ offset: Int, _ size: Int = 4) -> Int {
            head[offset..<offset + size].reduce(0) { $0 << 8 | Int($1) }
        }
        (blockSize, sectorSize, inodeSize) = (number(4), number(102, 2), number(104, 2))
        (groupBlocks, groupCount, groupLog) = (number(84), number(88), number(124, 1))
        isVersion5 = number(100, 2) & 0xf == 5
    }

    func spaceUse(isChecked: Bool = true) throws -> SpaceUse {
        guard let reader = try FileSystemKind.open(volume, type: "xfs") else { throw ToolError("no XFS") }
        return try reader.spaceUse(SpaceOptions(isChecked: isChecked))
    }

    subscript(place: Int) -> UInt32 {
        get { volume.content[place..<place + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        set {
            for index in 0..<4 {
                put(UInt8(truncatingIfNeeded: newValue >> UInt32(24 - 8 * index)), at: place + index)
            }
        }
    }

    /// Changes a byte, until all changes are taken back.
    mutating func put(_ byte: UInt8, at place: Int) {
        changes.append((place, volume.content[place]))
        volume.content[place] = byte
    }

    /// Takes all changes back.
    mutating func restore() {
        while let change = changes.popLast() { volume.content[change.place] = change.byte }
    }

    /// Returns the four letters at `place`.
    func magic(_ place: Int) -> String {
        let letters = volume.content[place..<place + 4]
        return letters.starts(with: [0x49, 0x4e]) ? "IN" : String(decoding: letters, as: UTF8.self)
    }

    func group(_ number: Int) -> Int { number * groupBlocks * blockSize }

    /// Makes the checksum of the structure at `place` right, if it is one that has any.
    mutating func seal(_ place: Int) {
        guard isVersion5 else { return }
        let (offset, size): (Int, Int)
        switch magic(place) {
        case "XFSB": (offset, size) = (224, sectorSize)
        case "XAGF": (offset, size) = (216, sectorSize)
        case "XAGI": (offset, size) = (312, sectorSize)
        case "XAFL": (offset, size) = (32, sectorSize)
        case "AB3B", "AB3C", "IAB3", "FIB3", "RMB3", "R3FC": (offset, size) = (52, blockSize)
        case "BMA3": (offset, size) = (64, blockSize)
        case "IN": (offset, size) = (100, inodeSize)
        default: return
        }
        for index in 0..<4 { put(0, at: place + offset + index) }
        let sum = Self.checksum(volume.content[place..<place + size])
        for index in 0..<4 {
            put(UInt8(truncatingIfNeeded: sum >> UInt32(8 * index)), at: place + offset + index)
        }
    }

    /// CRC-32C.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBufferPointer { bytes in
            var register = UInt32.max
            for byte in bytes {
                register ^= UInt32(byte)
                for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82f6_3b78 : register >> 1 }
            }
            return ~register
        }
    }

    /// Returns the tree of `group` whose root and height the header in sector `sector` names; nil when it is higher.
    func leaf(_ group: Int, sector: Int, root: Int, levels: Int, words: Int) -> Leaf? {
        let header = self.group(group) + sector * sectorSize
        guard self[header + levels] == 1 else { return nil }
        let place = self.group(group) + Int(self[header + root]) * blockSize
        let count = Int(self[place + 4] & 0xffff)
        let start = place + (isVersion5 ? 56 : 16)
        return Leaf(
            place: place,
            records: (0..<count).map { record in (0..<words).map { self[start + (record * words + $0) * 4] } })
    }

    /// Writes `leaf` with other records.
    mutating func write(_ leaf: Leaf) {
        self[leaf.place + 4] = UInt32(leaf.records.count)
        let start = leaf.place + (isVersion5 ? 56 : 16)
        for (index, word) in leaf.records.joined().enumerated() { self[start + index * 4] = word }
        seal(leaf.place)
    }

    /// Says of block `block` of `group` that it is free, and of another one that it is not.
    ///
    /// - Returns: false when the group's trees are more than one block each.
    mutating func free(_ block: Int, of group: Int, _ generator: inout SeededGenerator) -> Bool {
        guard var byBlock = leaf(group, sector: 1, root: 16, levels: 28, words: 2),
            var byLength = leaf(group, sector: 1, root: 20, levels: 32, words: 2),
            let index = byBlock.records.indices.filter({ byBlock.records[$0][1] > 1 }).randomElement(using: &generator)
        else { return false }
        byBlock.records[index][1] -= 1
        byBlock.records.append([UInt32(block), 1])
        byBlock.records.sort { $0[0] < $1[0] }
        byLength.records = byBlock.records.sorted { ($0[1], $0[0]) < ($1[1], $1[0]) }
        let header = self.group(group) + sectorSize
        self[header + 56] = byLength.records.last?[1] ?? 0
        seal(header)
        write(byBlock)
        write(byLength)
        return true
    }
}
