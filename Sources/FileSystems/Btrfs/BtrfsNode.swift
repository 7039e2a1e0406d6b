// SPDX-License-Identifier: GPL-3.0-or-later

/// Where a tree block is, and what is known of it before it is read.
struct BtrfsPointer: Sendable, Hashable {
    var logical: UInt64
    var level: UInt8
    /// The transaction that wrote it.
    var generation: UInt64
    /// The tree that it must belong to; nil where snapshots may share it.
    var owner: UInt64? = nil
    /// Its first key, as its parent says; nil for the topmost one.
    var firstKey: BtrfsKey? = nil
}

/// A tree block that is whole and in order.
///
/// A header of 101 bytes (checksum, UUID, its own address, flags, UUID, generation, owner, number of items, level), then
/// above level 0 keys with the address and generation of a child each, at level 0 keys with the place of their data,
/// which lies without gaps from the block's end down.
struct BtrfsNode: Sendable {
    static let headerSize = 101
    static let maximumLevel: UInt8 = 7

    let fields: ByteFields
    let level: UInt8
    let count: Int

    /// Checks that `fields` are a block of the file system that lies at `logical`; nil when they are not.
    init?(_ fields: ByteFields, _ superblock: BtrfsSuperblock, logical: UInt64) {
        guard !superblock.hasCRC32C || CRC32C.checksum(fields.part(32, fields.count)) == fields.little(0),
            fields.part(32, 16) == superblock.metadataUUID[...], fields.little(48, as: UInt64.self) == logical
        else { return nil }
        self.fields = fields
        level = fields.byte(100)
        let count = Int(clamping: fields.little(96, as: UInt32.self))
        guard level <= Self.maximumLevel, count <= (fields.count - Self.headerSize) / (level == 0 ? 25 : 33) else {
            return nil
        }
        self.count = count
        guard isInOrder else { return nil }
    }

    var generation: UInt64 { fields.little(80) }
    var owner: UInt64 { fields.little(88) }

    /// Returns the key of entry `index`.
    func key(_ index: Int) -> BtrfsKey { BtrfsKey(fields, at: place(index)) }

    /// Returns the child of entry `index`, of a block above level 0.
    func child(_ index: Int, owner: UInt64? = nil) -> BtrfsPointer {
        let place = place(index) + BtrfsKey.size
        return BtrfsPointer(
            logical: fields.little(place), level: level - 1, generation: fields.little(place + 8), owner: owner,
            firstKey: key(index))
    }

    /// Returns where in the block the data of entry `index` are, of a block at level 0.
    func data(_ index: Int) -> Range<Int> {
        let place = place(index) + BtrfsKey.size
        let start = Int(clamping: fields.little(place, as: UInt32.self)) + Self.headerSize
        return start..<start + Int(clamping: fields.little(place + 4, as: UInt32.self))
    }

    /// Returns the data of entry `index`, of a block at level 0.
    func item(_ index: Int) -> ByteFields {
        let data = data(index)
        return ByteFields(fields.part(data.lowerBound, data.count))
    }

    /// Returns the first entry that is not below `key`.
    func lowerBound(_ key: BtrfsKey) -> Int {
        var first = 0
        var end = count
        while first < end {
            let middle = (first + end) / 2
            if self.key(middle) < key { first = middle + 1 } else { end = middle }
        }
        return first
    }

    /// Tells whether this is what `pointer` leads to.
    func matches(_ pointer: BtrfsPointer) -> Bool {
        level == pointer.level && generation == pointer.generation
            && (pointer.owner == nil || pointer.owner == owner)
            && (pointer.firstKey == nil || count > 0 && pointer.firstKey == key(0))
    }

    private func place(_ index: Int) -> Int { Self.headerSize + index * (level == 0 ? 25 : 33) }

    /// Whether keys ascend and data lie one before the other.
    private var isInOrder: Bool {
        var end = fields.count
        var last: BtrfsKey?
        for index in 0..<count {
            let key = key(index)
            if let last, key <= last { return false }
            last = key
            guard level == 0 else { continue }
            let data = data(index)
            guard data.upperBound == end, data.lowerBound >= place(count) else { return false }
            end = data.lowerBound
        }
        return true
    }
}
