// SPDX-License-Identifier: GPL-3.0-or-later

/// Where a tree begins, and how far its deletion is: an item of the tree of trees.
struct BtrfsTreeRoot {
    /// Numbers of the trees that everything else hangs on.
    enum Number {
        static let root: UInt64 = 1
        static let extents: UInt64 = 2
        static let chunks: UInt64 = 3
        static let devices: UInt64 = 4
        static let topmost: UInt64 = 5
        static let checksums: UInt64 = 7
        static let freeSpace: UInt64 = 10
        static let blockGroups: UInt64 = 11
        /// The first and the last of subvolumes.
        static let subvolumes: ClosedRange<UInt64> = 256...UInt64(bitPattern: -256)
        /// Of a tree that is being moved: its blocks stay some subvolume's.
        static let relocation = UInt64(bitPattern: -8)
    }

    /// Number of the tree, or of the kind of tree; for relocation the offset is the tree that is moved.
    let key: BtrfsKey
    var pointer: BtrfsPointer
    /// Where deleting the tree has come to: what is before that in blocks of this level, and below, is gone.
    let deletion: (key: BtrfsKey, level: UInt8)?

    init(_ key: BtrfsKey, _ fields: ByteFields) {
        self.key = key
        pointer = BtrfsPointer(
            logical: fields.little(176), level: fields.byte(238), generation: fields.little(160))
        let progress = BtrfsKey(fields, at: 220)
        let isDeleted = fields.little(216, as: UInt32.self) == 0 && progress.object != 0
        deletion = isDeleted ? (progress, fields.byte(237)) : nil
    }

    /// The owner that all blocks of the tree must name; nil where snapshots share them.
    var owner: UInt64? {
        let isShared =
            key.object == Number.topmost || Number.subvolumes.contains(key.object)
            || key.object == Number.relocation
        return isShared ? nil : key.object
    }
}

/// Reads whole trees, as far as possible in the order of the disk.
struct BtrfsTreeScan {
    /// Bytes of blocks that are read, and kept, at once.
    private static let batchLength = 8 << 20
    /// Most bytes of one read, and of what lies between two blocks and is read with them.
    private static let readLength = 1 << 20
    private static let maximumGap = 128 << 10

    let trees: BtrfsTrees
    let options: SpaceOptions

    /// Most blocks that are read at once.
    var batchCount: Int { max(Self.batchLength / trees.superblock.nodeSize, 1) }

    /// Calls `body` with each block at level 0 of a tree, in order.
    func leaves(
        of root: BtrfsPointer, _ body: (BtrfsNode) throws(FileSystemError) -> Void
    ) throws(FileSystemError) {
        let superblock = trees.superblock
        guard root.level <= BtrfsNode.maximumLevel else {
            throw FileSystemError(superblock.volume, .damaged("a tree of \(root.level) levels"))
        }
        // A tree has no more blocks than there is room for: hostile ones may lead to the same again and again.
        var left = superblock.totalLength / UInt64(superblock.nodeSize) + 1
        // Blocks still to be read, the next one last.
        var waiting = [root]
        var last: BtrfsKey?
        while let next = waiting.popLast() {
            var batch = [next]
            while next.level == 0, batch.count < batchCount, let sibling = waiting.last, sibling.level == 0 {
                batch.append(sibling)
                waiting.removeLast()
            }
            guard left >= UInt64(batch.count) else {
                throw FileSystemError(superblock.volume, .damaged("a tree has more blocks than there are"))
            }
            left -= UInt64(batch.count)
            for node in try nodes(batch) {
                if node.level > 0 {
                    for index in (0..<node.count).reversed() {
                        waiting.append(node.child(index, owner: root.owner))
                    }
                } else if node.count > 0 {
                    if let last, node.key(0) <= last {
                        throw FileSystemError(superblock.volume, .damaged("a tree's keys do not ascend"))
                    }
                    last = node.key(node.count - 1)
                    try body(node)
                }
            }
        }
    }

    /// Returns the roots of all trees, in order.
    func roots(limit: Int) throws(FileSystemError) -> [BtrfsTreeRoot] {
        let superblock = trees.superblock
        var pointer = superblock.rootTree
        pointer.owner = BtrfsTreeRoot.Number.root
        var roots: [BtrfsTreeRoot] = []
        try leaves(of: pointer) { node throws(FileSystemError) in
            for index in 0..<node.count where node.key(index).kind == BtrfsKey.Kind.root {
                var root = BtrfsTreeRoot(node.key(index), node.item(index))
                root.pointer.owner = root.owner
                guard node.data(index).count >= 239, root.pointer.generation <= superblock.generation else {
                    throw FileSystemError(superblock.volume, .damaged("the root of tree \(root.key.object) is wrong"))
                }
                guard roots.count < limit else {
                    throw FileSystemError(superblock.volume, .unsupported("more than \(limit) subvolumes"))
                }
                roots.append(root)
            }
        }
        return roots
    }

    /// Returns the blocks that `pointers` lead to, in their order; read in the order of the disk.
    func nodes(_ pointers: [BtrfsPointer]) throws(FileSystemError) -> [BtrfsNode] {
        guard options.goesOn() else { throw FileSystemError(trees.superblock.volume, .stopped) }
        if pointers.count == 1 { return [try trees.node(pointers[0])] }
        let size = trees.superblock.nodeSize
        var found: [(index: Int, node: BtrfsNode)] = []
        var places: [(place: Int64, index: Int)] = []
        for (index, pointer) in pointers.enumerated() {
            places.append((try trees.places(of: pointer.logical, count: size)[0], index))
        }
        places.sort { $0.place < $1.place }
        var first = 0
        while first < places.count {
            let start = places[first].place
            var end = first + 1
            while end < places.count, places[end].place - places[end - 1].place <= Self.maximumGap + size,
                places[end].place + Int64(size) - start <= Self.readLength
            { end += 1 }
            // Where something cannot be read, or is wrong, each block is tried alone, in all its copies.
            let piece = try? trees.bytes.bytes(at: start, count: Int(places[end - 1].place - start) + size)
            for (place, index) in places[first..<end] {
                let within = Int(place - start)
                if let piece,
                    let node = BtrfsNode(
                        ByteFields(piece[within..<within + size]), trees.superblock, logical: pointers[index].logical),
                    node.matches(pointers[index])
                {
                    found.append((index, node))
                } else {
                    found.append((index, try trees.node(pointers[index])))
                }
            }
            first = end
        }
        found.sort { $0.index < $1.index }
        return found.map(\.node)
    }
}
