// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// Reads the trees of a btrfs file system: maps logical addresses to the device and finds items by their keys.
final class BtrfsTrees: Sendable {
    /// Most pieces that all chunks together may have.
    private static let maximumStripes = 1 << 19
    /// Most nodes that one search reads.
    private static let maximumNodes = 1 << 16
    private static let maximumKept = 64

    let bytes: VolumeBytes
    let superblock: BtrfsSuperblock
    /// All chunks, by their addresses; none overlaps another.
    let chunks: [BtrfsChunk]
    /// Those that the superblock names.
    let systemChunks: [BtrfsChunk]
    private let kept = Mutex<[UInt64: BtrfsNode]>([:])

    convenience init(_ bytes: VolumeBytes, _ superblock: BtrfsSuperblock) throws(FileSystemError) {
        // The superblock names the chunks that the tree of all chunks lies in.
        var system: [BtrfsChunk] = []
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
        let first = try BtrfsTrees(bytes, superblock, system, system)
        var all: [BtrfsChunk] = []
        var stripes = 0
        let low = BtrfsKey(256, BtrfsKey.Kind.chunk, 0)
        let high = BtrfsKey(256, BtrfsKey.Kind.chunk, .max)
        try first.search(superblock.chunkTree, low, high) { key, fields throws(FileSystemError) in
            let chunk = try Self.chunk(fields, key, superblock, bytes).chunk
            all.append(chunk)
            stripes += chunk.stripes.count
            guard stripes <= Self.maximumStripes else {
                throw FileSystemError(bytes.name, .tooLarge(limit: Self.maximumStripes))
            }
            return true
        }
        try self.init(bytes, superblock, all, system)
    }

    private init(
        _ bytes: VolumeBytes, _ superblock: BtrfsSuperblock, _ chunks: [BtrfsChunk], _ systemChunks: [BtrfsChunk]
    ) throws(FileSystemError) {
        self.bytes = bytes
        self.superblock = superblock
        self.chunks = chunks.sorted { $0.logical < $1.logical }
        self.systemChunks = systemChunks
        guard zip(self.chunks, self.chunks.dropFirst()).allSatisfy({ $0.end <= $1.logical }) else {
            throw Self.damaged(bytes, "chunks overlap")
        }
    }

    private static func damaged(_ bytes: VolumeBytes, _ what: String) -> FileSystemError {
        FileSystemError(bytes.name, .damaged(what))
    }

    private func damaged(_ what: String) -> FileSystemError { Self.damaged(bytes, what) }

    private static func chunk(
        _ fields: ByteFields, _ key: BtrfsKey, _ superblock: BtrfsSuperblock, _ bytes: VolumeBytes
    ) throws(FileSystemError) -> (chunk: BtrfsChunk, size: Int) {
        guard
            let found = BtrfsChunk.decode(
                fields, key, device: superblock.deviceNumber, deviceLength: bytes.lengthInBytes)
        else { throw damaged(bytes, "a chunk is wrong, or lies outside the volume") }
        return found
    }

    /// Returns the number of the chunk that holds all of `count` bytes at `logical`; nil when there is none.
    func chunk(of logical: UInt64, count: UInt64) -> Int? {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle].logical <= logical { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let within = logical - chunks[low - 1].logical
        guard within < chunks[low - 1].length, count <= chunks[low - 1].length - within else { return nil }
        return low - 1
    }

    /// Returns where the copies of `count` bytes at `logical` are on this device, at least one.
    func places(of logical: UInt64, count: Int) throws(FileSystemError) -> [Int64] {
        guard let number = chunk(of: logical, count: UInt64(count)) else {
            throw damaged("there is nothing at the address \(logical)")
        }
        let chunk = chunks[number]
        guard !chunk.copies.isEmpty else {
            let what = chunk.isStriped ? "striping over several devices" : "a device that is not this one"
            throw FileSystemError(bytes.name, .unsupported(what))
        }
        return chunk.copies.map { $0 + Int64(logical - chunk.logical) }
    }

    /// Returns the block that `pointer` leads to, from the first copy that is whole.
    func node(_ pointer: BtrfsPointer) throws(FileSystemError) -> BtrfsNode {
        if let known = kept.withLock({ $0[pointer.logical] }), known.matches(pointer) { return known }
        var failure: FileSystemError?
        for place in try places(of: pointer.logical, count: superblock.nodeSize) {
            do throws(FileSystemError) {
                let fields = try bytes.fields(at: place, count: superblock.nodeSize)
                guard let node = BtrfsNode(fields, superblock, logical: pointer.logical), node.matches(pointer) else {
                    throw damaged("the tree block at \(pointer.logical) is wrong")
                }
                kept.withLock { kept in
                    if kept.count >= Self.maximumKept { kept.removeAll() }
                    kept[pointer.logical] = node
                }
                return node
            } catch { failure = error }
        }
        throw failure ?? damaged("the tree block at \(pointer.logical) has no copy")
    }

    /// Calls `body` with each item of a tree from key `low` to key `high`, in order, until it returns false.
    func search(
        _ root: BtrfsPointer, _ low: BtrfsKey, _ high: BtrfsKey,
        _ body: (BtrfsKey, ByteFields) throws(FileSystemError) -> Bool
    ) throws(FileSystemError) {
        guard root.level <= BtrfsNode.maximumLevel else { throw damaged("a tree of \(root.level) levels") }
        // Nodes still to be read, the next one last; a child is always one level lower.
        var waiting = [root]
        var nodes = 0
        while let next = waiting.popLast() {
            nodes += 1
            guard nodes <= Self.maximumNodes else {
                throw FileSystemError(bytes.name, .tooLarge(limit: Self.maximumNodes))
            }
            let node = try node(next)
            let first = node.lowerBound(low)
            if node.level > 0 {
                // The entry before may lead to `low` too.
                var children: [BtrfsPointer] = []
                for index in max(first - 1, 0)..<max(node.count, max(first - 1, 0)) {
                    if node.key(index) > high { break }
                    children.append(node.child(index, owner: next.owner))
                }
                waiting += children.reversed()
            } else {
                for index in first..<node.count {
                    let key = node.key(index)
                    if key > high { return }
                    guard try body(key, node.item(index)) else { return }
                }
            }
        }
    }

    /// Returns the item with exactly `key`, nil when there is none.
    func item(_ root: BtrfsPointer, _ key: BtrfsKey) throws(FileSystemError) -> ByteFields? {
        var found: ByteFields?
        try search(root, key, key) { _, fields throws(FileSystemError) in
            found = fields
            return false
        }
        return found
    }
}
