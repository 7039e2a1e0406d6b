// SPDX-License-Identifier: GPL-3.0-or-later

/// Tells what of ext2, ext3 or ext4 lies where something cannot be read.
///
/// The structures by where superblock and descriptors put them, files by every inode that can be read. Checksums are
/// not asked: a file whose inode is doubtful is better named than not.
struct ExtOwners {
    private let layout: ExtSpaceLayout
    private let volume: VolumeBytes
    /// Blocks of extent trees and block maps that may still be read: a damaged tree may lead in circles.
    private var blocksLeft: Int64

    private static let hasExtents: UInt32 = 0x8_0000
    private static let isInline: UInt32 = 0x1000_0000

    /// Looks for the owners of what `search` wants.
    static func search(_ volume: VolumeBytes, _ search: inout OwnerSearch) {
        search.add(1024..<2048, .structure("superblock"))
        guard let superblock = try? ExtSuperblock(volume),
            let layout = try? ExtSpaceLayout(superblock, volume, mustBeClean: false)
        else { return search.miss() }
        var owners = ExtOwners(layout: layout, volume: volume, blocksLeft: layout.blockCount)
        owners.run(&search)
    }

    private mutating func run(_ search: inout OwnerSearch) {
        for group in 0..<layout.groupCount { addHead(of: group, &search) }
        let protection = Int64(clamping: layout.superblock.mountProtectionBlock)
        if protection > 0, protection < layout.blockCount {
            search.add(layout.bytes(protection..<protection + 1), .structure("block of multiple mount protection"))
        }
        for index in 0..<layout.descriptorBlockCount {
            let first = index * layout.descriptorsPerBlock
            let groups = first..<min(first + layout.descriptorsPerBlock, layout.groupCount)
            guard let fields = descriptors(index) else {
                search.miss()
                continue
            }
            for group in groups {
                let place = (group - first) * layout.descriptorSize
                guard let known = try? ExtSpaceGroups.descriptor(fields, at: place, of: group, layout) else {
                    search.miss()
                    continue
                }
                walk(group, known, &search)
                guard search.goesOn() else { return }
            }
        }
    }

    /// Reads a block of descriptors, from its copy in group 1 where it cannot be read itself.
    private func descriptors(_ index: Int) -> ByteFields? {
        var places = [layout.descriptorBlock(index)]
        if index < layout.firstMetaGroup, layout.groupCount > 1, layout.hasSuperblock(1) {
            places.append(layout.blocks(of: 1).lowerBound + 1 + Int64(index))
        }
        for block in places where block < layout.blockCount {
            if let fields = try? volume.fields(at: block * layout.blockSize, count: Int(layout.blockSize)) {
                return fields
            }
        }
        return nil
    }

    private func addHead(of group: Int, _ search: inout OwnerSearch) {
        let head = layout.head(of: group)
        guard !head.isEmpty, head.upperBound <= layout.blockCount, search.touches(layout.bytes(head)) else { return }
        var start = head.lowerBound
        if layout.hasSuperblock(group) {
            let name = group == 0 ? "superblock" : "copy of the superblock in group \(group)"
            // In front of the first one, boot code; it was told already, to the byte.
            let end = group == 0 ? layout.superblockBlock + 1 : start + 1
            let blocks = layout.bytes(start..<end)
            if group > 0 {
                search.add(blocks, .structure(name))
            } else {
                search.add(0..<1024, .structure("boot area"))
                search.add(2048..<max(blocks.upperBound, 2048), .structure(name))
            }
            start = end
        }
        let name = group == 0 ? "group descriptors" : "group descriptors in group \(group)"
        if start < head.upperBound { search.add(layout.bytes(start..<head.upperBound), .structure(name)) }
    }

    /// Names a group's own blocks, and walks its inodes.
    private mutating func walk(_ number: Int, _ group: ExtSpaceGroup, _ search: inout OwnerSearch) {
        func add(_ first: Int64, _ count: Int64, _ name: String) {
            guard first > 0, count <= layout.blockCount, first <= layout.blockCount - count else { return }
            search.add(layout.bytes(first..<first + count), .structure("\(name) of group \(number)"))
        }
        add(group.blockBitmap, 1, "block bitmap")
        add(group.inodeBitmap, 1, "inode bitmap")
        add(group.inodeTable, layout.inodeTableBlocks, "inode table")
        let used = layout.inodesPerGroup - Int(group.unusedInodes)
        guard !group.isWithoutInodes, used > 0, group.inodeTable > 0,
            group.inodeTable <= layout.blockCount - layout.inodeTableBlocks
        else { return }
        let start = group.inodeTable * layout.blockSize
        let length = Int64(used * layout.inodeSize)
        let firstInode = UInt32(truncatingIfNeeded: number * layout.inodesPerGroup + 1)
        for offset in stride(from: 0, to: length, by: 1 << 20) {
            let count = min(length - offset, 1 << 20)
            let inode = firstInode &+ UInt32(offset / Int64(layout.inodeSize))
            guard !walkTable(start + offset, count, inode, &search) else { continue }
            // Block by block: what lies beside a bad one is there.
            for part in stride(from: 0, to: count, by: Int(layout.blockSize)) {
                let inode = inode &+ UInt32(part / Int64(layout.inodeSize))
                if !walkTable(start + offset + part, min(layout.blockSize, count - part), inode, &search) {
                    search.miss()
                }
            }
        }
    }

    /// Walks the inodes in a piece of a table; false when it cannot be read.
    private mutating func walkTable(
        _ place: Int64, _ count: Int64, _ first: UInt32, _ search: inout OwnerSearch
    ) -> Bool {
        guard let table = try? volume.fields(at: place, count: Int(count)) else { return false }
        for index in 0..<Int(count) / layout.inodeSize {
            guard search.goesOn() else { return true }
            let inode = ExtInode(number: first &+ UInt32(index), table: table, place: index * layout.inodeSize)
            if inode.links != 0 || inode.number < layout.superblock.firstInode { walk(inode, &search) }
        }
        return true
    }

    private func owner(_ inode: ExtInode) -> SpaceOwner? {
        let number = inode.number
        if number == layout.superblock.journalInode { return .structure("journal") }
        // Inode 1 lists bad blocks, and 7 what is reserved behind the descriptors, which were told.
        if number == 1 || number == 7 { return nil }
        if number < layout.superblock.firstInode, number != 2 || inode.links == 0 {
            return .structure("the file system's own inode \(number)")
        }
        return .content(UInt64(number), isDirectory: inode.mode & 0xf000 == 0x4000)
    }

    private mutating func walk(_ inode: ExtInode, _ search: inout OwnerSearch) {
        guard inode.hasBlockNumbers || inode.attributeBlock != 0, let owner = owner(inode) else { return }
        let attributes = Int64(clamping: inode.attributeBlock)
        if attributes > 0, attributes < layout.blockCount {
            search.add(
                layout.bytes(attributes..<attributes + 1), .beside(UInt64(inode.number), "extended attributes"))
        }
        guard inode.flags & Self.isInline == 0 else { return }
        switch inode.mode & 0xf000 {
        case 0x8000, 0x4000, 0: break
        // A short target stands in the place of block numbers.
        case 0xa000 where inode.flags & Self.hasExtents != 0 || inode.sizeInBytes >= 60: break
        default: return
        }
        let root = ByteFields(inode.blockNumbers)
        if inode.flags & Self.hasExtents != 0 {
            walkExtents(root, level: Int(root.little(6, as: UInt16.self)), inode.number, owner, &search)
        } else {
            walkPointers(root, 0..<12, level: 0, inode.number, owner, &search)
            for level in 1...3 {
                walkPointers(root, level + 11..<level + 12, level: level, inode.number, owner, &search)
            }
        }
    }

    private mutating func walkExtents(
        _ fields: ByteFields, level: Int, _ inode: UInt32, _ owner: SpaceOwner, _ search: inout OwnerSearch
    ) {
        let count = Int(fields.little(2, as: UInt16.self))
        guard fields.little(0, as: UInt16.self) == 0xf30a, Int(fields.little(6, as: UInt16.self)) == level, level <= 5,
            count <= (fields.count - 12) / 12
        else { return search.miss() }
        for index in 0..<count {
            let place = 12 + 12 * index
            if level > 0 {
                let block =
                    Int64(fields.little(place + 4, as: UInt32.self))
                    | Int64(fields.little(place + 8, as: UInt16.self)) << 32
                guard let below = node(block, inode, &search) else { continue }
                walkExtents(below, level: level - 1, inode, owner, &search)
            } else {
                let stated = Int64(fields.little(place + 4, as: UInt16.self))
                let start =
                    Int64(fields.little(place + 8, as: UInt32.self))
                    | Int64(fields.little(place + 6, as: UInt16.self)) << 32
                add(start, stated > 0x8000 ? stated - 0x8000 : stated, owner, &search)
            }
        }
    }

    private mutating func walkPointers(
        _ fields: ByteFields, _ places: Range<Int>, level: Int, _ inode: UInt32, _ owner: SpaceOwner,
        _ search: inout OwnerSearch
    ) {
        for place in places {
            let block = Int64(fields.little(place * 4, as: UInt32.self))
            if block == 0 { continue }
            if level == 0 {
                add(block, 1, owner, &search)
            } else if let below = node(block, inode, &search) {
                walkPointers(below, 0..<below.count / 4, level: level - 1, inode, owner, &search)
            }
        }
    }

    /// Reads a block that says where content lies.
    private mutating func node(_ block: Int64, _ inode: UInt32, _ search: inout OwnerSearch) -> ByteFields? {
        blocksLeft -= 1
        guard block > 0, block < layout.blockCount, blocksLeft >= 0, search.goesOn() else {
            search.miss()
            return nil
        }
        search.add(layout.bytes(block..<block + 1), .beside(UInt64(inode), "list of extents"))
        let fields = try? volume.fields(at: block * layout.blockSize, count: Int(layout.blockSize))
        if fields == nil { search.miss() }
        return fields
    }

    private func add(_ start: Int64, _ count: Int64, _ owner: SpaceOwner, _ search: inout OwnerSearch) {
        guard start > 0, count > 0, count <= layout.blockCount, start <= layout.blockCount - count else {
            return search.miss()
        }
        search.add(layout.bytes(start..<start + count), owner)
    }
}
