// SPDX-License-Identifier: GPL-3.0-or-later

/// What lies on a disk, a partition, an array or a logical volume.
public struct VolumeContent: Sendable, Hashable, Codable {
    /// libblkid's TYPE: `ext4`, `LVM2_member`; nil where nothing is known, or several are.
    public var type: String?
    /// libblkid's USAGE: `filesystem`, `raid`, `crypto`, `other`.
    public var usage: String?
    /// libblkid's VERSION.
    public var version: String?
    /// libblkid's UUID.
    public var uuid: String?
    /// libblkid's LABEL.
    public var label: String?
    /// All types whose signature is there, when there is more than one: nothing is guessed.
    public var ambivalent: [String] = []
    /// The partition table.
    public var table: PartitionTableRecord?
    /// State of the file system: `clean`, `needs recovery`, `dirty`, `hibernated`, `unknown`; nil where none was read.
    public var state: String?
    /// Why something of it could not be read, in sentences.
    public var problems: [String] = []

    /// Makes one of which nothing is known.
    public init() {}
}

/// A partition table.
public struct PartitionTableRecord: Sendable, Hashable, Codable {
    /// `gpt`, `dos` or `hybrid`.
    public var type: String
    /// The disk's GUID, or `0x` and eight digits.
    public var uuid: String?
    /// State of the GPT at the disk's start: `good`, `missing`, `damaged: …`.
    public var primary: String?
    /// State of the GPT at the disk's end.
    public var backup: String?
    /// What is wrong with it, in sentences.
    public var problems: [String] = []
    /// The partitions in the order of their numbers.
    public var partitions: [PartitionRecord] = []

    /// Makes a table without partitions.
    public init(type: String) { self.type = type }
}

/// A partition.
public struct PartitionRecord: Sendable, Hashable, Codable {
    /// The number that Linux gives it.
    public var number: Int
    /// Path of the device; nil where the kernel has none.
    public var name: String?
    /// First byte on the disk.
    public var offset: Int64
    /// Length in bytes.
    public var size: Int64
    /// Type GUID in lower case, or the type byte in hexadecimal.
    public var type: String
    /// Unique GUID in lower case, or identifier and number as PARTUUID has it.
    public var uuid: String?
    /// The name of GPT.
    public var label: String?
    /// The attribute bits of GPT, or the boot indicator of an MBR.
    public var flags: UInt64
    /// What lies on it.
    public var content: VolumeContent?

    /// Makes a partition's record.
    public init(number: Int, offset: Int64, size: Int64, type: String, flags: UInt64) {
        self.number = number
        self.offset = offset
        self.size = size
        self.type = type
        self.flags = flags
    }
}

/// A software RAID array, put together from its members' superblocks.
public struct SoftwareArray: Sendable, Hashable, Codable {
    /// UUID as mdadm(8) prints it.
    public var uuid: String
    /// Name, often with the host's before a colon.
    public var name: String?
    /// `0.90`, `1.0`, `1.1` or `1.2`.
    public var metadata: String
    /// `raid5`.
    public var level: String
    /// `left-symmetric`, `near=2`.
    public var layout: String?
    /// Chunk size in bytes; nil where the level has none.
    public var chunkSize: Int64?
    /// Members of the whole array, without spares.
    public var raidDevices: Int
    /// Bytes that the array offers; nil where they cannot be told.
    public var size: Int64?
    /// `clean`, `active`, `degraded` or `incomplete`.
    public var state: String
    /// Roles that nothing fills.
    public var missing: [Int] = []
    /// Members: active ones in the order of their roles, then the others.
    public var members: [ArrayMember] = []
    /// What is wrong with it, in sentences.
    public var problems: [String] = []
    /// What lies on it; nil where it could not be read.
    public var content: VolumeContent?

    /// Makes an array's record.
    public init(uuid: String, metadata: String, level: String, raidDevices: Int, state: String) {
        self.uuid = uuid
        self.metadata = metadata
        self.level = level
        self.raidDevices = raidDevices
        self.state = state
    }
}

/// A member of a software RAID array.
public struct ArrayMember: Sendable, Hashable, Codable {
    /// Path of the device, or the disk's and the partition's number.
    public var device: String
    /// Role: its number from 0, `spare`, `faulty`, `journal`.
    public var role: String
    /// `active`, `spare`, `stale`, `faulty` or `other`.
    public var state: String
    /// Event count.
    public var events: UInt64
    /// First byte of data on the member.
    public var dataOffset: Int64
    /// UUID of the member.
    public var uuid: String?

    /// Makes a member's record.
    public init(device: String, role: String, state: String, events: UInt64, dataOffset: Int64) {
        self.device = device
        self.role = role
        self.state = state
        self.events = events
        self.dataOffset = dataOffset
    }
}

/// An LVM2 volume group.
public struct VolumeGroup: Sendable, Hashable, Codable {
    /// Name.
    public var name: String
    /// UUID as LVM prints it.
    public var uuid: String
    /// Sequence number of the metadata.
    public var sequence: Int
    /// Bytes of an extent.
    public var extentSize: Int64
    /// Physical volumes, missing ones among them.
    public var physicalVolumes: [PhysicalVolume] = []
    /// Logical volumes, hidden ones among them.
    public var logicalVolumes: [LogicalVolume] = []
    /// What is wrong with it, in sentences.
    public var problems: [String] = []

    /// Makes a group's record.
    public init(name: String, uuid: String, sequence: Int, extentSize: Int64) {
        self.name = name
        self.uuid = uuid
        self.sequence = sequence
        self.extentSize = extentSize
    }
}

/// An LVM2 physical volume.
public struct PhysicalVolume: Sendable, Hashable, Codable {
    /// UUID as LVM prints it.
    public var uuid: String
    /// Path of the device; nil when it is missing.
    public var device: String?
    /// Length in bytes.
    public var size: Int64
    /// Bytes in extents that no logical volume has.
    public var free: Int64

    /// Makes a physical volume's record.
    public init(uuid: String, device: String?, size: Int64, free: Int64) {
        self.uuid = uuid
        self.device = device
        self.size = size
        self.free = free
    }
}

/// An LVM2 logical volume.
public struct LogicalVolume: Sendable, Hashable, Codable {
    /// Name.
    public var name: String
    /// UUID as LVM prints it.
    public var uuid: String
    /// Segment types in order, each once: `linear`, `striped`, `raid1`, `thin`.
    public var segmentTypes: [String]
    /// Length in bytes.
    public var size: Int64
    /// Whether it is a part of another one, such as `root_rmeta_0`.
    public var isHidden: Bool
    /// Whether all that it maps to is there.
    public var isComplete: Bool
    /// What lies on it; nil where it could not be read.
    public var content: VolumeContent?

    /// Makes a logical volume's record.
    public init(
        name: String, uuid: String, segmentTypes: [String], size: Int64, isHidden: Bool, isComplete: Bool
    ) {
        self.name = name
        self.uuid = uuid
        self.segmentTypes = segmentTypes
        self.size = size
        self.isHidden = isHidden
        self.isComplete = isComplete
    }
}
