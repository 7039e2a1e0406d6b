// SPDX-License-Identifier: GPL-3.0-or-later

/// What an inode says of the blocks it uses: the extents of its data and of its attributes.
///
/// XFS Algorithms & Data Structures, "Inodes"; Linux fs/xfs/libxfs/xfs_format.h.
struct XFSInodeSpace {
    /// One of the two forks.
    private struct Fork {
        var format: UInt8
        var place: Range<Int>
        var extents: UInt64
    }

    private static let magic: UInt16 = 0x494e  // IN
    private static let checksum = 100
    /// Flag of a file whose data lie on the realtime device.
    private static let isRealtime: UInt16 = 1
    /// Second flag of an inode whose counts of extents are the large ones.
    private static let hasLargeCounts: UInt64 = 1 << 4

    private let fields: ByteFields
    private let start: Int
    private let number: UInt64
    private let superblock: XFSSuperblock

    /// Looks at the inode `number`, whose bytes begin at `start` of `fields`.
    init(_ fields: ByteFields, at start: Int, number: UInt64, _ superblock: XFSSuperblock) {
        self.fields = fields
        self.start = start
        self.number = number
        self.superblock = superblock
    }

    func damaged(_ what: String) -> FileSystemError {
        FileSystemError(superblock.volume, file: "inode \(number)", .damaged(what))
    }

    private func field<Integer: FixedWidthInteger>(_ offset: Int) -> Integer { fields.big(start + offset) }

    /// Tells whether the inode itself says that nothing uses it: its mode is 0, or it was never written.
    var isFree: Bool {
        let (magic, mode): (UInt16, UInt16) = (field(0), field(2))
        return magic != Self.magic || mode == 0
    }

    /// Holds all that the inode uses against what is free in `space`.
    func read(_ space: inout XFSSpace) throws(FileSystemError) {
        let version = fields.byte(start + 4)
        guard !isFree, superblock.isVersion5 ? version == 3 : (1...2).contains(version) else {
            throw damaged("there is no inode in use")
        }
        if version == 3 { try checkOwn() }
        let mode: UInt16 = field(2)
        let flags: UInt16 = field(90)
        if FileType(mode: mode) == .file, flags & Self.isRealtime != 0 {
            throw FileSystemError(superblock.volume, file: "inode \(number)", .unsupported("the realtime device"))
        }
        let large: UInt64 = field(120)
        let isLarge = version == 3 && large & Self.hasLargeCounts != 0
        let core = start + (version == 3 ? 176 : 100)
        let end = start + superblock.inodeSize
        let boundary = Int(fields.byte(start + 82)) * 8
        guard boundary < end - core else { throw damaged("the attribute fork lies outside the inode") }
        let (small, count): (UInt16, UInt32) = (field(80), field(76))
        let data = Fork(
            format: fields.byte(start + 5), place: core..<(boundary == 0 ? end : core + boundary),
            extents: isLarge ? field(24) : UInt64(count))
        let attributes = Fork(
            format: fields.byte(start + 83), place: boundary == 0 ? end..<end : core + boundary..<end,
            extents: isLarge ? UInt64(count) : UInt64(small))
        var used = try read(data, &space)
        if boundary > 0 {
            used += try read(attributes, &space)
        } else if attributes.extents > 0 {
            throw damaged("it has attributes, but no room for them")
        }
        let said: UInt64 = field(64)
        guard used == said else { throw damaged("it uses \(used) blocks, but says \(said)") }
    }

    /// Holds what version 5 adds against where the inode is.
    private func checkOwn() throws(FileSystemError) {
        let own = fields.bytes[start..<start + superblock.inodeSize]
        var register = CRC32C.update(.max, own[..<(start + Self.checksum)])
        register = CRC32C.update(register, [0, 0, 0, 0])
        register = ~CRC32C.update(register, own[(start + Self.checksum + 4)...])
        guard register == fields.little(start + Self.checksum) else { throw damaged("the inode's checksum is wrong") }
        guard field(152) == number, fields.part(start + 160, 16).elementsEqual(superblock.metadataUUID) else {
            throw damaged("the inode is another one")
        }
    }

    /// Returns how many blocks `fork` uses, none of which is free.
    private func read(_ fork: Fork, _ space: inout XFSSpace) throws(FileSystemError) -> UInt64 {
        switch fork.format {
        case 0, 1:
            // A device, or what the inode itself holds.
            guard fork.extents == 0 else { throw damaged("a fork without blocks has extents") }
            return 0
        case 2:
            guard fork.extents <= UInt64(fork.place.count / 16) else {
                throw damaged("\(fork.extents) extents do not fit the inode")
            }
            var end: UInt64 = 0
            var used: UInt64 = 0
            for index in 0..<Int(fork.extents) {
                used += try hold(XFSExtent(fields, at: fork.place.lowerBound + index * 16), behind: &end, &space)
            }
            return used
        case 3: return try readTree(fork, &space)
        case let format: throw damaged("a fork of format \(format)")
        }
    }

    private func readTree(_ fork: Fork, _ space: inout XFSSpace) throws(FileSystemError) -> UInt64 {
        let tree = XFSExtentTree(space.bytes, superblock, FileID(number))
        var extents: UInt64 = 0
        var end: UInt64 = 0
        var used: UInt64 = 0
        let root = ByteFields(fields.part(fork.place.lowerBound, fork.place.count))
        try tree.walk(root: root) { block throws(FileSystemError) in
            used += 1
            try space.hold(block, 1, ofInode: number)
        } extent: { extent throws(FileSystemError) in
            extents += 1
            used += try hold(extent, behind: &end, &space)
        }
        guard extents == fork.extents else {
            throw damaged("its extent tree has \(extents) extents, but it says \(fork.extents)")
        }
        return used
    }

    /// Holds an extent, which must lie behind block `end` of the file, against what is free.
    ///
    /// - Returns: its length in blocks.
    private func hold(
        _ extent: XFSExtent, behind end: inout UInt64, _ space: inout XFSSpace
    ) throws(FileSystemError) -> UInt64 {
        guard extent.fileBlock >= end, extent.count > 0 else { throw damaged("an extent overlaps another") }
        end = extent.fileBlock + extent.count
        try space.hold(extent.block, extent.count, ofInode: number)
        return extent.count
    }
}
