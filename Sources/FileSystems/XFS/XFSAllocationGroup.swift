// SPDX-License-Identifier: GPL-3.0-or-later

/// The headers of an allocation group of XFS: a copy of the superblock, its free space, its inodes, its free list.
///
/// XFS Algorithms & Data Structures, "Allocation Groups"; Linux fs/xfs/libxfs/xfs_format.h. One sector each.
struct XFSAllocationGroup {
    /// Root and height of a tree.
    struct Root {
        var block: UInt64
        var levels: Int

        fileprivate init(_ fields: ByteFields, _ block: Int, _ levels: Int) {
            self.block = UInt64(fields.big(block, as: UInt32.self))
            self.levels = Int(fields.big(levels, as: UInt32.self))
        }
    }

    private enum Magic {
        static let freeSpace: UInt32 = 0x5841_4746  // XAGF
        static let inodes: UInt32 = 0x5841_4749  // XAGI
        static let freeList: UInt32 = 0x5841_464c  // XAFL
    }

    private static let superblockChecksum = 224

    let number: UInt64
    /// Blocks of the group.
    let length: UInt64
    /// Blocks at its start that the headers take.
    let headerBlocks: UInt64
    let freeByBlock: Root
    let freeByLength: Root
    let reverseMap: Root
    let references: Root
    let inodes: Root
    let freeInodes: Root
    /// Blocks that the tree of free space holds, those on the free list not counted.
    let freeBlocks: UInt64
    let longestFree: UInt64
    /// Blocks of the trees of free space and of the reverse map, roots not counted.
    let freeTreeBlocks: UInt64
    let reverseMapBlocks: UInt64
    let referenceBlocks: UInt64
    let inodeCount: UInt64
    let freeInodeCount: UInt64
    let inodeTreeBlocks: UInt64
    let freeInodeTreeBlocks: UInt64
    /// Blocks set aside for the trees: neither free nor in use.
    let freeList: [UInt64]

    private let superblock: XFSSuperblock

    /// Reads and checks the headers of group `number`.
    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock, _ number: UInt64) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError {
            FileSystemError(superblock.volume, .damaged("group \(number): \(what)"))
        }
        let size = superblock.sectorSize
        length = superblock.length(ofGroup: number)
        headerBlocks = UInt64((4 * size + superblock.blockSize - 1) / superblock.blockSize)
        guard length > headerBlocks, let start = superblock.offset(inGroup: number, 0, count: headerBlocks) else {
            throw damaged("it has no room for its headers")
        }
        let sectors = try bytes.fields(at: start, count: 4 * size)
        let parts = (0..<4).map { ByteFields(sectors.part($0 * size, size)) }
        let (copy, space, files, list) = (parts[0], parts[1], parts[2], parts[3])
        guard copy.big(0, as: UInt32.self) == XFSSuperblock.magic,
            copy.big(4, as: UInt32.self) == UInt32(superblock.blockSize),
            UInt64(copy.big(84, as: UInt32.self)) == superblock.allocationGroupBlocks
        else { throw damaged("its copy of the superblock is of another file system") }
        if superblock.isVersion5 {
            for (what, fields, sum, uuid) in [
                ("copy of the superblock", copy, Self.superblockChecksum, nil),
                ("header of free space", space, 216, 64),
                ("header of inodes", files, 312, 296), ("free list", list, 32, 8),
            ] as [(String, ByteFields, Int, Int?)] {
                guard CRC32C.checksum(fields.bytes, without: sum) == fields.little(sum) else {
                    throw damaged("the checksum of its \(what) is wrong")
                }
                if let uuid, !fields.part(uuid, 16).elementsEqual(superblock.metadataUUID) {
                    throw damaged("its \(what) is of another file system")
                }
            }
            guard list.big(0, as: UInt32.self) == Magic.freeList, UInt64(list.big(4, as: UInt32.self)) == number else {
                throw damaged("it has no free list")
            }
        }
        for (magic, fields) in [(Magic.freeSpace, space), (Magic.inodes, files)] {
            guard fields.big(0, as: UInt32.self) == magic, fields.big(4, as: UInt32.self) == 1,
                UInt64(fields.big(8, as: UInt32.self)) == number, UInt64(fields.big(12, as: UInt32.self)) == length
            else { throw damaged("a header is not its own") }
        }
        // Where inodes are still linked from, that have no name any more: a clean unmount leaves none.
        guard (0..<64).allSatisfy({ files.big(40 + $0 * 4, as: UInt32.self) == .max }) else {
            throw damaged("it has inodes that were still to be removed")
        }
        freeByBlock = Root(space, 16, 28)
        freeByLength = Root(space, 20, 32)
        reverseMap = Root(space, 24, 36)
        references = Root(space, 88, 92)
        inodes = Root(files, 20, 24)
        freeInodes = Root(files, 328, 332)
        func number32(_ fields: ByteFields, _ offset: Int) -> UInt64 { UInt64(fields.big(offset, as: UInt32.self)) }
        freeBlocks = number32(space, 52)
        longestFree = number32(space, 56)
        freeTreeBlocks = number32(space, 60)
        reverseMapBlocks = number32(space, 80)
        referenceBlocks = number32(space, 84)
        inodeCount = number32(files, 16)
        freeInodeCount = number32(files, 28)
        inodeTreeBlocks = number32(files, 336)
        freeInodeTreeBlocks = number32(files, 340)
        guard let listed = Self.freeList(space, list, isVersion5: superblock.isVersion5) else {
            throw damaged("its free list has other bounds than its header says")
        }
        let within = headerBlocks..<length
        guard listed.allSatisfy(within.contains), Set(listed).count == listed.count else {
            throw damaged("its free list holds a block twice or one that is not the group's")
        }
        freeList = listed
        self.number = number
        self.superblock = superblock
    }

    /// Returns the ring's entries from first to last, nil when they are not as many as are said to be.
    private static func freeList(_ space: ByteFields, _ list: ByteFields, isVersion5: Bool) -> [UInt64]? {
        let start = isVersion5 ? 36 : 0
        let room = (list.count - start) / 4
        let first = Int(space.big(40, as: UInt32.self))
        let last = Int(space.big(44, as: UInt32.self))
        let count = Int(space.big(48, as: UInt32.self))
        guard count <= room, first < room, last < room else { return nil }
        // With nothing in it, the last one is the one before the first.
        guard (first + count + room - 1) % room == last else { return nil }
        return (0..<count).map { UInt64(list.big(start + (first + $0) % room * 4, as: UInt32.self)) }
    }

    /// Returns the bytes of the volume that `count` blocks from `block` of the group are; nil outside it.
    func bytes(_ block: UInt64, _ count: UInt64 = 1) -> Range<Int64>? {
        guard count > 0, count <= length, block <= length - count,
            let start = superblock.offset(inGroup: number, block, count: count)
        else { return nil }
        return start..<start + Int64(count) * Int64(superblock.blockSize)
    }
}
