// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// Reads XFS, versions 4 and 5, with blocks of 512 bytes to 64 KiB.
final class XFSReader: FileSystemReader {
    /// A file as it was last seen.
    private struct Known {
        var inode: XFSInode
        var extents: [XFSExtent]?
    }

    /// Most extents of one file: 16 million would be a damaged or hostile tree, or a file nobody looks at.
    private static let maximumExtents = 1 << 20
    /// Most bytes of a directory that are read.
    private static let maximumDirectory = 256 << 20
    private static let maximumKnown = 64

    let volume: String
    let kind = FileSystemKind.xfs
    let uuid: String?
    let label: String?
    let state: FileSystemState
    let root: FileID

    let bytes: VolumeBytes
    let superblock: XFSSuperblock
    private let known = Mutex<[UInt64: Known]>([:])

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        self.bytes = bytes
        superblock = try XFSSuperblock(bytes)
        volume = bytes.name
        uuid = superblock.uuid
        label = superblock.label
        root = FileID(superblock.rootInode)
        state = superblock.needsRepair ? .dirty : XFSLog(bytes, superblock).state(isCareful: false)
    }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        let inode = try look(at: file).inode
        return FileStatus(id: file, type: inode.type, sizeInBytes: inode.sizeInBytes)
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        let inode = try look(at: directory).inode
        guard inode.type == .directory else { throw error(directory, .notDirectory) }
        if case .local(let fields) = inode.fork {
            return try XFSDirectory(superblock, directory).shortForm(fields)
        }
        var entries: [DirectoryEntry] = []
        let parser = XFSDirectory(superblock, directory)
        for place in try directoryBlocks(directory) {
            entries += try parser.block(try read(place, of: directory))
            guard entries.count <= Self.maximumEntries else {
                throw error(directory, .tooLarge(limit: Self.maximumEntries))
            }
        }
        return entries
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        try entries(of: directory).first { $0.name == name }?.id
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        let inode = try look(at: file).inode
        guard inode.type == .file else { throw error(file, .notFile) }
        guard offset >= 0, count > 0, offset < inode.sizeInBytes else { return [] }
        let wanted = Int(min(Int64(count), inode.sizeInBytes - offset))
        guard wanted <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        var result = [UInt8](repeating: 0, count: wanted)
        let end = offset + Int64(wanted)
        for extent in try extents(of: file) where !extent.isUnwritten {
            // Below 2^54 blocks of at most 2^16 bytes: what does not fit 63 bits lies behind every file's end.
            let (first, overflow) = extent.fileBlock.multipliedReportingOverflow(by: UInt64(superblock.blockSize))
            guard !overflow, let start = Int64(exactly: first), start < end else { continue }
            let length = Int64(extent.count) * Int64(superblock.blockSize)
            let from = max(start, offset)
            let to = start > end - length ? end : min(start + length, end)
            guard from < to, let place = superblock.offset(ofBlock: extent.block, count: extent.count) else { continue }
            try bytes.copy(
                Int(to - from), from: place + (from - start), to: Int(from - offset), of: &result)
        }
        return result
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String {
        let inode = try look(at: link).inode
        guard inode.type == .symbolicLink else { throw error(link, .notLink) }
        guard inode.sizeInBytes > 0, inode.sizeInBytes <= 4096 else {
            throw error(link, .damaged("a symbolic link of \(inode.sizeInBytes) bytes"))
        }
        let size = Int(inode.sizeInBytes)
        if case .local(let fields) = inode.fork {
            guard size <= fields.count else { throw error(link, .damaged("the link does not fit its inode")) }
            return String(decoding: fields.part(0, size), as: UTF8.self)
        }
        var target: [UInt8] = []
        for extent in try extents(of: link) where target.count < size {
            guard extent.count <= 16, let place = superblock.offset(ofBlock: extent.block, count: extent.count) else {
                throw error(link, .damaged("the link's extents lie outside"))
            }
            let piece = try bytes.fields(at: place, count: Int(extent.count) * superblock.blockSize)
            if superblock.isVersion5 {
                guard piece.big(0, as: UInt32.self) == 0x5853_4c4d,
                    CRC32C.checksum(piece.bytes, without: 12) == piece.little(12)
                else { throw error(link, .damaged("the link's block is wrong")) }
                target += piece.part(56, piece.count)
            } else {
                target += piece.bytes
            }
        }
        guard target.count >= size else { throw error(link, .damaged("the link is cut short")) }
        return String(decoding: target[..<size], as: UTF8.self)
    }

    /// Returns inode and, where they were needed before, extents of `file`.
    private func look(at file: FileID) throws(FileSystemError) -> Known {
        if let seen = known.withLock({ $0[file.number] }) { return seen }
        guard let place = superblock.offset(ofInode: file.number) else {
            throw error(file, .damaged("there is no such inode"))
        }
        let fields = try bytes.fields(at: place, count: superblock.inodeSize)
        let seen = Known(inode: try XFSInode(fields, number: file.number, superblock))
        remember(seen, file)
        return seen
    }

    private func remember(_ seen: Known, _ file: FileID) {
        known.withLock { known in
            if known.count >= Self.maximumKnown { known.removeAll() }
            known[file.number] = seen
        }
    }

    /// Returns the extents of `file` in the order of its blocks, all of them within the file system.
    func extents(of file: FileID) throws(FileSystemError) -> [XFSExtent] {
        var seen = try look(at: file)
        if let extents = seen.extents { return extents }
        var extents: [XFSExtent] = []
        switch seen.inode.fork {
        case .none, .local: break
        case .extents(let fields, let count):
            for index in 0..<count { extents.append(XFSExtent(fields, at: index * 16)) }
        case .tree(let root):
            let tree = XFSExtentTree(bytes, superblock, file)
            extents = try tree.extents(root: root, limit: Self.maximumExtents)
        }
        var end: UInt64 = 0
        for extent in extents {
            guard extent.fileBlock >= end, extent.count > 0,
                superblock.offset(ofBlock: extent.block, count: extent.count) != nil
            else { throw error(file, .damaged("an extent overlaps another or lies outside the file system")) }
            end = extent.fileBlock + extent.count
        }
        seen.extents = extents
        remember(seen, file)
        return extents
    }

    /// Returns for each block of a directory's data the extents that make it up.
    ///
    /// The data lie below 32 GiB of the directory's address space; indices follow there and are not needed.
    private func directoryBlocks(_ directory: FileID) throws(FileSystemError) -> [[XFSExtent]] {
        let perBlock = UInt64(superblock.directoryBlockSize / superblock.blockSize)
        let limit = UInt64(32 << 30) / UInt64(superblock.blockSize)
        var blocks: [[XFSExtent]] = []
        var open: [XFSExtent] = []
        var openNumber: UInt64 = 0
        for extent in try extents(of: directory) where extent.fileBlock < limit {
            var rest = extent
            while rest.count > 0, rest.fileBlock < limit {
                let number = rest.fileBlock / perBlock
                if number != openNumber {
                    if !open.isEmpty { blocks.append(open) }
                    (open, openNumber) = ([], number)
                }
                var piece = rest
                piece.count = min(rest.count, (number + 1) * perBlock - rest.fileBlock)
                open.append(piece)
                rest.fileBlock += piece.count
                rest.block += piece.count
                rest.count -= piece.count
                guard blocks.count <= Self.maximumDirectory / superblock.directoryBlockSize else {
                    throw error(directory, .tooLarge(limit: Self.maximumDirectory))
                }
            }
        }
        if !open.isEmpty { blocks.append(open) }
        return blocks
    }

    private func read(_ place: [XFSExtent], of directory: FileID) throws(FileSystemError) -> ByteFields {
        var content: [UInt8] = []
        for extent in place {
            guard !extent.isUnwritten, let offset = superblock.offset(ofBlock: extent.block, count: extent.count) else {
                throw error(directory, .damaged("a directory block lies outside"))
            }
            content += try bytes.fields(at: offset, count: Int(extent.count) * superblock.blockSize).bytes
        }
        guard content.count == superblock.directoryBlockSize else {
            throw error(directory, .damaged("a directory block is not whole"))
        }
        return ByteFields(content)
    }
}
