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

    /// The name that libblkid gives this set of features.
    var kind: FileSystemKind {
        let isBeyondExt3 = incompatible & ~0x16 != 0 || readOnlyCompatible & ~0x7 != 0
        if isBeyondExt3 { return .ext4 }
        return compatible & Feature.hasJournal != 0 ? .ext3 : .ext2
    }

    var state: FileSystemState {
        let state: UInt16 = fields.little(58)
        // Bit 0: unmounted properly; bit 1: errors were seen.
        if state & 2 != 0 { return .dirty }
        let lastOrphan: UInt32 = fields.little(232)
        if incompatible & Feature.needsRecovery != 0 || lastOrphan != 0
            || readOnlyCompatible & Feature.orphanPresent != 0
        {
            return .needsRecovery
        }
        return state & 1 != 0 ? .clean : .dirty
    }

    var uuid: String? { fields.uuid(104) }

    var label: String? {
        let text = fields.text(120, 16)
        return text.isEmpty ? nil : text
    }
}
