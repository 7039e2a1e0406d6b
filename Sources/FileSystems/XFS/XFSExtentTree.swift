// SPDX-License-Identifier: GPL-3.0-or-later

/// The B-tree that holds a file's extents when the inode has no room for them.
///
/// XFS Algorithms & Data Structures, "Data Extents", B+tree. A block is a header of 24 bytes (magic, level, number of
/// records, two siblings), of 72 in version 5, then keys of 8 bytes and, behind room for all of them, pointers of 8; at
/// level 0 records of 16.
struct XFSExtentTree {
    /// Deeper than any tree of 2^64 blocks.
    private static let maximumLevel = 9
    /// Most blocks of a tree that are read.
    private static let maximumBlocks = 1 << 16

    let bytes: VolumeBytes
    let superblock: XFSSuperblock
    let file: FileID
    let limit: Int

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock, _ file: FileID, limit: Int) {
        self.bytes = bytes
        self.superblock = superblock
        self.file = file
        self.limit = limit
    }

    private func damaged(_ what: String) -> FileSystemError {
        FileSystemError(superblock.volume, file: "inode \(file.number)", .damaged(what))
    }

    /// Returns the records of all leaves in order; `root` is the inode's fork.
    func extents(root: ByteFields) throws(FileSystemError) -> [XFSExtent] {
        let level = Int(root.big(0, as: UInt16.self))
        let count = Int(root.big(2, as: UInt16.self))
        let room = max(root.count - 4, 0) / 16
        guard (1...Self.maximumLevel).contains(level), count <= room else {
            throw damaged("the root of its extent tree is wrong")
        }
        // Blocks still to be read, the next one last.
        var waiting = (0..<count).reversed().map {
            (block: root.big(4 + room * 8 + $0 * 8, as: UInt64.self), level: level - 1)
        }
        var extents: [XFSExtent] = []
        var blocks = 0
        while let next = waiting.popLast() {
            blocks += 1
            guard blocks <= Self.maximumBlocks, extents.count <= limit else {
                throw FileSystemError(superblock.volume, file: "inode \(file.number)", .tooLarge(limit: limit))
            }
            let fields = try block(next.block, level: next.level)
            let header = superblock.isVersion5 ? 72 : 24
            let room = (superblock.blockSize - header) / 16
            let count = Int(fields.big(6, as: UInt16.self))
            guard count <= room else { throw damaged("a block of its extent tree is overfull") }
            if next.level == 0 {
                for index in 0..<count { extents.append(XFSExtent(fields, at: header + index * 16)) }
            } else {
                for index in (0..<count).reversed() {
                    waiting.append((fields.big(header + room * 8 + index * 8), next.level - 1))
                }
            }
        }
        return extents
    }

    private func block(_ number: UInt64, level: Int) throws(FileSystemError) -> ByteFields {
        guard let offset = superblock.offset(ofBlock: number) else {
            throw damaged("its extent tree leads outside the file system")
        }
        let fields = try bytes.fields(at: offset, count: superblock.blockSize)
        // `BMA3` and `BMAP`.
        guard fields.big(0, as: UInt32.self) == (superblock.isVersion5 ? 0x424d_4133 : 0x424d_4150),
            Int(fields.big(4, as: UInt16.self)) == level
        else { throw damaged("its extent tree leads to no block of its own") }
        if superblock.isVersion5 {
            guard CRC32C.checksum(fields.bytes, without: 64) == fields.little(64),
                fields.big(56, as: UInt64.self) == file.number
            else { throw damaged("the checksum of a block of its extent tree is wrong") }
        }
        return fields
    }
}
