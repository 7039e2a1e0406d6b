// SPDX-License-Identifier: GPL-3.0-or-later

/// Decodes the entries of an XFS directory, version 2 and 3.
///
/// XFS Algorithms & Data Structures, "Directories".
struct XFSDirectory {
    /// Magic numbers of blocks that hold entries: alone in the directory, or one of several.
    private enum Magic {
        static let block: UInt32 = 0x5844_3242  // XD2B
        static let data: UInt32 = 0x5844_3244  // XD2D
        static let block3: UInt32 = 0x5844_4233  // XDB3
        static let data3: UInt32 = 0x5844_4433  // XDD3
    }

    let superblock: XFSSuperblock
    let directory: FileID

    init(_ superblock: XFSSuperblock, _ directory: FileID) {
        self.superblock = superblock
        self.directory = directory
    }

    private func damaged(_ what: String) -> FileSystemError {
        FileSystemError(superblock.volume, file: "inode \(directory.number)", .damaged(what))
    }

    /// Tells whether `type`, the byte behind a name where there are types, leaves room for a directory: 0 is unknown.
    private func mayBeDirectory(_ type: UInt8) -> Bool {
        !superblock.hasFileType || type == 0 || type == 2 || type > 7
    }

    /// Returns the entries that the inode itself holds.
    ///
    /// Count of entries, count of those with inode numbers of 8 bytes, parent; then for each the name's length, two
    /// bytes, the name, where there are types the type, and the inode's number.
    func shortForm(_ fields: ByteFields) throws(FileSystemError) -> [DirectoryEntry] {
        let count = Int(fields.byte(0))
        let numberSize = fields.byte(1) > 0 ? 8 : 4
        var position = 2 + numberSize
        var entries: [DirectoryEntry] = []
        for _ in 0..<count {
            let length = Int(fields.byte(position))
            let name = position + 3
            let number = name + length + (superblock.hasFileType ? 1 : 0)
            guard length > 0, number + numberSize <= fields.count else {
                throw damaged("an entry does not fit the inode")
            }
            let inode: UInt64 = numberSize == 8 ? fields.big(number) : UInt64(fields.big(number, as: UInt32.self))
            entries.append(
                DirectoryEntry(
                    name: String(decoding: fields.part(name, length), as: UTF8.self), id: FileID(inode),
                    mayBeDirectory: mayBeDirectory(fields.byte(name + length))))
            position = number + numberSize
        }
        return entries
    }

    /// Returns the entries of one block of the directory's data.
    ///
    /// An entry is the inode's number, the name's length, the name, where there are types the type, padding to 8
    /// bytes, its own offset in the last two. Free room begins with 0xffff and its length.
    func block(_ fields: ByteFields) throws(FileSystemError) -> [DirectoryEntry] {
        let magic: UInt32 = fields.big(0)
        let isAlone = magic == Magic.block || magic == Magic.block3
        guard isAlone || magic == Magic.data || magic == Magic.data3 else {
            throw damaged("a block holds no entries")
        }
        let isVersion3 = magic == Magic.block3 || magic == Magic.data3
        guard isVersion3 == superblock.isVersion5 else { throw damaged("a block of another version") }
        if isVersion3 {
            guard CRC32C.checksum(fields.bytes, without: 4) == fields.little(4),
                fields.big(40, as: UInt64.self) == directory.number
            else { throw damaged("a block's checksum is wrong") }
        }
        var end = fields.count
        if isAlone {
            let leaves = Int(fields.big(fields.count - 8, as: UInt32.self))
            guard leaves <= (fields.count - 8) / 8 else { throw damaged("a block's index is larger than the block") }
            end = fields.count - 8 - leaves * 8
        }
        var position = isVersion3 ? 64 : 16
        var entries: [DirectoryEntry] = []
        while position < end {
            if fields.big(position, as: UInt16.self) == 0xffff {
                let length = Int(fields.big(position + 2, as: UInt16.self))
                guard length >= 8, length % 8 == 0, length <= end - position else {
                    throw damaged("free room overlaps")
                }
                position += length
                continue
            }
            let length = Int(fields.byte(position + 8))
            let unpadded = 9 + length + (superblock.hasFileType ? 1 : 0) + 2
            let size = (unpadded + 7) & ~7
            guard length > 0, size <= end - position,
                Int(fields.big(position + size - 2, as: UInt16.self)) == position & 0xffff
            else { throw damaged("an entry does not fit its block") }
            let name = String(decoding: fields.part(position + 9, length), as: UTF8.self)
            if name != "." && name != ".." {
                entries.append(
                    DirectoryEntry(
                        name: name, id: FileID(fields.big(position)),
                        mayBeDirectory: mayBeDirectory(fields.byte(position + 9 + length))))
            }
            position += size
        }
        return entries
    }
}
