// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// Reads btrfs from one of its devices, as far as that holds the data: single, DUP, RAID1 and its kin.
///
/// `/` is the default subvolume; the topmost directory, in which the others hang, is inode 256 of tree 5.
final class BtrfsReader: FileSystemReader {
    private static let topTree: UInt64 = 5
    private static let topDirectory: UInt64 = 256
    /// The tree of trees' own directory, in which the default subvolume is noted.
    private static let rootTreeDirectory: UInt64 = 6
    /// Stands for a subvolume that is not in its snapshot: an empty directory.
    private static let emptyDirectory = FileID(tree: 0, 2)
    /// Longest extent, with room to spare: 128 MiB of data, 256 MiB preallocated.
    private static let longestExtent: UInt64 = 1 << 30

    let volume: String
    let kind = FileSystemKind.btrfs
    let uuid: String?
    let label: String?
    let state: FileSystemState
    let root: FileID

    let bytes: VolumeBytes
    let trees: BtrfsTrees
    private let roots = Mutex<[UInt64: BtrfsPointer]>([:])

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        self.bytes = bytes
        let superblock = try BtrfsSuperblock(bytes)
        volume = bytes.name
        uuid = superblock.uuid
        label = superblock.label
        state = superblock.state
        trees = try BtrfsTrees(bytes, superblock)
        let name = Array("default".utf8)
        let item = try trees.item(
            superblock.rootTree,
            BtrfsKey(Self.rootTreeDirectory, BtrfsKey.Kind.directoryItem, Self.hash(name)))
        let entry = item.flatMap { BtrfsDirectoryItem.all($0).first { $0.name == name } }
        root = FileID(tree: entry?.location.object ?? Self.topTree, Self.topDirectory)
        _ = try tree(root)
    }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        if file == Self.emptyDirectory { return FileStatus(id: file, type: .directory, sizeInBytes: 0) }
        guard let item = try trees.item(try tree(file), BtrfsKey(file.number, BtrfsKey.Kind.inode, 0)) else {
            throw error(file, .damaged("there is no such inode"))
        }
        let mode: UInt32 = item.little(52)
        let size: UInt64 = item.little(16)
        return FileStatus(
            id: file, type: FileType(mode: UInt16(truncatingIfNeeded: mode)), sizeInBytes: Int64(clamping: size))
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        if directory == Self.emptyDirectory { return [] }
        guard try status(of: directory).type == .directory else { throw error(directory, .notDirectory) }
        var items: [BtrfsDirectoryItem] = []
        let low = BtrfsKey(directory.number, BtrfsKey.Kind.directoryIndex, 0)
        let high = BtrfsKey(directory.number, BtrfsKey.Kind.directoryIndex, .max)
        try trees.search(try tree(directory), low, high) { _, fields throws(FileSystemError) in
            items += BtrfsDirectoryItem.all(fields)
            guard items.count <= Self.maximumEntries else {
                throw error(directory, .tooLarge(limit: Self.maximumEntries))
            }
            return true
        }
        var entries: [DirectoryEntry] = []
        for item in items {
            entries.append(
                DirectoryEntry(name: String(decoding: item.name, as: UTF8.self), id: try target(item, in: directory)))
        }
        return entries
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        if directory == Self.emptyDirectory { return nil }
        guard try status(of: directory).type == .directory else { throw error(directory, .notDirectory) }
        let name = Array(name.utf8)
        let key = BtrfsKey(directory.number, BtrfsKey.Kind.directoryItem, Self.hash(name))
        guard let fields = try trees.item(try tree(directory), key),
            let item = BtrfsDirectoryItem.all(fields).first(where: { $0.name == name })
        else { return nil }
        return try target(item, in: directory)
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        let status = try status(of: file)
        guard status.type == .file else { throw error(file, .notFile) }
        return try data(of: file, size: status.sizeInBytes, at: offset, count: count)
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String {
        let status = try status(of: link)
        guard status.type == .symbolicLink else { throw error(link, .notLink) }
        guard status.sizeInBytes > 0, status.sizeInBytes <= 4096 else {
            throw error(link, .damaged("a symbolic link of \(status.sizeInBytes) bytes"))
        }
        let target = try data(of: link, size: status.sizeInBytes, at: 0, count: Int(status.sizeInBytes))
        return String(decoding: target, as: UTF8.self)
    }

    private func data(of file: FileID, size: Int64, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        guard offset >= 0, count > 0, offset < size else { return [] }
        let wanted = Int(min(Int64(count), size - offset))
        guard wanted <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        var result = [UInt8](repeating: 0, count: wanted)
        let start = UInt64(offset)
        let end = start + UInt64(wanted)
        let low = BtrfsKey(
            file.number, BtrfsKey.Kind.extentData, start > Self.longestExtent ? start - Self.longestExtent : 0)
        let high = BtrfsKey(file.number, BtrfsKey.Kind.extentData, end - 1)
        let tree = try tree(file)
        try trees.search(tree, low, high) { key, fields throws(FileSystemError) in
            let extent = try BtrfsExtent(fields, volume, file)
            let (last, overflow) = key.offset.addingReportingOverflow(extent.length)
            let from = max(key.offset, start)
            let to = min(overflow ? .max : last, end)
            guard from < to, !extent.isHole else { return true }
            let within = from - key.offset
            let place = Int(from - start)
            let length = Int(to - from)
            if extent.compression == 0, extent.inline == nil {
                // Below 2^63 both: the item is checked.
                let logical = extent.logical &+ extent.offset &+ within
                guard let physical = try trees.places(of: logical, count: length).first else { return true }
                try bytes.copy(length, from: physical, to: place, of: &result)
                return true
            }
            let content = try plain(extent, file)
            let first = Int(clamping: extent.offset + within)
            let available = content.dropFirst(first).prefix(length)
            result.replaceSubrange(place..<place + available.count, with: available)
            return true
        }
        return result
    }

    /// Returns the content of an inline or compressed extent.
    private func plain(_ extent: BtrfsExtent, _ file: FileID) throws(FileSystemError) -> [UInt8] {
        let stored: [UInt8]
        if let inline = extent.inline {
            stored = inline
        } else {
            guard extent.storedLength <= UInt64(BtrfsCompression.maximumLength),
                let physical = try trees.places(of: extent.logical, count: Int(extent.storedLength)).first
            else { throw error(file, .damaged("a compressed extent of \(extent.storedLength) bytes")) }
            stored = try bytes.fields(at: physical, count: Int(extent.storedLength)).bytes
        }
        guard extent.compression != 0 else { return stored }
        guard extent.plainLength <= UInt64(BtrfsCompression.maximumLength) else {
            throw error(file, .damaged("a compressed extent of \(extent.plainLength) bytes"))
        }
        switch extent.compression {
        case 1, 3:
            let length = Int(extent.plainLength)
            let content =
                extent.compression == 1
                ? BtrfsCompression.inflate(stored, length: length) : BtrfsCompression.zstd(stored, length: length)
            guard let content else { throw error(file, .damaged("a compressed extent cannot be unpacked")) }
            return content
        case 2: throw error(file, .unsupported("LZO compression"))
        default: throw error(file, .unsupported("compression \(extent.compression)"))
        }
    }

    /// Returns what `item` of `directory` stands for.
    private func target(_ item: BtrfsDirectoryItem, in directory: FileID) throws(FileSystemError) -> FileID {
        guard item.location.kind == BtrfsKey.Kind.root else {
            return FileID(tree: directory.tree, item.location.object)
        }
        // A snapshot keeps the name of a subvolume that was in the original; only the original's leads there.
        let key = BtrfsKey(directory.tree, BtrfsKey.Kind.rootReference, item.location.object)
        guard let reference = try trees.item(trees.superblock.rootTree, key),
            reference.little(0, as: UInt64.self) == directory.number
        else { return Self.emptyDirectory }
        return FileID(tree: item.location.object, Self.topDirectory)
    }

    /// Returns the tree that the number of `file` is valid in.
    private func tree(_ file: FileID) throws(FileSystemError) -> BtrfsPointer {
        if let known = roots.withLock({ $0[file.tree] }) { return known }
        let low = BtrfsKey(file.tree, BtrfsKey.Kind.root, 0)
        let high = BtrfsKey(file.tree, BtrfsKey.Kind.root, .max)
        var found: BtrfsPointer?
        try trees.search(trees.superblock.rootTree, low, high) { _, fields throws(FileSystemError) in
            found = BtrfsTreeRoot(BtrfsKey(file.tree, BtrfsKey.Kind.root, 0), fields).pointer
            return false
        }
        guard let found else { throw error(file, .damaged("there is no subvolume \(file.tree)")) }
        roots.withLock { roots in
            if roots.count > 4096 { roots.removeAll() }
            roots[file.tree] = found
        }
        return found
    }

    /// The hash of a name in a directory: CRC-32C without the inversions, from minus two on.
    private static func hash(_ name: [UInt8]) -> UInt64 { UInt64(CRC32C.update(~1, name[...])) }
}

/// A name in a directory item.
struct BtrfsDirectoryItem {
    var location: BtrfsKey
    var name: [UInt8]

    /// Decodes all names of an item: several when their hashes are the same.
    ///
    /// Key of the target, transaction, length of data, length of name, type; then both.
    static func all(_ fields: ByteFields) -> [BtrfsDirectoryItem] {
        var items: [BtrfsDirectoryItem] = []
        var place = 0
        while place + 30 <= fields.count {
            let dataLength = Int(fields.little(place + 25, as: UInt16.self))
            let nameLength = Int(fields.little(place + 27, as: UInt16.self))
            guard nameLength > 0, place + 30 + nameLength <= fields.count else { break }
            items.append(
                BtrfsDirectoryItem(
                    location: BtrfsKey(fields, at: place), name: Array(fields.part(place + 30, nameLength))))
            place += 30 + nameLength + dataLength
        }
        return items
    }
}

/// An item that says where a piece of a file is.
struct BtrfsExtent {
    /// Length of the piece in the file, in bytes.
    let length: UInt64
    /// The bytes, where the item itself holds them.
    let inline: [UInt8]?
    /// 0 none, 1 zlib, 2 LZO, 3 zstd.
    let compression: UInt8
    /// Address of the extent on the disk, of which the piece is a part.
    let logical: UInt64
    /// Length of the extent on the disk in bytes.
    let storedLength: UInt64
    /// Length of the extent when it is unpacked.
    let plainLength: UInt64
    /// Where the piece begins in the extent when it is unpacked.
    let offset: UInt64
    /// Whether it reads as zeros: a hole, or preallocated.
    let isHole: Bool

    init(_ fields: ByteFields, _ volume: String, _ file: FileID) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError {
            FileSystemError(volume, file: "inode \(file.number)", .damaged(what))
        }
        plainLength = fields.little(8)
        compression = fields.byte(16)
        guard fields.little(17, as: UInt8.self) == 0, fields.little(18, as: UInt16.self) == 0 else {
            throw FileSystemError(volume, file: "inode \(file.number)", .unsupported("encryption"))
        }
        switch fields.byte(20) {
        case 0:
            guard fields.count > 21 else { throw damaged("an extent item of \(fields.count) bytes") }
            inline = Array(fields.part(21, fields.count))
            (logical, storedLength, offset, length, isHole) = (0, 0, 0, plainLength, false)
        case let type where type <= 2:
            guard fields.count >= 53 else { throw damaged("an extent item of \(fields.count) bytes") }
            inline = nil
            logical = fields.little(21)
            storedLength = fields.little(29)
            offset = fields.little(37)
            length = fields.little(45)
            isHole = type == 2 || logical == 0
            let limit = UInt64(1) << 62
            guard logical < limit, offset < limit, length < limit, length > 0 else {
                throw damaged("an extent lies outside the file system")
            }
        case let type: throw damaged("an extent of type \(type)")
        }
    }
}
