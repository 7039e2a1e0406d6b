// SPDX-License-Identifier: GPL-3.0-or-later

/// What an XFS superblock says of the file system's space as a whole, and how it is kept.
struct XFSTotals: Sendable {
    /// The features that only writers have to know, all of them: free inode trees, reverse map, shared extents,
    /// counts of the inode trees' blocks.
    private static let knownFeatures: UInt32 = 0xf

    /// Extents on a realtime device.
    let realtimeExtents: UInt64
    /// Inodes that there are room for in the chunks allocated.
    let inodes: UInt64
    let freeInodes: UInt64
    /// Blocks that can be allocated: free ones, those of the free lists, and those that free-space trees grew by.
    let freeBlocks: UInt64
    /// Whether the groups count the blocks of their free-space trees.
    let isLazy: Bool
    /// Whether groups have a tree of the inodes that are free.
    let hasFreeInodeTree: Bool
    /// Whether groups have a tree of who owns what.
    let hasReverseMap: Bool
    /// Whether groups have a tree of what several files share.
    let hasReferences: Bool
    /// Whether groups count the blocks of their inode trees.
    let hasInodeTreeCounts: Bool
    /// Whether a chunk of inodes may have holes.
    let hasSparseInodes: Bool
    /// Features that concern writers, and that nothing is known of here.
    let unknownFeatures: UInt32

    /// Decodes `head`, the superblock.
    init(_ head: ByteFields, isVersion5: Bool) {
        realtimeExtents = head.big(24)
        inodes = head.big(128)
        freeInodes = head.big(136)
        freeBlocks = head.big(144)
        // Version 5 has no other way.
        isLazy = isVersion5 || head.big(100, as: UInt16.self) & 0x8000 != 0 && head.big(200, as: UInt32.self) & 2 != 0
        let writers: UInt32 = isVersion5 ? head.big(212) : 0
        hasFreeInodeTree = writers & 1 != 0
        hasReverseMap = writers & 2 != 0
        hasReferences = writers & 4 != 0
        hasInodeTreeCounts = writers & 8 != 0
        unknownFeatures = writers & ~Self.knownFeatures
        hasSparseInodes = isVersion5 && head.big(216, as: UInt32.self) & 2 != 0
    }
}
