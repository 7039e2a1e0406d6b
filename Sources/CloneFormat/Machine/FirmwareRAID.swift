// SPDX-License-Identifier: GPL-3.0-or-later

/// Members of firmware RAID that belong together.
public struct FirmwareRAIDSet: Sendable, Hashable, Codable {
    /// libblkid's TYPE: `isw_raid_member`.
    public var type: String
    /// Identity of the set; nil where the metadata are not read, so that the members only look alike.
    public var uuid: String?
    /// The UUID that mdadm(8) gives the set.
    public var mdUuid: String?
    /// Names and levels of the volumes in it.
    public var volumes: [String] = []
    /// Number of disks that it has by its metadata; nil where they do not say.
    public var diskCount: Int?
    /// Paths of the members.
    public var members: [String]
    /// The disks that its metadata know, failed and missing ones among them; nil where they are not read.
    public var disks: [FirmwareRAIDDisk]?
    /// The volumes in full; nil where the metadata are not read.
    public var raidVolumes: [FirmwareRAIDVolume]?
    /// What is wrong with it, in sentences; nil for nothing.
    public var problems: [String]?

    /// Makes a set's record.
    public init(type: String, uuid: String?, members: [String]) {
        self.type = type
        self.uuid = uuid
        self.members = members
    }
}

/// A disk that a firmware RAID set's metadata know.
public struct FirmwareRAIDDisk: Sendable, Hashable, Codable {
    /// What the metadata call it: its serial number, or its reference number.
    public var label: String
    /// Path of the device; nil where it is not here, or nothing tells which one it is.
    public var device: String?
    /// How it is, in the metadata's words: `active`, `active/Online, Rebuilding`.
    public var state: String
    /// Length in bytes, or those that volumes may take.
    public var size: Int64

    /// Makes a disk's record.
    public init(label: String, device: String?, state: String, size: Int64) {
        self.label = label
        self.device = device
        self.state = state
        self.size = size
    }
}

/// A volume of a firmware RAID set.
public struct FirmwareRAIDVolume: Sendable, Hashable, Codable {
    /// Name.
    public var name: String
    /// The UUID that mdadm(8) gives it.
    public var uuid: String?
    /// `raid5`.
    public var level: String?
    /// Bytes that it offers; nil where that is not known.
    public var size: Int64?
    /// Chunk size in bytes; nil where the level has none.
    public var chunkSize: Int64?
    /// Whether its data can be read from what is here: `complete`, `degraded`, `incomplete`, `unknown`.
    public var state: String
    /// How it is, in the metadata's words: `normal`, `degraded, rebuild, dirty`.
    public var recordedState: String
    /// Whether parity and copies agree, by the metadata.
    public var isConsistent: Bool
    /// The members in the order of their slots.
    public var members: [FirmwareRAIDMember] = []
    /// Numbers of the slots that nothing here fills, or what is not right.
    public var missing: [Int] = []
    /// What lies on it; nil where it could not be read.
    public var content: VolumeContent?

    /// Makes a volume's record.
    public init(name: String, level: String?, state: String, recordedState: String, isConsistent: Bool) {
        self.name = name
        self.level = level
        self.state = state
        self.recordedState = recordedState
        self.isConsistent = isConsistent
    }
}

/// A member of a firmware RAID volume.
public struct FirmwareRAIDMember: Sendable, Hashable, Codable {
    /// What the metadata call the disk; nil where they name none.
    public var label: String?
    /// Path of the device; nil where it is not here, or nothing tells which one it is.
    public var device: String?
    /// Whether what it holds is right, by the metadata.
    public var isInSync: Bool
    /// First byte of data on the member.
    public var dataOffset: Int64

    /// Makes a member's record.
    public init(label: String?, device: String?, isInSync: Bool, dataOffset: Int64) {
        self.label = label
        self.device = device
        self.isInSync = isInSync
        self.dataOffset = dataOffset
    }
}
