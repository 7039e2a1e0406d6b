// SPDX-License-Identifier: GPL-3.0-or-later

/// Which logical addresses hold nothing: what the extent tree leaves out, held against the block groups' counts and the
/// tree of free space.
struct BtrfsFreeAddresses {
    /// What is known of one chunk.
    private struct Group {
        var used: UInt64 = 0
        /// What its block group says.
        var claimed: UInt64?
        var free = BtrfsRunDigest()
        var freeByTree: BtrfsRunDigest?
    }

    private let scan: BtrfsTreeScan
    private let chunks: [BtrfsChunk]
    private let superblock: BtrfsSuperblock
    private var groups: [Group]
    /// The chunk that the walk is in, and the address that it has come to.
    private var current = 0
    private var position: UInt64

    /// The addresses; where copies of the superblock lie, no extents are, and nothing says so.
    private(set) var free = FreeRuns(limit: FreeRuns.maximumCount / 2)

    /// Reads them all.
    init(_ scan: BtrfsTreeScan, _ roots: [BtrfsTreeRoot]) throws(FileSystemError) {
        self.scan = scan
        chunks = scan.trees.chunks
        superblock = scan.trees.superblock
        groups = Array(repeating: Group(), count: chunks.count)
        position = chunks.first?.logical ?? 0
        guard superblock.features & BtrfsSuperblock.Feature.mixedBackReferences != 0 else {
            throw FileSystemError(superblock.volume, .unsupported("an extent tree of the first kind"))
        }
        try readExtents(try Self.root(BtrfsTreeRoot.Number.extents, roots, superblock))
        if superblock.writerFeatures & BtrfsSuperblock.Feature.ForWriters.blockGroupTree != 0 {
            try readBlockGroups(try Self.root(BtrfsTreeRoot.Number.blockGroups, roots, superblock))
        }
        try checkCounts()
        let both =
            BtrfsSuperblock.Feature.ForWriters.freeSpaceTree | BtrfsSuperblock.Feature.ForWriters.freeSpaceTreeIsValid
        if superblock.writerFeatures & both == both {
            try readFreeSpaceTree(try Self.root(BtrfsTreeRoot.Number.freeSpace, roots, superblock))
        }
    }

    /// Returns where the only tree of `number` begins.
    static func root(
        _ number: UInt64, _ roots: [BtrfsTreeRoot], _ superblock: BtrfsSuperblock
    ) throws(FileSystemError) -> BtrfsPointer {
        let found = roots.filter { $0.key.object == number }
        guard found.count == 1, found[0].key.offset == 0 else {
            throw FileSystemError(superblock.volume, .damaged("there are \(found.count) trees of number \(number)"))
        }
        return found[0].pointer
    }

    private func damaged(_ what: String) -> FileSystemError { FileSystemError(superblock.volume, .damaged(what)) }

    private mutating func readExtents(_ root: BtrfsPointer) throws(FileSystemError) {
        let scan = scan
        try scan.leaves(of: root) { node throws(FileSystemError) in
            for index in 0..<node.count {
                let key = node.key(index)
                switch key.kind {
                case BtrfsKey.Kind.extent, BtrfsKey.Kind.treeBlock: try addExtent(key, node, index)
                case BtrfsKey.Kind.blockGroup: try addBlockGroup(key, node.item(index))
                case BtrfsKey.Kind.extentOwner...BtrfsKey.Kind.sharedDataReference: break
                default: throw damaged("the extent tree holds an item of kind \(key.kind)")
                }
            }
        }
        while current < chunks.count { leaveChunk() }
    }

    /// Takes an item that says that an extent is used: references, transaction, flags.
    private mutating func addExtent(_ key: BtrfsKey, _ node: BtrfsNode, _ index: Int) throws(FileSystemError) {
        let data = node.data(index)
        let isBlock = key.kind == BtrfsKey.Kind.treeBlock
        let length = isBlock ? UInt64(superblock.nodeSize) : key.offset
        let flags: UInt64 = node.fields.little(data.lowerBound + 16)
        while current < chunks.count, key.object >= chunks[current].end { leaveChunk() }
        let sector = UInt64(superblock.sectorSize)
        guard current < chunks.count, key.object >= position, length > 0, length <= BtrfsChunk.highest,
            key.object + length <= chunks[current].end, key.object % sector == 0, length % sector == 0
        else { throw damaged("the extent at \(key.object) overlaps another, or lies in no chunk") }
        // Data, or a block of a tree.
        let holds = chunks[current].type & (flags & 1 != 0 ? BtrfsChunk.Kind.data : 0x6)
        guard data.count >= 24, flags & 3 == 1 || flags & 3 == 2, holds != 0,
            node.fields.little(data.lowerBound, as: UInt64.self) > 0,
            flags & 1 != 0 ? !isBlock : length == UInt64(superblock.nodeSize)
        else { throw damaged("the extent at \(key.object) is wrong") }
        addFree(position..<key.object)
        position = key.object + length
        groups[current].used += length
    }

    /// Takes what lies behind the last extent of a chunk, and goes to the next.
    private mutating func leaveChunk() {
        addFree(position..<chunks[current].end)
        groups[current].free.finish()
        current += 1
        if current < chunks.count { position = chunks[current].logical }
    }

    private mutating func addFree(_ run: Range<UInt64>) {
        guard !run.isEmpty else { return }
        groups[current].free.add(run)
        // Below 2^63: chunks are checked.
        free.append(Int64(run.lowerBound)..<Int64(run.upperBound))
    }

    private mutating func readBlockGroups(_ root: BtrfsPointer) throws(FileSystemError) {
        let scan = scan
        try scan.leaves(of: root) { node throws(FileSystemError) in
            for index in 0..<node.count where node.key(index).kind == BtrfsKey.Kind.blockGroup {
                try addBlockGroup(node.key(index), node.item(index))
            }
        }
    }

    /// Takes a block group's item: bytes used, owner, type.
    private mutating func addBlockGroup(_ key: BtrfsKey, _ fields: ByteFields) throws(FileSystemError) {
        guard let number = scan.trees.chunk(of: key.object, count: key.offset), fields.count >= 24,
            chunks[number].logical == key.object, chunks[number].length == key.offset,
            (fields.little(16, as: UInt64.self) ^ chunks[number].type) & BtrfsChunk.Kind.mask == 0,
            groups[number].claimed == nil
        else { throw damaged("the block group at \(key.object) is no chunk") }
        groups[number].claimed = fields.little(0)
    }

    private func checkCounts() throws(FileSystemError) {
        var sum: UInt64 = 0
        for (chunk, group) in zip(chunks, groups) {
            guard let claimed = group.claimed else { throw damaged("the chunk at \(chunk.logical) has no block group") }
            guard claimed == group.used else {
                throw damaged(
                    "the block group at \(chunk.logical) says \(claimed) bytes are used, its extents \(group.used)")
            }
            sum &+= group.used
        }
        guard sum == superblock.usedLength else {
            throw damaged("the superblock says \(superblock.usedLength) bytes are used, the extents \(sum)")
        }
    }
}

extension BtrfsFreeAddresses {
    /// Holds the tree of free space against what was found.
    ///
    /// For each block group an item with the number of its free runs, then these: as extents, or as bitmaps of a bit a
    /// sector, the lowest first.
    private mutating func readFreeSpaceTree(_ root: BtrfsPointer) throws(FileSystemError) {
        // The block group that the walk is in; without a chunk where mkfs.btrfs removed it, and left its free space.
        var group: (start: UInt64, end: UInt64, chunk: Int?, count: UInt32, isBitmap: Bool)?
        var position: UInt64 = 0
        let scan = scan
        try scan.leaves(of: root) { node throws(FileSystemError) in
            for index in 0..<node.count {
                let key = node.key(index)
                let data = node.data(index)
                guard key.object <= BtrfsChunk.highest, key.offset <= BtrfsChunk.highest, key.object >= position else {
                    throw damaged("the free space tree is wrong at \(key.object)")
                }
                if key.kind == BtrfsKey.Kind.freeSpaceInfo {
                    try compare(group?.chunk, group?.count)
                    let flags: UInt32 = node.fields.little(data.lowerBound + 4)
                    group = (
                        key.object, key.object + key.offset, try chunk(key, data.count),
                        node.fields.little(data.lowerBound), flags & 1 != 0
                    )
                    position = key.object
                    if let chunk = group?.chunk { groups[chunk].freeByTree = BtrfsRunDigest() }
                    continue
                }
                guard let group, key.object + key.offset <= group.end,
                    key.kind == (group.isBitmap ? BtrfsKey.Kind.freeSpaceBitmap : BtrfsKey.Kind.freeSpaceExtent)
                else { throw damaged("the free space tree is wrong at \(key.object)") }
                position = key.object + key.offset
                guard let chunk = group.chunk else { continue }
                if group.isBitmap {
                    try addBitmap(key, node.item(index), to: chunk)
                } else {
                    groups[chunk].freeByTree?.add(key.object..<position)
                }
            }
        }
        try compare(group?.chunk, group?.count)
        guard groups.allSatisfy({ $0.freeByTree != nil }) else { throw damaged("the free space tree lacks a chunk") }
    }

    /// Returns the chunk that an item of the free space tree is of; nil where there is none at all.
    private func chunk(_ key: BtrfsKey, _ size: Int) throws(FileSystemError) -> Int? {
        var (next, end) = (0, chunks.count)
        while next < end {
            let middle = (next + end) / 2
            if chunks[middle].end <= key.object { next = middle + 1 } else { end = middle }
        }
        guard size >= 8, key.offset > 0 else { throw damaged("the free space tree is wrong at \(key.object)") }
        guard next < chunks.count, chunks[next].logical < key.object + key.offset else { return nil }
        guard chunks[next].logical == key.object, chunks[next].length == key.offset else {
            throw damaged("the free space tree names no chunk at \(key.object)")
        }
        return next
    }

    private mutating func addBitmap(
        _ key: BtrfsKey, _ fields: ByteFields, to number: Int
    ) throws(FileSystemError) {
        let sector = UInt64(superblock.sectorSize)
        let bits = key.offset / sector
        guard bits <= UInt64(fields.count) * 8 else { throw damaged("a bitmap of the free space tree is too short") }
        var bit: UInt64 = 0
        while bit < bits {
            let byte = fields.bytes[Int(bit / 8)]
            // Mostly all of them are the same.
            let step = bit % 8 == 0 && bits - bit >= 8 && (byte == 0 || byte == 0xff) ? UInt64(8) : 1
            if byte >> UInt8(bit % 8) & 1 != 0 {
                let start = key.object + bit * sector
                groups[number].freeByTree?.add(start..<start + step * sector)
            }
            bit += step
        }
    }

    private mutating func compare(_ number: Int?, _ count: UInt32?) throws(FileSystemError) {
        guard let number, let count else { return }
        groups[number].freeByTree?.finish()
        guard groups[number].freeByTree == groups[number].free, groups[number].free.count == Int(count) else {
            throw damaged("the free space tree contradicts the extents of the chunk at \(chunks[number].logical)")
        }
    }
}

/// Stands for a list of ranges, of which two are compared without being kept.
struct BtrfsRunDigest: Hashable {
    /// Number of ranges that do not touch.
    private(set) var count = 0
    private var hash: UInt64 = 0
    private var last: Range<UInt64>?

    /// Adds a range that begins at or behind the end of the last one.
    mutating func add(_ range: Range<UInt64>) {
        if let last, last.upperBound == range.lowerBound {
            self.last = last.lowerBound..<range.upperBound
        } else {
            finish()
            last = range
        }
    }

    /// Adds nothing more.
    mutating func finish() {
        guard let last else { return }
        count += 1
        for value in [last.lowerBound, last.upperBound] {
            // FNV-1a, on whole words, mixed once more.
            hash = (hash ^ value) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
        }
        self.last = nil
    }
}
