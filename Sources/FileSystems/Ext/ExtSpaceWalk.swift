// SPDX-License-Identifier: GPL-3.0-or-later

/// Holds every inode in use, and every block that one leads to, against what is said to be free.
struct ExtSpaceWalk {
    let layout: ExtSpaceLayout
    let groups: ExtSpaceGroups
    let free: FreeRuns
    let volume: VolumeBytes
    let options: SpaceOptions

    /// Pieces that were held against `free`.
    private(set) var checked = 0
    /// Blocks of extent trees and block maps that may still be read: fewer than the file system has blocks.
    var blocksLeft: Int64
    /// Inodes that the superblock names and that were not seen yet.
    private var wanted: Set<UInt32>

    private enum Flag {
        static let extents: UInt32 = 0x8_0000
        static let inlineData: UInt32 = 0x1000_0000
    }

    init(_ groups: ExtSpaceGroups, _ free: FreeRuns, _ volume: VolumeBytes, _ options: SpaceOptions) {
        layout = groups.layout
        self.groups = groups
        self.free = free
        self.volume = volume
        self.options = options
        checked = groups.structures.count
        blocksLeft = groups.layout.blockCount
        wanted = groups.layout.superblock.ownInodes
    }

    /// Walks all inode tables.
    mutating func run() throws(FileSystemError) {
        var reader = ExtBitmapReader(groups, volume, .inodes)
        var freeInodes: Int64 = 0
        for (number, group) in groups.all.enumerated() {
            try goOn()
            freeInodes += Int64(group.freeInodes)
            if group.isWithoutInodes { continue }
            let bitmap = try reader.bitmap(number)
            let used = layout.inodesPerGroup - Int(group.unusedInodes)
            guard bitmap.freeCount(below: layout.inodesPerGroup) == Int(group.freeInodes),
                bitmap.next(isSet: true, from: used, to: layout.inodesPerGroup) == layout.inodesPerGroup
            else { throw layout.damaged("the inode bitmap of group \(number) contradicts its descriptor") }
            try walk(number, group, used, bitmap)
        }
        guard freeInodes == Int64(layout.superblock.freeInodeCount) else {
            throw layout.damaged(
                "the superblock counts \(layout.superblock.freeInodeCount) free inodes, its groups \(freeInodes)")
        }
        guard wanted.isEmpty else {
            throw layout.damaged("the inodes \(wanted.sorted()) that the superblock names are not in use")
        }
    }

    /// Walks the first `used` inodes of a group; behind them may be anything.
    private mutating func walk(
        _ number: Int, _ group: ExtSpaceGroup, _ used: Int, _ bitmap: ExtBitmap
    ) throws(FileSystemError) {
        let inodesAPiece = (1 << 20) / layout.inodeSize
        var directories = 0
        for start in stride(from: 0, to: used, by: inodesAPiece) {
            try goOn()
            let count = min(inodesAPiece, used - start)
            let place = group.inodeTable * layout.blockSize + Int64(start * layout.inodeSize)
            let table = try volume.fields(at: place, count: count * layout.inodeSize)
            var nodes: [ExtNode] = []
            for index in 0..<count {
                let inode = ExtInode(
                    number: UInt32(number * layout.inodesPerGroup + start + index + 1), table: table,
                    place: index * layout.inodeSize)
                guard try isInUse(inode, bitmap.isSet(start + index)) else { continue }
                if inode.mode & 0xf000 == 0x4000 { directories += 1 }
                try walk(inode, &nodes)
            }
            try walk(nodes)
        }
        guard directories == Int(group.directories) else {
            throw layout.damaged("group \(number) counts \(group.directories) directories, and has \(directories)")
        }
    }

    /// Tells whether anything belongs to an inode, which its bit in the bitmap must say too.
    private func isInUse(_ inode: ExtInode, _ isSet: Bool) throws(FileSystemError) -> Bool {
        if inode.number < layout.superblock.firstInode {
            // Reserved: the list of bad blocks has blocks, but no links.
            return inode.links != 0 || inode.sectors != 0 || inode.hasBlockNumbers
        }
        guard isSet == (inode.links != 0) else {
            throw error(inode, "the bitmap says \(isSet ? "used" : "free"), it has \(inode.links) links")
        }
        return isSet
    }

    private mutating func walk(_ inode: ExtInode, _ nodes: inout [ExtNode]) throws(FileSystemError) {
        let seed = layout.hasMetadataChecksum ? try checkedSeed(of: inode) : 0
        wanted.remove(inode.number)
        let isReserved = inode.number < layout.superblock.firstInode
        if inode.attributeBlock != 0 {
            let block = Int64(clamping: inode.attributeBlock)
            guard block < layout.blockCount else { throw error(inode, "its attributes lie in block \(block)") }
            try claim(block..<block + 1, inode.number)
        }
        let hasExtents = inode.flags & Flag.extents != 0
        let isInline = inode.flags & Flag.inlineData != 0
        switch inode.mode & 0xf000 {
        case 0x8000, 0x4000: break
        case 0xa000 where !hasExtents && !isInline:
            // A short target stands in the place of block numbers.
            let attributes = inode.attributeBlock == 0 ? 0 : UInt64(layout.blocksPerCluster * layout.blockSize / 512)
            if inode.sectors == attributes {
                guard inode.sizeInBytes < 60 else { throw error(inode, "a link without blocks is too long") }
                return
            }
        case 0xa000: break
        case 0x1000, 0x2000, 0x6000, 0xc000:
            guard !hasExtents, !isInline else { throw error(inode, "a device or pipe has content") }
            return
        case 0 where isReserved: break
        default: throw error(inode, "its mode is 0x\(hexadecimal(inode.mode, width: 4))")
        }
        if isInline {
            guard !hasExtents, layout.superblock.incompatible & ExtSuperblock.Feature.inlineData != 0 else {
                throw error(inode, "it cannot have its content inline")
            }
            return
        }
        if hasExtents {
            let root = ByteFields(inode.blockNumbers)
            let node = ExtNode(
                block: 0, level: root.little(6), kind: .extents, inode: inode.number, seed: seed, first: 0, end: 1 << 32
            )
            guard node.level <= 5 else { throw error(inode, "its extent tree has \(node.level) levels") }
            try walkExtents(root, node, &nodes)
        } else {
            try walkMap(inode, &nodes)
        }
    }

    /// Returns what checksums of the extent tree of `inode` begin with; its own is right.
    private func checkedSeed(of inode: ExtInode) throws(FileSystemError) -> UInt32 {
        let number = (0..<4).map { UInt8(truncatingIfNeeded: inode.number >> ($0 * 8)) }
        let seed = CRC32C.update(CRC32C.update(layout.seed, number[...]), inode.part(100, 4))
        var register = CRC32C.update(CRC32C.update(seed, inode.part(0, 124)), [0, 0])
        register = CRC32C.update(register, inode.part(126, 2))
        var expected = UInt32(inode.little(124, as: UInt16.self))
        var mask: UInt32 = 0xffff
        if layout.inodeSize > 128 {
            let extra: UInt16 = inode.little(128)
            if extra >= 4 {
                register = CRC32C.update(CRC32C.update(register, inode.part(128, 2)), [0, 0])
                register = CRC32C.update(register, inode.part(132, layout.inodeSize - 132))
                expected |= UInt32(inode.little(130, as: UInt16.self)) << 16
                mask = .max
            } else {
                register = CRC32C.update(register, inode.part(128, layout.inodeSize - 128))
            }
        }
        guard register & mask == expected else { throw error(inode, "it does not match its checksum") }
        return seed
    }

    /// Holds the blocks `blocks` of an inode, which lie within the file system, against all there is.
    mutating func claim(_ blocks: Range<Int64>, _ inode: UInt32) throws(FileSystemError) {
        if free.overlaps(layout.bytes(blocks)) { throw error(inode, "its blocks \(blocks) are called free") }
        // Inode 1 lists bad blocks wherever they are, and inode 7 what is reserved behind the group descriptors.
        if inode != 1, inode != 7, !groups.structures(in: blocks).isEmpty {
            throw error(inode, "its blocks \(blocks) are the file system's own")
        }
        checked += 1
        if checked % 4096 == 0 { try goOn() }
    }

    func goOn() throws(FileSystemError) {
        guard options.goesOn() else { throw FileSystemError(layout.volume, .stopped) }
    }

    func error(_ inode: UInt32, _ what: String) -> FileSystemError {
        FileSystemError(layout.volume, file: "inode \(inode)", .damaged(what))
    }

    private func error(_ inode: ExtInode, _ what: String) -> FileSystemError { error(inode.number, what) }
}

/// An inode in a piece of an inode table.
///
/// Linux Documentation/filesystems/ext4/inodes.rst.
struct ExtInode: Sendable {
    let number: UInt32
    let table: ByteFields
    let place: Int

    func little<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type = Integer.self) -> Integer {
        table.little(place + offset, as: type)
    }

    func part(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> { table.part(place + offset, count) }

    var mode: UInt16 { little(0) }
    var sizeInBytes: UInt64 { UInt64(little(108, as: UInt32.self)) << 32 | UInt64(little(4, as: UInt32.self)) }
    var links: UInt16 { little(26) }
    /// Sectors of 512 bytes that belong to it, unless they are counted in blocks.
    var sectors: UInt64 { UInt64(little(116, as: UInt16.self)) << 32 | UInt64(little(28, as: UInt32.self)) }
    var flags: UInt32 { little(32) }
    /// 60 bytes: block numbers, the root of an extent tree, or content.
    var blockNumbers: ArraySlice<UInt8> { part(40, 60) }
    var hasBlockNumbers: Bool { blockNumbers.contains { $0 != 0 } }
    /// The block of extended attributes; 0 when there is none.
    var attributeBlock: UInt64 {
        UInt64(little(118, as: UInt16.self)) << 32 | UInt64(little(104, as: UInt32.self))
    }
}
