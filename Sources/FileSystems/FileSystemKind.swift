// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// The file systems that are read, named as libblkid's TYPE names them.
public enum FileSystemKind: String, Sendable, Hashable, CaseIterable {
    case ext2, ext3, ext4, xfs, btrfs, ntfs, vfat, exfat

    /// Opens the file system on `source`; nil when there is none of those that are read.
    ///
    /// Nothing is written. Two signatures on one volume are refused, not guessed, unless `type`, libblkid's TYPE,
    /// says which one is meant.
    /// - Throws: `FileSystemError` when there is one that cannot be read.
    public static func open(
        _ source: any BlockSource, type: String? = nil
    ) throws(FileSystemError) -> (any FileSystemReader)? {
        let bytes = VolumeBytes(source)
        let found: [FileSystemKind]
        if let type {
            found = FileSystemKind(rawValue: type).map { [$0] } ?? []
        } else {
            found = try signatures(bytes)
        }
        guard found.count <= 1 else {
            let names = found.map(\.rawValue).joined(separator: " and ")
            throw FileSystemError(source.name, .damaged("it carries the signatures of \(names)"))
        }
        switch found.first {
        case nil: return nil
        case .ext2, .ext3, .ext4: return try ExtReader(bytes)
        case .xfs: return try XFSReader(bytes)
        case .ntfs: return try NTFSReader(bytes)
        case .vfat: return try FATReader(bytes)
        case .exfat: return try ExFATReader(bytes)
        case .btrfs: return try BtrfsReader(bytes)
        }
    }

    /// Returns the kinds whose signature `bytes` carries.
    static func signatures(_ bytes: VolumeBytes) throws(FileSystemError) -> [FileSystemKind] {
        var found: [FileSystemKind] = []
        if let fields = try bytes.fieldsIfPresent(at: 1024 + 56, count: 2), fields.little(0, as: UInt16.self) == 0xef53
        {
            found.append(.ext4)
        }
        if let fields = try bytes.fieldsIfPresent(at: BtrfsSuperblock.offset + 64, count: 8),
            fields.little(0, as: UInt64.self) == BtrfsSuperblock.magic
        {
            found.append(.btrfs)
        }
        if let fields = try bytes.fieldsIfPresent(at: 0, count: 512) {
            if fields.big(0, as: UInt32.self) == XFSSuperblock.magic { found.append(.xfs) }
            if NTFSBootSector.isPresent(fields) { found.append(.ntfs) }
            if ExFATBootSector.isPresent(fields) { found.append(.exfat) }
            // Boot code of other file systems can look like a FAT's: it counts only where nothing else is.
            if found.isEmpty, FATBootSector(fields) != nil { found.append(.vfat) }
        }
        return found
    }
}
