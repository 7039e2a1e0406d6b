// SPDX-License-Identifier: GPL-3.0-or-later

/// An LVM2 volume group as the newest of its metadata describes it.
public struct LVMVolumeGroup: Sendable, Hashable {
    /// Name.
    public var name: String
    /// UUID as LVM prints it.
    public var uuid: String
    /// Number of the metadata, counted up with each change.
    public var sequence: Int64
    /// Status words: `RESIZEABLE`, `READ`, `WRITE`, `EXPORTED`, `PARTIAL`.
    public var status: [String]
    /// Tags.
    public var tags: [String]
    /// Bytes of an extent.
    public var extentSizeInBytes: Int64
    /// Physical volumes in the order of the metadata.
    public var physicalVolumes: [LVMPhysicalVolume]
    /// Logical volumes in the order of the metadata, hidden ones among them.
    public var logicalVolumes: [LVMLogicalVolume]
    /// What is worth telling, in sentences.
    public var findings: [String] = []

    /// Physical volumes that were not found.
    public var missing: [LVMPhysicalVolume] { physicalVolumes.filter { $0.member == nil } }

    /// Returns the logical volume of that name.
    public func logicalVolume(_ name: String) -> LVMLogicalVolume? { logicalVolumes.first { $0.name == name } }
}

/// A physical volume as the group's metadata describe it.
public struct LVMPhysicalVolume: Sendable, Hashable {
    /// Name in the metadata: `pv0`.
    public var name: String
    /// UUID as LVM prints it.
    public var uuid: String
    /// Path that the device had when the metadata were written: a hint only.
    public var deviceHint: String
    /// Status words: `ALLOCATABLE`, `EXPORTED`.
    public var status: [String]
    /// Flags: `MISSING`.
    public var flags: [String]
    /// Length of the device in bytes.
    public var deviceSizeInBytes: Int64
    /// First byte of the first extent.
    public var firstExtentByte: Int64
    /// Number of extents.
    public var extentCount: Int64
    /// Extents that no logical volume has.
    public var freeExtentCount: Int64
    /// Which of the members that were found it is, counted from 0; nil when it is missing.
    public var member: Int?
}

/// A logical volume.
public struct LVMLogicalVolume: Sendable, Hashable {
    /// Name.
    public var name: String
    /// UUID as LVM prints it.
    public var uuid: String
    /// Status words: `READ`, `WRITE`, `VISIBLE`, `PVMOVE`.
    public var status: [String]
    /// Flags.
    public var flags: [String]
    /// Tags.
    public var tags: [String]
    /// Seconds since 1970 when it was made; nil where the metadata are too old to say.
    public var creationTime: Int64?
    /// Segments in order; without gap, else there is a finding.
    public var segments: [LVMSegment]
    /// Whether users see it: others are parts of one.
    public var isVisible: Bool

    /// Number of extents.
    public var extentCount: Int64 { segments.last.map { $0.firstExtent + $0.extentCount } ?? 0 }
}

/// A piece of a logical volume, mapped in one way.
public struct LVMSegment: Sendable, Hashable {
    /// Where extents of a segment lie.
    public enum Place: Sendable, Hashable {
        /// On a physical volume, by its name in the metadata.
        case physicalVolume(String, firstExtent: Int64)
        /// On another logical volume.
        case logicalVolume(String, firstExtent: Int64)
    }

    /// First extent in the logical volume.
    public var firstExtent: Int64
    /// Number of extents.
    public var extentCount: Int64
    /// Type of the metadata, but `linear` for a single stripe, as lvs(8) calls it.
    public var type: String
    /// What the extents are on: stripes, legs or RAID images, in order.
    public var places: [Place]
    /// RAID metadata volumes, in the order of `places`; empty where the type has none.
    public var metadataVolumes: [String]
    /// Bytes of a stripe; 0 where there is one place, or copies.
    public var stripeSizeInBytes: Int64
    /// Copies of the data in a RAID 10; nil where the metadata do not say.
    public var dataCopies: Int?
    /// Whether its layout is being changed.
    public var isReshaping: Bool
    /// Other logical volumes that it refers to, by the word of the metadata: `thin_pool`, `origin`, `cow_store`.
    public var references: [String: String]
}
