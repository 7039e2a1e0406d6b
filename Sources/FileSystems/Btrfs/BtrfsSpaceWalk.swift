// SPDX-License-Identifier: GPL-3.0-or-later

/// Goes through all trees, and holds each of their blocks, and each extent that a file names, against what is said to be
/// free.
///
/// Snapshots share blocks: each is read once. Blocks are read level by level, in the order of the disk.
struct BtrfsWalk {
    /// Most memory for the blocks that were seen, a bit a sector of the chunks that hold metadata.
    private static let maximumSeen = 64 << 20
    /// Most blocks of a level that wait to be read.
    private static let maximumWaiting = 1 << 17

    private let scan: BtrfsTreeScan
    private let trees: BtrfsTrees
    private let free: FreeRuns
    private let sectorSize: UInt64
    /// For each chunk, the number of its first bit.
    private var firstBits: [UInt64] = []
    private var seen: [UInt64] = []
    /// Blocks still to be read, for each level.
    private var waiting: [[BtrfsPointer]] = Array(repeating: [], count: Int(BtrfsNode.maximumLevel) + 1)

    /// How many pieces were held against what is free.
    private(set) var count = 0

    init(_ scan: BtrfsTreeScan, free: FreeRuns) throws(FileSystemError) {
        self.scan = scan
        trees = scan.trees
        self.free = free
        sectorSize = UInt64(trees.superblock.sectorSize)
        var bits: UInt64 = 0
        for chunk in trees.chunks {
            firstBits.append(bits)
            // Sectors and chunks are below 2^62, and chunks do not overlap.
            if Self.holdsBlocks(chunk) { bits += chunk.length / sectorSize }
        }
        guard bits / 8 <= UInt64(Self.maximumSeen) else {
            throw FileSystemError(trees.superblock.volume, .unsupported("more metadata than can be checked"))
        }
        seen = Array(repeating: 0, count: Int(bits / 64) + 1)
    }

    private static func holdsBlocks(_ chunk: BtrfsChunk) -> Bool {
        chunk.type & (BtrfsChunk.Kind.system | BtrfsChunk.Kind.metadata) != 0
    }

    private func damaged(_ what: String) -> FileSystemError { FileSystemError(trees.superblock.volume, .damaged(what)) }

    /// Goes through the trees of chunks, of trees, and all of `roots`.
    mutating func go(through roots: [BtrfsTreeRoot]) throws(FileSystemError) {
        var top = [trees.superblock.chunkTree, trees.superblock.rootTree]
        top[0].owner = BtrfsTreeRoot.Number.chunks
        top[1].owner = BtrfsTreeRoot.Number.root
        for pointer in top { try visit(pointer) }
        for root in roots {
            if let deletion = root.deletion {
                try visitRest(of: root, from: deletion.key, level: deletion.level)
            } else {
                try visit(root.pointer)
            }
        }
        for level in waiting.indices.reversed() { try drain(level) }
    }

    /// Holds a block against what is free, and notes it to be read, unless that was done before.
    private mutating func visit(_ pointer: BtrfsPointer) throws(FileSystemError) {
        guard pointer.level <= BtrfsNode.maximumLevel, pointer.generation <= trees.superblock.generation,
            let number = trees.chunk(of: pointer.logical, count: UInt64(trees.superblock.nodeSize)),
            Self.holdsBlocks(trees.chunks[number]), pointer.logical % sectorSize == 0
        else { throw damaged("there cannot be a tree block at \(pointer.logical)") }
        let bit = firstBits[number] + (pointer.logical - trees.chunks[number].logical) / sectorSize
        let (word, mask) = (Int(bit / 64), UInt64(1) << (bit % 64))
        guard seen[word] & mask == 0 else { return }
        seen[word] |= mask
        try hold(pointer.logical, UInt64(trees.superblock.nodeSize), "the tree block")
        waiting[Int(pointer.level)].append(pointer)
    }

    /// Throws when any copy of `length` bytes at `logical` is said to be free.
    private mutating func hold(
        _ logical: UInt64, _ length: UInt64, _ what: @autoclosure () -> String
    ) throws(FileSystemError) {
        guard let number = trees.chunk(of: logical, count: length) else {
            throw damaged("\(what()) at \(logical) lies in no chunk")
        }
        let chunk = trees.chunks[number]
        for copy in chunk.copies {
            let start = copy + Int64(logical - chunk.logical)
            guard !free.overlaps(start..<start + Int64(length)) else {
                throw damaged("\(what()) at \(logical) is said to be free")
            }
        }
        count += 1
    }

    /// Reads the blocks that wait at `level`, and below.
    private mutating func drain(_ level: Int) throws(FileSystemError) {
        var pointers: [BtrfsPointer] = []
        swap(&pointers, &waiting[level])
        pointers.sort { $0.logical < $1.logical }
        // Above level 0 one after the other, so that what waits below stays within bounds.
        let step = level == 0 ? scan.batchCount : min(scan.batchCount, 16)
        for start in stride(from: 0, to: pointers.count, by: step) {
            for node in try scan.nodes(Array(pointers[start..<min(start + step, pointers.count)])) {
                if level == 0 { try look(at: node) } else { try visitChildren(of: node, from: 0) }
            }
            if level > 0, waiting[level - 1].count >= Self.maximumWaiting { try drain(level - 1) }
        }
        if level > 0 { try drain(level - 1) }
    }

    private mutating func visitChildren(of node: BtrfsNode, from first: Int) throws(FileSystemError) {
        // What one tree may share with others is known by its blocks' owner as well as by its root.
        let root = BtrfsTreeRoot(BtrfsKey(node.owner, BtrfsKey.Kind.root, 0), ByteFields([UInt8]()))
        for index in first..<max(node.count, first) { try visit(node.child(index, owner: root.owner)) }
    }

    /// Visits what is left of a tree that is being deleted: from `key` on at `level`, and what leads there.
    private mutating func visitRest(
        of root: BtrfsTreeRoot, from key: BtrfsKey, level: UInt8
    ) throws(FileSystemError) {
        var pointer = root.pointer
        guard level > 0, level <= pointer.level, pointer.level <= BtrfsNode.maximumLevel else {
            throw damaged("the deletion of tree \(root.key.object) is at level \(level)")
        }
        while true {
            try hold(pointer.logical, UInt64(trees.superblock.nodeSize), "the tree block")
            let node = try trees.node(pointer)
            let next = node.lowerBound(key)
            if node.level == level { return try visitChildren(of: node, from: next) }
            // The last entry that is not above the key leads to it.
            let isHere = next < node.count && node.key(next) == key
            let way = isHere ? next : next - 1
            guard way >= 0 else { throw damaged("the deletion of tree \(root.key.object) has lost its way") }
            try visitChildren(of: node, from: way + 1)
            pointer = node.child(way, owner: root.owner)
        }
    }

    /// Holds what the items of a block name against what is free: extents of files, and the ranges that have checksums.
    private mutating func look(at node: BtrfsNode) throws(FileSystemError) {
        for index in 0..<node.count {
            let key = node.key(index)
            let data = node.data(index)
            switch key.kind {
            case BtrfsKey.Kind.extentData:
                let type = node.fields.byte(data.lowerBound + 20)
                guard data.count > 20, type == 0 || data.count >= 53, type <= 2 else {
                    throw damaged("an extent of inode \(key.object) is wrong")
                }
                let logical: UInt64 = node.fields.little(data.lowerBound + 21)
                let length: UInt64 = node.fields.little(data.lowerBound + 29)
                guard type != 0, logical != 0 else { continue }
                guard length > 0 else { throw damaged("an extent of inode \(key.object) is empty") }
                try hold(logical, length, "the extent of inode \(key.object) of tree \(node.owner)")
            case BtrfsKey.Kind.checksums where node.owner == BtrfsTreeRoot.Number.checksums:
                let sectors = UInt64(data.count) / UInt64(trees.superblock.checksumSize)
                try holdChecked(key.offset, sectors * sectorSize)
            default: break
            }
        }
    }

    /// Holds a range that has checksums against what is free; it may go on from one chunk to the next.
    private mutating func holdChecked(_ logical: UInt64, _ length: UInt64) throws(FileSystemError) {
        var position = logical
        let end = logical.addingReportingOverflow(length)
        guard !end.overflow else { throw damaged("checksums of nothing at \(logical)") }
        while position < end.partialValue {
            guard let number = trees.chunk(of: position, count: 1) else {
                throw damaged("checksums of what lies in no chunk at \(position)")
            }
            let next = min(end.partialValue, trees.chunks[number].end)
            try hold(position, next - position, "what has checksums")
            position = next
        }
    }
}
