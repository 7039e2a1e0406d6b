// SPDX-License-Identifier: GPL-3.0-or-later

/// The superblock of an XFS file system, versions 4 and 5; all fields big-endian, its checksum excepted.
///
/// XFS Algorithms & Data Structures, "Superblocks"; Linux fs/xfs/libxfs/xfs_format.h.
struct XFSSuperblock: Sendable {
    /// `XFSB`.
    static let magic: UInt32 = 0x5846_5342
    private static let checksumOffset = 224

    /// Bit of the incompatible features: xfs_repair(8) has to run first.
    private static let needsRepair: UInt32 = 0x10
    /// Bit of the incompatible features: blocks of metadata carry another UUID than the file system.
    private static let hasMetadataUUID: UInt32 = 0x4
    /// The incompatible features that are known to leave what we read as it is: ftype, sparse inodes, meta UUID,
    /// big timestamps, needs repair, large extent counts, exchange range, parent pointers.
    private static let knownFeatures: UInt32 = 0xff

    let volume: String
    /// Bytes of a sector: each group begins with four of them.
    let sectorSize: Int
    let blockSize: Int
    let blockCount: UInt64
    let allocationGroupBlocks: UInt64
    let allocationGroupCount: UInt64
    let allocationGroupLog: UInt64
    let inodeSize: Int
    let inodesPerBlockLog: UInt64
    let directoryBlockSize: Int
    let rootInode: UInt64
    let logStart: UInt64
    let logBlocks: UInt64
    let isVersion5: Bool
    /// Whether directory entries carry the file's type.
    let hasFileType: Bool
    /// Whether the superblock asks for xfs_repair(8).
    let needsRepair: Bool
    /// Features of which the log may hold records; 0 after a clean unmount.
    let logFeatures: UInt32
    /// The UUID that blocks of metadata carry: it stays when the file system is given another one.
    let metadataUUID: [UInt8]
    /// The UUIDs that the log's records may carry: the file system's own one of before or after a change.
    var logUUIDs: [[UInt8]] { [ownUUID, metadataUUID] }
    private let ownUUID: [UInt8]
    /// What it says of space, and the features that concern it.
    let totals: XFSTotals
    let uuid: String?
    let label: String?

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
        guard let head = try bytes.fieldsIfPresent(at: 0, count: 512), head.big(0, as: UInt32.self) == Self.magic else {
            throw damaged("there is no XFS superblock")
        }
        volume = bytes.name
        guard head.byte(126) == 0 else { throw damaged("mkfs.xfs was not finished") }
        let version: UInt16 = head.big(100)
        sectorSize = Int(head.big(102, as: UInt16.self))
        guard version & 0xf == 4 || version & 0xf == 5 else {
            throw FileSystemError(bytes.name, .unsupported("XFS version \(version & 0xf)"))
        }
        isVersion5 = version & 0xf == 5
        guard [512, 1024, 2048, 4096, 8192, 16384, 32768].contains(sectorSize) else {
            throw damaged("the superblock says sectors of \(sectorSize) bytes")
        }
        if isVersion5 {
            let sector = try bytes.fields(at: 0, count: sectorSize)
            guard CRC32C.checksum(sector.bytes, without: Self.checksumOffset) == sector.little(Self.checksumOffset)
            else {
                throw damaged("the superblock's checksum is wrong")
            }
            let unknown = sector.big(216, as: UInt32.self) & ~Self.knownFeatures
            guard unknown == 0 else {
                throw FileSystemError(
                    bytes.name, .unsupported("the XFS feature 0x\(String(unknown, radix: 16))"))
            }
        } else {
            // Directories of version 1 went out of use before 2002.
            guard version & 0x2000 != 0 else { throw FileSystemError(bytes.name, .unsupported("directory version 1")) }
        }
        let features: UInt32 = isVersion5 ? head.big(216) : 0
        let features2: UInt32 = version & 0x8000 != 0 ? head.big(200) : 0
        hasFileType = isVersion5 ? features & 1 != 0 : features2 & 0x200 != 0
        needsRepair = features & Self.needsRepair != 0
        logFeatures = isVersion5 ? head.big(220) : 0
        ownUUID = Array(head.part(32, 16))
        metadataUUID = Array(head.part(features & Self.hasMetadataUUID != 0 ? 248 : 32, 16))
        totals = XFSTotals(head, isVersion5: isVersion5)

        let logBlock = head.byte(120)
        let logInode = head.byte(122)
        let logInodesPerBlock = head.byte(123)
        let logGroup = head.byte(124)
        let logDirectory = head.byte(192)
        guard (9...16).contains(logBlock), (8...11).contains(logInode), logInode <= logBlock,
            logInodesPerBlock == logBlock - logInode, head.big(4, as: UInt32.self) == 1 << UInt32(logBlock),
            head.big(104, as: UInt16.self) == 1 << UInt16(logInode), logGroup > 0, logGroup <= 31,
            logDirectory <= 16 - logBlock, sectorSize <= 1 << Int(logBlock)
        else { throw damaged("the superblock's sizes contradict each other") }
        blockSize = 1 << Int(logBlock)
        inodeSize = 1 << Int(logInode)
        inodesPerBlockLog = UInt64(logInodesPerBlock)
        directoryBlockSize = blockSize << Int(logDirectory)
        blockCount = head.big(8)
        allocationGroupBlocks = UInt64(head.big(84, as: UInt32.self))
        allocationGroupCount = UInt64(head.big(88, as: UInt32.self))
        allocationGroupLog = UInt64(logGroup)
        rootInode = head.big(56)
        logStart = head.big(48)
        logBlocks = UInt64(head.big(96, as: UInt32.self))
        uuid = head.uuid(32)
        let name = head.text(108, 12)
        label = name.isEmpty ? nil : name
        // Both fit 32 bits, so that the product fits 64.
        let groups = allocationGroupCount
        let (length, overflow) = blockCount.multipliedReportingOverflow(by: UInt64(blockSize))
        guard groups > 0, allocationGroupBlocks > 0, allocationGroupBlocks <= 1 << UInt64(logGroup),
            blockCount <= groups * allocationGroupBlocks, blockCount > (groups - 1) * allocationGroupBlocks,
            !overflow, length <= UInt64(max(bytes.lengthInBytes, 0))
        else { throw damaged("the superblock's \(blockCount) blocks in \(groups) groups do not fit the volume") }
    }

    /// Returns the byte where `count` blocks from `block`, a number with its group's in the upper bits, begin.
    ///
    /// Nil when they are not within one group.
    func offset(ofBlock block: UInt64, count: UInt64 = 1) -> Int64? {
        let group = block >> allocationGroupLog
        let inGroup = block & (1 << allocationGroupLog - 1)
        guard group < allocationGroupCount, count <= allocationGroupBlocks,
            inGroup <= allocationGroupBlocks - count
        else { return nil }
        let number = group * allocationGroupBlocks + inGroup
        guard count <= blockCount, number <= blockCount - count else { return nil }
        return Int64(number * UInt64(blockSize))
    }

    /// Returns the byte where `count` blocks from `block` of `group` begin; nil when they are not within it.
    func offset(inGroup group: UInt64, _ block: UInt64, count: UInt64 = 1) -> Int64? {
        guard group < allocationGroupCount, block < 1 << allocationGroupLog else { return nil }
        return offset(ofBlock: group << allocationGroupLog | block, count: count)
    }

    /// Returns the blocks of `group`: the last one may be shorter.
    func length(ofGroup group: UInt64) -> UInt64 {
        min(allocationGroupBlocks, blockCount - min(group * allocationGroupBlocks, blockCount))
    }

    /// Returns the byte where inode `number` lies, nil when it is outside the file system.
    func offset(ofInode number: UInt64) -> Int64? {
        let index = number & (1 << inodesPerBlockLog - 1)
        guard let block = offset(ofBlock: number >> inodesPerBlockLog) else { return nil }
        return block + Int64(index) * Int64(inodeSize)
    }
}
