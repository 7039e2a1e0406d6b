// SPDX-License-Identifier: GPL-3.0-or-later

/// The B-tree that holds a fork's extents when the inode has no room for them.
///
/// XFS Algorithms & Data Structures, "Data Extents", B+tree. Its root is the fork: level, count, then as in any block
/// keys and pointers of 8 bytes each.
struct XFSExtentTree {
    /// Most blocks of a tree that are read where its extents are collected.
    private static let maximumBlocks = 1 << 16

    private let tree: XFSTree
    private let file: FileID

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock, _ file: FileID) {
        tree = XFSTree(bytes, superblock, .extents, of: .inode(file.number))
        self.file = file
    }

    /// Returns the records of all leaves in order, at most `limit`; `root` is the inode's fork.
    func extents(root: ByteFields, limit: Int) throws(FileSystemError) -> [XFSExtent] {
        let tooLarge = FileSystemError(
            tree.superblock.volume, file: "inode \(file.number)", .tooLarge(limit: limit))
        var extents: [XFSExtent] = []
        var blocks = 0
        try walk(root: root) { _ throws(FileSystemError) in
            blocks += 1
            guard blocks <= Self.maximumBlocks else { throw tooLarge }
        } extent: { extent throws(FileSystemError) in
            guard extents.count < limit else { throw tooLarge }
            extents.append(extent)
        }
        return extents
    }

    /// Calls `block` with the number of each block of the tree, and `extent` with each record.
    func walk(
        root: ByteFields, block: (UInt64) throws(FileSystemError) -> Void,
        extent: (XFSExtent) throws(FileSystemError) -> Void
    ) throws(FileSystemError) {
        let level = Int(root.big(0, as: UInt16.self))
        let count = Int(root.big(2, as: UInt16.self))
        let room = max(root.count - 4, 0) / 16
        guard (1..<XFSTree.maximumLevels).contains(level), (1...max(room, 1)).contains(count) else {
            throw tree.damaged("has a wrong root")
        }
        let branches = (0..<count).map { index in
            XFSTree.Branch(
                block: root.big(4 + room * 8 + index * 8), level: level - 1, key: root.big(4 + index * 8))
        }
        try tree.walk(branches, block: block) { fields, place throws(FileSystemError) in
            try extent(XFSExtent(fields, at: place))
        }
    }
}
