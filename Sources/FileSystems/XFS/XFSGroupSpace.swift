// SPDX-License-Identifier: GPL-3.0-or-later

/// Reads the trees of one allocation group, and holds them against its headers and each other.
struct XFSGroupSpace {
    /// Most blocks of the tree of free space, which are kept until all of it is known.
    private static let maximumTreeBlocks = 4 << 20

    let group: XFSAllocationGroup
    /// Blocks of the trees of free space and of the reverse map, roots not counted.
    private(set) var freeTreeBlocks: UInt64 = 0

    init(_ group: XFSAllocationGroup) { self.group = group }

    private func damaged(_ what: String, _ space: XFSSpace) -> FileSystemError {
        space.damaged("group \(group.number): \(what)")
    }

    /// Appends the group's free space to that of `space`, and holds all of the group's metadata against it.
    mutating func read(_ space: inout XFSSpace) throws(FileSystemError) {
        let set = try readFreeByBlock(&space)
        try hold(0, group.headerBlocks, "its headers", &space)
        for block in group.freeList { try hold(block, 1, "a block of its free list", &space) }
        guard try readFreeByLength(&space) == set else {
            throw damaged("the trees of free space by block and by length differ", space)
        }
        let totals = space.superblock.totals
        if totals.hasReverseMap {
            let blocks = try readReverseMap(&space)
            guard blocks == group.reverseMapBlocks else { throw damaged("the reverse map is not as large", space) }
            freeTreeBlocks += blocks - 1
        }
        if totals.isLazy, freeTreeBlocks != group.freeTreeBlocks {
            throw damaged("the trees of free space are not as large as its header says", space)
        }
        if totals.hasReferences {
            guard try readReferences(&space) == group.referenceBlocks else {
                throw damaged("the tree of shared blocks is not as large as its header says", space)
            }
        }
        try readInodeTrees(&space)
    }

    private func hold(
        _ block: UInt64, _ count: UInt64, _ what: @autoclosure () -> String, _ space: inout XFSSpace
    ) throws(FileSystemError) {
        try space.hold(group.bytes(block, count), of: "group \(group.number): \(what())")
    }

    /// Walks the tree at `root`, each block of it held against what is free.
    ///
    /// - Returns: how many blocks it has.
    private func walk(
        _ kind: XFSTree.Kind, _ root: XFSAllocationGroup.Root, _ space: inout XFSSpace,
        record: (ByteFields, Int, inout XFSSpace) throws(FileSystemError) -> Void
    ) throws(FileSystemError) -> UInt64 {
        let tree = XFSTree(space.bytes, space.superblock, kind, of: .group(group.number))
        var blocks: UInt64 = 0
        try tree.walk([XFSTree.Branch(block: root.block, level: root.levels - 1)]) { block throws(FileSystemError) in
            blocks += 1
            try hold(block, 1, "a block of \(kind.rawValue)", &space)
        } record: { fields, place throws(FileSystemError) in
            try record(fields, place, &space)
        }
        return blocks
    }

    /// Reads the free runs in the order of their places.
    ///
    /// - Returns: the set of them.
    private mutating func readFreeByBlock(_ space: inout XFSSpace) throws(FileSystemError) -> XFSFingerprint {
        let tree = XFSTree(space.bytes, space.superblock, .freeByBlock, of: .group(group.number))
        let root = XFSTree.Branch(block: group.freeByBlock.block, level: group.freeByBlock.levels - 1)
        // They can be held against the free space only when all of it is known.
        var treeBlocks: [UInt32] = []
        var set = XFSFingerprint()
        var end: UInt64 = 0
        var sum: UInt64 = 0
        var longest: UInt64 = 0
        try tree.walk([root]) { block throws(FileSystemError) in
            guard treeBlocks.count < Self.maximumTreeBlocks, let block = UInt32(exactly: block) else {
                throw tree.damaged("has too many blocks")
            }
            treeBlocks.append(block)
        } record: { fields, place throws(FileSystemError) in
            let start = UInt64(fields.big(place, as: UInt32.self))
            let count = UInt64(fields.big(place + 4, as: UInt32.self))
            guard start >= max(end, group.headerBlocks), let run = group.bytes(start, count) else {
                throw tree.damaged("holds blocks twice or of another group")
            }
            try space.appendFree(run, of: group.number)
            set.add(start, count)
            end = start + count
            sum += count
            longest = max(longest, count)
        }
        guard sum == group.freeBlocks, longest == group.longestFree else {
            throw damaged("its header says that \(group.freeBlocks) blocks are free, the tree \(sum)", space)
        }
        for block in treeBlocks { try hold(UInt64(block), 1, "a block of the tree of free space", &space) }
        freeTreeBlocks += UInt64(treeBlocks.count) - 1
        return set
    }

    /// Returns the set of the free runs in the tree that is sorted by length.
    private mutating func readFreeByLength(_ space: inout XFSSpace) throws(FileSystemError) -> XFSFingerprint {
        var set = XFSFingerprint()
        freeTreeBlocks +=
            try walk(.freeByLength, group.freeByLength, &space) { fields, place, _ throws(FileSystemError) in
                set.add(
                    UInt64(fields.big(place, as: UInt32.self)), UInt64(fields.big(place + 4, as: UInt32.self)))
            } - 1
        return set
    }

    /// Holds every owner's blocks against what is free: together they must be the whole group.
    private func readReverseMap(_ space: inout XFSSpace) throws(FileSystemError) -> UInt64 {
        var end: UInt64 = 0
        var owned: UInt64 = 0
        let blocks = try walk(.reverseMap, group.reverseMap, &space) { fields, place, space throws(FileSystemError) in
            let start = UInt64(fields.big(place, as: UInt32.self))
            let count = UInt64(fields.big(place + 4, as: UInt32.self))
            guard let piece = group.bytes(start, count), try !space.isFree(piece) else {
                throw damaged("block \(start) is free, but has an owner", space)
            }
            // Blocks that files share have several.
            owned += max(start + count, end) - max(start, end)
            end = max(start + count, end)
        }
        guard owned + group.freeBlocks == group.length else {
            throw damaged("blocks are neither free nor anyone's", space)
        }
        return blocks
    }

    /// Holds blocks that are shared, or set aside to be written to instead of them, against what is free.
    private func readReferences(_ space: inout XFSSpace) throws(FileSystemError) -> UInt64 {
        var end: UInt64 = 0
        return try walk(.references, group.references, &space) { fields, place, space throws(FileSystemError) in
            let key: UInt32 = fields.big(place)
            // Those set aside come behind all others.
            let isSetAside = key >> 31 != 0
            if isSetAside, end >> 31 == 0 { end = 1 << 31 }
            let count = UInt64(fields.big(place + 4, as: UInt32.self))
            let references = UInt64(fields.big(place + 8, as: UInt32.self))
            guard UInt64(key) >= end, isSetAside ? references == 1 : references >= 2,
                let piece = group.bytes(UInt64(key & .max >> 1), count), try !space.isFree(piece)
            else { throw damaged("shared block \(key & .max >> 1) is free or wrong", space) }
            end = UInt64(key) + count
            // Nobody else accounts for what was set aside; of those shared, all users but one are too many.
            space.share(isSetAside ? 0 &- count : (references - 1) &* count)
        }
    }

    /// Holds the chunks of inodes against what is free, and the trees' counts against the header's.
    private func readInodeTrees(_ space: inout XFSSpace) throws(FileSystemError) {
        var all: UInt64 = 0
        var free: UInt64 = 0
        var set = XFSFingerprint()
        var place = XFSInodePlace(group, space.superblock)
        let blocks = try walk(.inodes, group.inodes, &space) { fields, offset, space throws(FileSystemError) in
            let chunk = try place.next(fields, offset, space)
            for run in chunk.runs {
                guard let blocks = place.newBlocks(run) else { continue }
                try hold(blocks.lowerBound, UInt64(blocks.count), "inodes", &space)
            }
            all += UInt64(chunk.count)
            free += UInt64(chunk.freeCount)
            if chunk.freeCount > 0 { set.add(fields.big(offset), chunk.free) }
        }
        let totals = space.superblock.totals
        guard all == group.inodeCount, free == group.freeInodeCount,
            !totals.hasInodeTreeCounts || blocks == group.inodeTreeBlocks
        else { throw damaged("its inodes are not as many as its header says", space) }
        guard totals.hasFreeInodeTree else { return }
        var freeSet = XFSFingerprint()
        let freeTree = try walk(.freeInodes, group.freeInodes, &space) { fields, offset, _ throws(FileSystemError) in
            freeSet.add(fields.big(offset), fields.big(offset + 8))
        }
        guard freeSet == set, !totals.hasInodeTreeCounts || freeTree == group.freeInodeTreeBlocks else {
            throw damaged("the trees of inodes and of free inodes differ", space)
        }
    }
}

/// Follows the chunks of inodes through a group: none overlaps the one before.
struct XFSInodePlace {
    private let group: XFSAllocationGroup
    private let superblock: XFSSuperblock
    /// Behind the last chunk, and behind its last block.
    private var end: UInt64 = 0
    private var endBlock: UInt64 = 0

    init(_ group: XFSAllocationGroup, _ superblock: XFSSuperblock) {
        self.group = group
        self.superblock = superblock
    }

    /// Decodes the next record of the group's tree of inodes.
    mutating func next(_ fields: ByteFields, _ offset: Int, _ space: XFSSpace) throws(FileSystemError) -> XFSInodeChunk
    {
        guard let chunk = XFSInodeChunk(fields, at: offset, isSparse: superblock.totals.hasSparseInodes),
            chunk.first >= end
        else { throw space.damaged("group \(group.number): a chunk of inodes is wrong") }
        end = chunk.first + XFSInodeChunk.inodes
        return chunk
    }

    /// Returns the blocks of the group that hold the inodes of `run`, but for the one that chunks before had as well.
    mutating func newBlocks(_ run: Range<UInt64>) -> Range<UInt64>? {
        let log = superblock.inodesPerBlockLog
        let first = max(run.lowerBound >> log, endBlock)
        let last = (run.upperBound - 1) >> log
        guard first <= last else { return nil }
        endBlock = last + 1
        return first..<last + 1
    }
}
