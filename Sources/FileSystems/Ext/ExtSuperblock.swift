// SPDX-License-Identifier: GPL-3.0-or-later

/// What is needed of an ext2, ext3 or ext4 superblock before libext2fs is let loose on the rest.
///
/// Linux Documentation/filesystems/ext4/super.rst; it lies 1024 bytes from the start, little-endian.
struct ExtSuperblock: Sendable {
    /// Feature bits that are looked at.
    enum Feature {
        static let hasJournal: UInt32 = 0x4
        static let needsRecovery: UInt32 = 0x4
        static let journalDevice: UInt32 = 0x8
        static let orphanPresent: UInt32 = 0x10000
        static let is64Bit: UInt32 = 0x80
        static let metadataChecksum: UInt32 = 0x400
        static let metaGroups: UInt32 = 0x10
        static let multipleMountProtection: UInt32 = 0x100
        static let checksumSeed: UInt32 = 0x2000
        static let inlineData: UInt32 = 0x8000
        static let sparseSuperblocks: UInt32 = 0x1
        static let sparseSuperblocks2: UInt32 = 0x200
        static let descriptorChecksum: UInt32 = 0x10
        static let quota: UInt32 = 0x100
        static let bigAllocation: UInt32 = 0x200
        static let orphanFile: UInt32 = 0x1000
        static let projects: UInt32 = 0x2000

        // Whose meaning for free space is known. Compression, snapshots, replicas, Lustre's and older ones are not.
        static let knownCompatible: UInt32 = 0x1e3d
        static let knownIncompatible: UInt32 = 0x3e7d6
        static let knownReadOnlyCompatible: UInt32 = 0xf77b
    }

    let fields: ByteFields

    init(_ volume: VolumeBytes) throws(FileSystemError) {
        guard let fields = try volume.fieldsIfPresent(at: 1024, count: 1024),
            fields.little(56, as: UInt16.self) == 0xef53
        else { throw FileSystemError(volume.name, .damaged("there is no ext superblock")) }
        self.fields = fields
        guard logBlockSize <= 6 else {
            throw FileSystemError(volume.name, .damaged("the superblock says blocks of 2^\(10 &+ logBlockSize) bytes"))
        }
        // The library allocates by these numbers: they must fit the volume.
        let perGroup: UInt32 = fields.little(32)
        let (length, overflow) = blockCount.multipliedReportingOverflow(by: 1024 << UInt64(logBlockSize))
        guard !overflow, length <= UInt64(max(volume.lengthInBytes, 0)), perGroup >= 256 else {
            throw FileSystemError(
                volume.name, .damaged("the superblock's \(blockCount) blocks do not fit the volume"))
        }
    }

    var compatible: UInt32 { fields.little(92) }
    var incompatible: UInt32 { fields.little(96) }
    var readOnlyCompatible: UInt32 { fields.little(100) }
    var logBlockSize: UInt32 { fields.little(24) }

    var blockCount: UInt64 {
        let low: UInt32 = fields.little(4)
        let high: UInt32 = incompatible & Feature.is64Bit != 0 ? fields.little(336) : 0
        return UInt64(high) << 32 | UInt64(low)
    }

    var freeBlockCount: UInt64 {
        let low: UInt32 = fields.little(12)
        let high: UInt32 = incompatible & Feature.is64Bit != 0 ? fields.little(344) : 0
        return UInt64(high) << 32 | UInt64(low)
    }

    var freeInodeCount: UInt32 { fields.little(16) }

    /// The name that libblkid gives this set of features.
    var kind: FileSystemKind {
        let isBeyondExt3 = incompatible & ~0x16 != 0 || readOnlyCompatible & ~0x7 != 0
        if isBeyondExt3 { return .ext4 }
        return compatible & Feature.hasJournal != 0 ? .ext3 : .ext2
    }

    var state: FileSystemState {
        let state: UInt16 = fields.little(58)
        // Bit 0: unmounted properly; bit 1: errors were seen.
        let errorCount: UInt32 = fields.little(404)
        if state & 2 != 0 || errorCount != 0 { return .dirty }
        let lastOrphan: UInt32 = fields.little(232)
        if incompatible & Feature.needsRecovery != 0 || lastOrphan != 0
            || readOnlyCompatible & Feature.orphanPresent != 0
        {
            return .needsRecovery
        }
        return state & 1 != 0 ? .clean : .dirty
    }

    /// First inode that is not reserved.
    var firstInode: UInt32 {
        let revision: UInt32 = fields.little(76)
        return revision == 0 ? 11 : fields.little(84)
    }

    /// Inode of the journal; 0 when there is none, or it is on another device.
    var journalInode: UInt32 { compatible & Feature.hasJournal != 0 ? fields.little(224) : 0 }

    /// Inodes that must be in use: the root, the journal, those of quotas, and that of orphans.
    var ownInodes: Set<UInt32> {
        var inodes: Set<UInt32> = [2, journalInode]
        if readOnlyCompatible & Feature.quota != 0 { inodes.formUnion([fields.little(576), fields.little(580)]) }
        if readOnlyCompatible & Feature.projects != 0 { inodes.insert(fields.little(620)) }
        if compatible & Feature.orphanFile != 0 { inodes.insert(fields.little(640)) }
        return inodes.subtracting([0])
    }

    /// The block that says who has the file system mounted; 0 when there is none.
    var mountProtectionBlock: UInt64 {
        incompatible & Feature.multipleMountProtection != 0 ? fields.little(360) : 0
    }

    var uuid: String? { fields.uuid(104) }

    var label: String? {
        let text = fields.text(120, 16)
        return text.isEmpty ? nil : text
    }
}
