// SPDX-License-Identifier: GPL-3.0-or-later

/// Figures that follow from a qcow2 image's cluster size, and the bits of its table entries.
///
/// qemu docs/interop/qcow2.
struct Qcow2Layout: Sendable, Hashable {
    /// "QFI" and 0xfb.
    static let magic: UInt32 = 0x5146_49fb
    /// Largest L1 table that QEMU opens, in bytes.
    static let maximumL1Bytes = 32 << 20
    /// Largest refcount table that QEMU opens, in bytes.
    static let maximumRefcountTableBytes = 8 << 20
    /// Bit 63 of an L1 or L2 entry: the cluster's refcount is exactly one.
    static let copied: UInt64 = 1 << 63
    /// Bit 62 of an L2 entry: the cluster is compressed.
    static let compressed: UInt64 = 1 << 62
    /// Bit 0 of a standard L2 entry: the cluster reads as zeros.
    static let zero: UInt64 = 1
    /// Bits 9 to 55 of an L1 or standard L2 entry: the host offset.
    static let offsetMask: UInt64 = 0x00ff_ffff_ffff_fe00
    /// Incompatible feature bit 3: compression is not zlib.
    static let compressionTypeFeature: UInt64 = 1 << 3
    /// Header extension that names the format of the backing file.
    static let backingFormatExtension: UInt32 = 0xe279_2aca

    /// log2 of the cluster size.
    let clusterBits: Int

    /// Bytes a cluster.
    var clusterSize: Int { 1 << clusterBits }
    /// Entries an L2 table, of 8 bytes each.
    var l2Entries: Int { clusterSize / 8 }
    /// Entries a refcount block, of 16 bits each.
    var refcountBlockEntries: Int { clusterSize / 2 }
    /// Bit at which the sector count begins in a compressed cluster's descriptor.
    var compressedSizeShift: Int { 62 - (clusterBits - 8) }

    /// Returns the L2 entry of `count` compressed bytes at `fileOffset`.
    func compressedEntry(fileOffset: Int64, count: Int) -> UInt64 {
        let extraSectors = (fileOffset + Int64(count) - 1) / 512 - fileOffset / 512
        return Self.compressed | UInt64(extraSectors) << compressedSizeShift | UInt64(fileOffset)
    }

    /// Returns where the data of a compressed cluster's `entry` is in the file: at most up to a sector's end.
    func compressedRange(_ entry: UInt64) -> (offset: Int64, length: Int) {
        let offset = entry & (1 << UInt64(compressedSizeShift) - 1)
        let sectors = Int((entry & ~(Self.copied | Self.compressed)) >> UInt64(compressedSizeShift)) + 1
        return (Int64(offset), sectors * 512 - Int(offset % 512))
    }

    /// Returns the number of L1 entries for a disk of `length` bytes, at least one.
    func l1Entries(diskLength length: Int64) -> Int {
        let clusters = (length + Int64(clusterSize) - 1) / Int64(clusterSize)
        return max(Int((clusters + Int64(l2Entries) - 1) / Int64(l2Entries)), 1)
    }
}
