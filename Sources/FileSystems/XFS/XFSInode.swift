// SPDX-License-Identifier: GPL-3.0-or-later

/// An inode of XFS: what it is, and its data fork.
///
/// XFS Algorithms & Data Structures, "Inodes".
struct XFSInode: Sendable {
    /// Where the data fork's content is.
    enum Fork: Sendable {
        /// In the inode itself.
        case local(ByteFields)
        /// In the extents of these records of 16 bytes each.
        case extents(ByteFields, count: Int)
        /// In the extents of a B-tree whose root these bytes are.
        case tree(ByteFields)
        /// Nowhere: a device.
        case none
    }

    let type: FileType
    let sizeInBytes: Int64
    let fork: Fork

    /// Decodes `fields`, the bytes of inode `number`.
    init(_ fields: ByteFields, number: UInt64, _ superblock: XFSSuperblock) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError {
            FileSystemError(superblock.volume, file: "inode \(number)", .damaged(what))
        }
        guard fields.big(0, as: UInt16.self) == 0x494e else { throw damaged("there is no inode") }
        let version = fields.byte(4)
        guard superblock.isVersion5 ? version == 3 : (1...2).contains(version) else {
            throw damaged("an inode of version \(version)")
        }
        if version == 3 {
            guard CRC32C.checksum(fields.bytes, without: 100) == fields.little(100) else {
                throw damaged("the inode's checksum is wrong")
            }
            guard fields.big(152, as: UInt64.self) == number else { throw damaged("the inode has another number") }
        }
        let mode: UInt16 = fields.big(2)
        guard mode != 0 else { throw damaged("the inode is free") }
        type = FileType(mode: mode)
        let size: UInt64 = fields.big(56)
        guard let length = Int64(exactly: size) else { throw damaged("a size of \(size) bytes") }
        sizeInBytes = length
        let core = version == 3 ? 176 : 100
        let forkOffset = Int(fields.byte(82)) * 8
        let room = superblock.inodeSize - core
        guard forkOffset <= room else { throw damaged("the attribute fork lies outside the inode") }
        let data = ByteFields(fields.part(core, forkOffset == 0 ? room : forkOffset))
        if type == .file, fields.big(90, as: UInt16.self) & 1 != 0 {
            throw FileSystemError(superblock.volume, file: "inode \(number)", .unsupported("the realtime device"))
        }
        switch fields.byte(5) {
        case 0: fork = .none
        case 1: fork = .local(data)
        case 2:
            let isLarge = version == 3 && fields.big(120, as: UInt64.self) & 1 << 4 != 0
            let count: UInt64 = isLarge ? fields.big(24) : UInt64(fields.big(76, as: UInt32.self))
            guard count <= UInt64(data.count / 16) else { throw damaged("\(count) extents do not fit the inode") }
            fork = .extents(data, count: Int(count))
        case 3: fork = .tree(data)
        case let format: throw damaged("a fork of format \(format)")
        }
    }
}

/// A run of blocks of a file.
struct XFSExtent: Sendable, Hashable {
    /// First block in the file.
    var fileBlock: UInt64
    /// First block in the file system, with its group's number in the upper bits.
    var block: UInt64
    /// Length in blocks.
    var count: UInt64
    /// Whether it was allocated, but never written: it reads as zeros.
    var isUnwritten: Bool

    /// Decodes the record of 16 bytes at `offset`: flag, 54 bits of file block, 52 of block, 21 of count.
    init(_ fields: ByteFields, at offset: Int) {
        let high: UInt64 = fields.big(offset)
        let low: UInt64 = fields.big(offset + 8)
        isUnwritten = high >> 63 != 0
        fileBlock = (high & .max >> 1) >> 9
        block = (high & 0x1ff) << 43 | low >> 21
        count = low & 0x1f_ffff
    }
}
