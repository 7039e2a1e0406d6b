// SPDX-License-Identifier: GPL-3.0-or-later

/// Where an ext2, ext3 or ext4 file system has what, as its superblock says: checked, so that sums cannot overflow.
///
/// Blocks and bytes are counted in `Int64`; every block of the file system lies within the volume. Linux
/// Documentation/filesystems/ext4/super.rst, blockgroup.rst.
struct ExtSpaceLayout: Sendable {
    /// Most groups that are looked at: 64 TiB of blocks of 4 KiB.
    static let maximumGroups = 1 << 19

    let volume: String
    let superblock: ExtSuperblock
    let blockSize: Int64
    let blockCount: Int64
    /// First block of group 0.
    let firstBlock: Int64
    let blocksPerGroup: Int64
    /// Blocks that one bit of a block bitmap stands for.
    let blocksPerCluster: Int64
    let clustersPerGroup: Int
    let inodesPerGroup: Int
    let inodeSize: Int
    let descriptorSize: Int
    let groupCount: Int
    /// Whether descriptors have a checksum: only then are their flags and unused inodes to be heeded.
    let hasDescriptorChecksum: Bool
    let hasMetadataChecksum: Bool
    /// What every CRC-32C of metadata begins with.
    let seed: UInt32

    private typealias Feature = ExtSuperblock.Feature

    /// Takes the numbers of `superblock`.
    ///
    /// - Parameter mustBeClean: whether one that is not clean, or has features of unknown effect on space, is refused.
    init(
        _ superblock: ExtSuperblock, _ bytes: VolumeBytes, mustBeClean: Bool = true
    ) throws(FileSystemError) {
        let fields = superblock.fields
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
        self.superblock = superblock
        volume = bytes.name
        if mustBeClean { try Self.checkFeatures(superblock, bytes.name) }

        blockSize = 1024 << Int64(min(superblock.logBlockSize, 6))
        blockCount = Int64(clamping: superblock.blockCount)
        firstBlock = Int64(fields.little(20, as: UInt32.self))
        guard blockCount <= bytes.lengthInBytes / blockSize, firstBlock <= (blockSize == 1024 ? 1 : 0),
            blockCount > firstBlock
        else { throw damaged("\(blockCount) blocks from \(firstBlock) on do not fit the volume") }

        let isClustered = superblock.readOnlyCompatible & Feature.bigAllocation != 0
        let logClusterSize: UInt32 = isClustered ? fields.little(28) : superblock.logBlockSize
        guard logClusterSize >= superblock.logBlockSize, logClusterSize - superblock.logBlockSize <= 16 else {
            throw damaged("the superblock says clusters of 2^\(10 &+ logClusterSize) bytes")
        }
        blocksPerCluster = 1 << Int64(logClusterSize - superblock.logBlockSize)
        blocksPerGroup = Int64(fields.little(32, as: UInt32.self))
        clustersPerGroup = Int(fields.little(isClustered ? 36 : 32, as: UInt32.self))
        guard clustersPerGroup >= 256, clustersPerGroup % 8 == 0, Int64(clustersPerGroup) <= blockSize * 8,
            blocksPerGroup == Int64(clustersPerGroup) * blocksPerCluster
        else { throw damaged("the superblock says groups of \(blocksPerGroup) blocks") }
        let groups = (blockCount - firstBlock + blocksPerGroup - 1) / blocksPerGroup
        guard groups <= Int64(Self.maximumGroups) else {
            throw FileSystemError(bytes.name, .unsupported("a file system of \(groups) groups"))
        }
        groupCount = Int(groups)

        let isFirstRevision = fields.little(76, as: UInt32.self) == 0
        inodeSize = isFirstRevision ? 128 : Int(fields.little(88, as: UInt16.self))
        guard inodeSize >= 128, Int64(inodeSize) <= blockSize, inodeSize & (inodeSize - 1) == 0 else {
            throw damaged("the superblock says inodes of \(inodeSize) bytes")
        }
        inodesPerGroup = Int(fields.little(40, as: UInt32.self))
        let inodes = Int64(fields.little(0, as: UInt32.self))
        guard inodesPerGroup > 0, Int64(inodesPerGroup) <= blockSize * 8,
            inodesPerGroup * inodeSize % Int(blockSize) == 0, Int64(inodesPerGroup) * groups == inodes
        else { throw damaged("the superblock says \(inodes) inodes, \(inodesPerGroup) a group") }

        let is64Bit = superblock.incompatible & Feature.is64Bit != 0
        descriptorSize = is64Bit ? Int(fields.little(254, as: UInt16.self)) : 32
        guard descriptorSize >= (is64Bit ? 64 : 32), descriptorSize <= 1024, descriptorSize & (descriptorSize - 1) == 0
        else { throw damaged("the superblock says group descriptors of \(descriptorSize) bytes") }

        hasMetadataChecksum = superblock.readOnlyCompatible & Feature.metadataChecksum != 0
        hasDescriptorChecksum = hasMetadataChecksum || superblock.readOnlyCompatible & Feature.descriptorChecksum != 0
        if superblock.incompatible & Feature.checksumSeed != 0 {
            seed = fields.little(624)
        } else {
            seed = CRC32C.update(.max, fields.part(104, 16))
        }
        if hasMetadataChecksum {
            guard fields.byte(373) == 1, CRC32C.update(.max, fields.part(0, 1020)) == fields.little(1020) else {
                throw damaged("the superblock does not match its checksum")
            }
        }
        guard firstMetaGroup <= descriptorBlockCount, superblock.firstInode > 10,
            Int64(superblock.firstInode) <= inodes
        else { throw damaged("the superblock's descriptors or inodes contradict each other") }
    }

    /// Refuses what is not known: any feature may change what a bit of a bitmap means.
    private static func checkFeatures(_ superblock: ExtSuperblock, _ volume: String) throws(FileSystemError) {
        guard superblock.state == .clean else { throw FileSystemError(volume, .damaged("it is not clean")) }
        for (name, features, known) in [
            ("compatible", superblock.compatible, Feature.knownCompatible),
            ("incompatible", superblock.incompatible, Feature.knownIncompatible),
            ("read-only compatible", superblock.readOnlyCompatible, Feature.knownReadOnlyCompatible),
        ] where features & ~known != 0 {
            throw FileSystemError(
                volume, .unsupported("the free space of \(name) features 0x\(hexadecimal(features & ~known, width: 1))")
            )
        }
        let creator: UInt32 = superblock.fields.little(72)
        let revision: UInt32 = superblock.fields.little(76)
        // Other systems put other things where Linux has the upper bits of block numbers.
        guard creator == 0, revision <= 1 else {
            throw FileSystemError(volume, .unsupported("the free space of revision \(revision), creator \(creator)"))
        }
        guard superblock.compatible & Feature.hasJournal == 0 || superblock.journalInode != 0 else {
            throw FileSystemError(volume, .unsupported("the free space beside an external journal"))
        }
    }

    /// Makes an error of cause `damaged`.
    func damaged(_ what: String) -> FileSystemError { FileSystemError(volume, .damaged(what)) }
}

// Groups and their descriptors.
extension ExtSpaceLayout {
    /// The block that holds the first superblock.
    var superblockBlock: Int64 { blockSize == 1024 ? 1 : 0 }
    var descriptorsPerBlock: Int { Int(blockSize) / descriptorSize }
    var descriptorBlockCount: Int { (groupCount + descriptorsPerBlock - 1) / descriptorsPerBlock }
    var inodeTableBlocks: Int64 { Int64(inodesPerGroup * inodeSize) / blockSize }
    var isMetaGrouped: Bool { superblock.incompatible & Feature.metaGroups != 0 }

    /// The first block of descriptors that lies in its own groups.
    var firstMetaGroup: Int {
        isMetaGrouped ? Int(superblock.fields.little(260, as: UInt32.self)) : descriptorBlockCount
    }

    /// Blocks of `group`; the last one is shorter.
    func blocks(of group: Int) -> Range<Int64> {
        let start = firstBlock + Int64(group) * blocksPerGroup
        return start..<max(start, min(start + blocksPerGroup, blockCount))
    }

    /// Bits that count in the block bitmap of `group`.
    func clusterCount(of group: Int) -> Int {
        let blocks = blocks(of: group)
        return Int((blocks.upperBound - blocks.lowerBound + blocksPerCluster - 1) / blocksPerCluster)
    }

    /// The bytes of `blocks`.
    func bytes(_ blocks: Range<Int64>) -> Range<Int64> {
        blocks.lowerBound * blockSize..<blocks.upperBound * blockSize
    }

    /// Whether `group` begins with a superblock.
    func hasSuperblock(_ group: Int) -> Bool {
        if group == 0 { return true }
        if superblock.compatible & Feature.sparseSuperblocks2 != 0 {
            let number = UInt32(group)
            return superblock.fields.little(588) == number || superblock.fields.little(592) == number
        }
        if group == 1 || superblock.readOnlyCompatible & Feature.sparseSuperblocks == 0 { return true }
        return [3, 5, 7].contains { base in
            var power = base
            while power < group { power *= base }
            return power == group
        }
    }

    /// The block that holds the descriptors of the groups from `index * descriptorsPerBlock` on.
    func descriptorBlock(_ index: Int) -> Int64 {
        if index < firstMetaGroup { return superblockBlock + 1 + Int64(index) }
        let group = index * descriptorsPerBlock
        return superblockEnd(group)
    }

    /// The block behind the superblock of `group`; its first one when there is none.
    private func superblockEnd(_ group: Int) -> Int64 {
        if group == 0 { return superblockBlock + 1 }
        return blocks(of: group).lowerBound + (hasSuperblock(group) ? 1 : 0)
    }

    /// Superblock and descriptors at the beginning of `group`, with what is kept free for more of them; all backups.
    func head(of group: Int) -> Range<Int64> {
        let start = group == 0 ? 0 : blocks(of: group).lowerBound
        let end = superblockEnd(group)
        if group / descriptorsPerBlock < firstMetaGroup {
            guard hasSuperblock(group) else { return start..<start }
            let reserved = isMetaGrouped ? 0 : Int64(superblock.fields.little(206, as: UInt16.self))
            return start..<end + Int64(firstMetaGroup) + reserved
        }
        let isKept = [0, 1, descriptorsPerBlock - 1].contains(group % descriptorsPerBlock)
        return start..<end + (isKept ? 1 : 0)
    }
}
