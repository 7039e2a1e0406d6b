// SPDX-License-Identifier: GPL-3.0-or-later

/// A block of an extent tree or block map that is still to be read.
struct ExtNode: Sendable {
    enum Kind: Sendable { case extents, map }

    let block: Int64
    /// Levels of nodes below it; what a block map of level 0 names is data.
    let level: UInt16
    let kind: Kind
    let inode: UInt32
    let seed: UInt32
    /// The blocks of the file that it may speak of.
    let first: Int64
    let end: Int64
}

// What lies where: Linux Documentation/filesystems/ext4/ifork.rst.
extension ExtSpaceWalk {
    /// Nodes that are collected, to be read in the order of the disk.
    private static var nodesAtOnce: Int { 1 << 14 }

    /// Reads `nodes` and all below them; every level down there are fewer levels left.
    mutating func walk(_ nodes: [ExtNode]) throws(FileSystemError) {
        var below: [ExtNode] = []
        for node in nodes.sorted(by: { $0.block < $1.block }) {
            blocksLeft -= 1
            guard blocksLeft >= 0 else { throw error(node.inode, "there are more block lists than blocks") }
            if blocksLeft % 1024 == 0 { try goOn() }
            let fields = try volume.fields(at: node.block * layout.blockSize, count: Int(layout.blockSize))
            switch node.kind {
            case .extents:
                try checkTail(fields, node)
                try walkExtents(fields, node, &below)
            case .map: try walkPointers(fields, 0..<fields.count / 4, node, &below)
            }
            if below.count >= Self.nodesAtOnce {
                try walk(below)
                below = []
            }
        }
        if !below.isEmpty { try walk(below) }
    }

    private func checkTail(_ fields: ByteFields, _ node: ExtNode) throws(FileSystemError) {
        guard layout.hasMetadataChecksum else { return }
        let place = 12 + 12 * Int(fields.little(4, as: UInt16.self))
        guard place <= fields.count - 4, CRC32C.update(node.seed, fields.part(0, place)) == fields.little(place) else {
            throw error(node.inode, "its extents in block \(node.block) do not match their checksum")
        }
    }

    /// Holds the extents in `fields` against what is free, and adds the nodes that they name to `below`.
    mutating func walkExtents(
        _ fields: ByteFields, _ node: ExtNode, _ below: inout [ExtNode]
    ) throws(FileSystemError) {
        let count = Int(fields.little(2, as: UInt16.self))
        let room = Int(fields.little(4, as: UInt16.self))
        guard fields.little(0, as: UInt16.self) == 0xf30a, fields.little(6) == node.level, count <= room,
            room <= (fields.count - 12) / 12, node.level == 0 || count > 0
        else { throw error(node.inode, "its extent tree is broken in block \(node.block)") }
        var next = node.first
        for index in 0..<count {
            let place = 12 + 12 * index
            let first = Int64(fields.little(place, as: UInt32.self))
            guard first >= next else { throw error(node.inode, "its extents are not in order") }
            if node.level > 0 {
                let last = index == count - 1
                let end = last ? node.end : Int64(fields.little(place + 12, as: UInt32.self))
                let block =
                    Int64(fields.little(place + 4, as: UInt32.self))
                    | Int64(fields.little(place + 8, as: UInt16.self)) << 32
                guard end > first, end <= node.end else { throw error(node.inode, "its extents are not in order") }
                try claimNode(
                    block,
                    ExtNode(
                        block: block, level: node.level - 1, kind: .extents, inode: node.inode, seed: node.seed,
                        first: first, end: end), &below)
                next = first + 1
            } else {
                // Longer than 32768 means allocated, but not written yet.
                let stated = Int64(fields.little(place + 4, as: UInt16.self))
                let length = stated > 0x8000 ? stated - 0x8000 : stated
                let start =
                    Int64(fields.little(place + 8, as: UInt32.self))
                    | Int64(fields.little(place + 6, as: UInt16.self)) << 32
                guard length > 0, first + length <= node.end else {
                    throw error(node.inode, "its extents are not in order")
                }
                try claimData(start..<start + length, node.inode)
                next = first + length
            }
        }
    }

    /// Walks the block map that begins in an inode.
    mutating func walkMap(_ inode: ExtInode, _ below: inout [ExtNode]) throws(FileSystemError) {
        let root = ByteFields(inode.blockNumbers)
        for level in UInt16(0)...3 {
            let node = ExtNode(
                block: 0, level: level, kind: .map, inode: inode.number, seed: 0, first: 0, end: 0)
            let places = level == 0 ? 0..<12 : Int(level) + 11..<Int(level) + 12
            try walkPointers(root, places, node, &below)
        }
    }

    /// Takes the block numbers at `places` of `fields`: data in a node of level 0, else nodes.
    private mutating func walkPointers(
        _ fields: ByteFields, _ places: Range<Int>, _ node: ExtNode, _ below: inout [ExtNode]
    ) throws(FileSystemError) {
        var run: Range<Int64> = 0..<0
        for place in places {
            let block = Int64(fields.little(place * 4, as: UInt32.self))
            if block == 0 { continue }
            if node.level > 0 {
                try claimNode(
                    block,
                    ExtNode(
                        block: block, level: node.level - 1, kind: .map, inode: node.inode, seed: 0, first: 0, end: 0),
                    &below)
            } else if block == run.upperBound {
                run = run.lowerBound..<block + 1
            } else {
                if !run.isEmpty { try claimData(run, node.inode) }
                run = block..<block + 1
            }
        }
        if !run.isEmpty { try claimData(run, node.inode) }
    }

    private mutating func claimNode(
        _ block: Int64, _ node: ExtNode, _ below: inout [ExtNode]
    ) throws(FileSystemError) {
        try claimData(block..<block + 1, node.inode)
        below.append(node)
    }

    private mutating func claimData(_ blocks: Range<Int64>, _ inode: UInt32) throws(FileSystemError) {
        guard blocks.lowerBound >= layout.firstBlock, blocks.lowerBound > 0, blocks.upperBound <= layout.blockCount
        else { throw error(inode, "its blocks \(blocks) do not lie in the file system") }
        try claim(blocks, inode)
    }
}
