// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// Reads the trees of a btrfs file system: maps logical addresses to the device and finds items by their keys.
///
/// A node is a header of 101 bytes (checksum, UUID, its own address, flags, UUID, generation, owner, number of items,
/// level), then above level 0 keys with the address and generation of a child each, at level 0 keys with the place of
/// their data in the node.
final class BtrfsTrees: Sendable {
    /// A run of logical addresses, and where its copies are on this device.
    private struct Chunk {
        var logical: UInt64
        var length: UInt64
        /// First bytes of the copies; empty where it is striped over several devices, or lies on others.
        var copies: [Int64]
        var isStriped: Bool
    }

    private static let headerSize = 101
    private static let maximumLevel: UInt8 = 7
    private static let maximumChunks = 1 << 20
    /// Most nodes that one search reads.
    private static let maximumNodes = 1 << 16
    private static let maximumKept = 64

    let bytes: VolumeBytes
    let superblock: BtrfsSuperblock
    private let chunks: [Chunk]
    private let kept = Mutex<[UInt64: ByteFields]>([:])

    init(_ bytes: VolumeBytes, _ superblock: BtrfsSuperblock) throws(FileSystemError) {
        // The superblock names the chunks that the tree of all chunks lies in.
        var system: [Chunk] = []
        var place = 0
        let array = superblock.systemChunks
        while place < array.count {
            let key = BtrfsKey(array, at: place)
            guard key.kind == BtrfsKey.Kind.chunk else {
                throw Self.damaged(bytes, "the superblock's chunks are wrong")
            }
            let (chunk, size) = try Self.chunk(
                ByteFields(array.part(place + BtrfsKey.size, 4096)), key, superblock, bytes)
            system.append(chunk)
            place += BtrfsKey.size + size
        }
        let first = BtrfsTrees(bytes, superblock, system)
        var all: [Chunk] = []
        let low = BtrfsKey(256, BtrfsKey.Kind.chunk, 0)
        let high = BtrfsKey(256, BtrfsKey.Kind.chunk, .max)
        try first.search(superblock.chunkTree, low, high) { key, fields throws(FileSystemError) in
            all.append(try Self.chunk(fields, key, superblock, bytes).chunk)
            return all.count < Self.maximumChunks
        }
        self.bytes = bytes
        self.superblock = superblock
        chunks = all.sorted { $0.logical < $1.logical }
    }

    private init(_ bytes: VolumeBytes, _ superblock: BtrfsSuperblock, _ chunks: [Chunk]) {
        self.bytes = bytes
        self.superblock = superblock
        self.chunks = chunks.sorted { $0.logical < $1.logical }
    }

    private static func damaged(_ bytes: VolumeBytes, _ what: String) -> FileSystemError {
        FileSystemError(bytes.name, .damaged(what))
    }

    private func damaged(_ what: String) -> FileSystemError { Self.damaged(bytes, what) }

    /// Decodes a chunk item, and returns how long it is.
    ///
    /// Length, owner, stripe length, type, three sizes, number of stripes, of sub-stripes; for each stripe device, offset and UUID.
    private static func chunk(
        _ fields: ByteFields, _ key: BtrfsKey, _ superblock: BtrfsSuperblock, _ bytes: VolumeBytes
    ) throws(FileSystemError) -> (chunk: Chunk, size: Int) {
        let count = Int(fields.little(44, as: UInt16.self))
        let size = 48 + count * 32
        let length: UInt64 = fields.little(0)
        let type: UInt64 = fields.little(24)
        guard count > 0, fields.count >= size, length > 0, !key.offset.addingReportingOverflow(length).overflow,
            length <= UInt64(Int64.max)
        else { throw damaged(bytes, "a chunk is wrong") }
        // RAID0, RAID10, RAID5, RAID6: over one device each of them is a plain copy.
        let isStriped = type & 0x1c8 != 0 && count > 1
        var copies: [Int64] = []
        for index in 0..<count where !isStriped {
            let stripe = 48 + index * 32
            guard fields.little(stripe, as: UInt64.self) == superblock.deviceNumber else { continue }
            guard let offset = Int64(exactly: fields.little(stripe + 8, as: UInt64.self)),
                offset <= bytes.lengthInBytes, Int64(length) <= bytes.lengthInBytes - offset
            else { throw damaged(bytes, "a chunk lies outside the volume") }
            copies.append(offset)
        }
        return (Chunk(logical: key.offset, length: length, copies: copies, isStriped: isStriped), size)
    }

    /// Returns where the copies of `count` bytes at `logical` are on this device, at least one.
    func places(of logical: UInt64, count: Int) throws(FileSystemError) -> [Int64] {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle].logical <= logical { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { throw damaged("there is nothing at the address \(logical)") }
        let chunk = chunks[low - 1]
        let within = logical - chunk.logical
        guard within < chunk.length, UInt64(count) <= chunk.length - within else {
            throw damaged("there is nothing at the address \(logical)")
        }
        guard !chunk.copies.isEmpty else {
            let what = chunk.isStriped ? "striping over several devices" : "a device that is not this one"
            throw FileSystemError(bytes.name, .unsupported(what))
        }
        return chunk.copies.map { $0 + Int64(within) }
    }

    /// Returns the node at `logical`, from the first copy that is whole.
    private func node(_ logical: UInt64, level: UInt8, generation: UInt64?) throws(FileSystemError) -> ByteFields {
        if let known = kept.withLock({ $0[logical] }), known.byte(100) == level { return known }
        var failure: FileSystemError?
        for place in try places(of: logical, count: superblock.nodeSize) {
            do throws(FileSystemError) {
                let fields = try bytes.fields(at: place, count: superblock.nodeSize)
                guard !superblock.hasCRC32C || CRC32C.checksum(fields.part(32, fields.count)) == fields.little(0),
                    Array(fields.part(32, 16)) == superblock.metadataUUID,
                    fields.little(48, as: UInt64.self) == logical, fields.byte(100) == level,
                    generation == nil || fields.little(80, as: UInt64.self) == generation
                else { throw damaged("the tree block at \(logical) is wrong") }
                kept.withLock { kept in
                    if kept.count >= Self.maximumKept { kept.removeAll() }
                    kept[logical] = fields
                }
                return fields
            } catch { failure = error }
        }
        throw failure ?? damaged("the tree block at \(logical) has no copy")
    }

    /// Calls `body` with each item of a tree from key `low` to key `high`, in order, until it returns false.
    func search(
        _ root: BtrfsSuperblock.Root, _ low: BtrfsKey, _ high: BtrfsKey,
        _ body: (BtrfsKey, ByteFields) throws(FileSystemError) -> Bool
    ) throws(FileSystemError) {
        guard root.level <= Self.maximumLevel else { throw damaged("a tree of \(root.level) levels") }
        // Nodes still to be read, the next one last; a child is always one level lower.
        var waiting = [root]
        var nodes = 0
        while let next = waiting.popLast() {
            nodes += 1
            guard nodes <= Self.maximumNodes else {
                throw FileSystemError(bytes.name, .tooLarge(limit: Self.maximumNodes))
            }
            let fields = try node(next.logical, level: next.level, generation: next.generation)
            let count = Int(clamping: fields.little(96, as: UInt32.self))
            let entrySize = next.level == 0 ? 25 : 33
            guard count <= (fields.count - Self.headerSize) / entrySize else {
                throw damaged("a tree block is overfull")
            }
            func key(_ index: Int) -> BtrfsKey { BtrfsKey(fields, at: Self.headerSize + index * entrySize) }
            // The first entry that is not below `low`; above level 0 the one before may lead to it too.
            var first = 0
            var end = count
            while first < end {
                let middle = (first + end) / 2
                if key(middle) < low { first = middle + 1 } else { end = middle }
            }
            if next.level > 0 {
                var children: [BtrfsSuperblock.Root] = []
                for index in max(first - 1, 0)..<max(count, max(first - 1, 0)) {
                    if key(index) > high { break }
                    let place = Self.headerSize + index * entrySize + BtrfsKey.size
                    children.append(
                        BtrfsSuperblock.Root(
                            logical: fields.little(place), level: next.level - 1, generation: fields.little(place + 8)))
                }
                waiting += children.reversed()
            } else {
                for index in first..<max(count, first) {
                    let key = key(index)
                    if key > high { return }
                    let place = Self.headerSize + index * entrySize + BtrfsKey.size
                    let offset = Int(clamping: fields.little(place, as: UInt32.self)) + Self.headerSize
                    let size = Int(clamping: fields.little(place + 4, as: UInt32.self))
                    guard offset + size <= fields.count else { throw damaged("an item lies outside its tree block") }
                    guard try body(key, ByteFields(fields.part(offset, size))) else { return }
                }
            }
        }
    }

    /// Returns the item with exactly `key`, nil when there is none.
    func item(_ root: BtrfsSuperblock.Root, _ key: BtrfsKey) throws(FileSystemError) -> ByteFields? {
        var found: ByteFields?
        try search(root, key, key) { _, fields throws(FileSystemError) in
            found = fields
            return false
        }
        return found
    }
}
