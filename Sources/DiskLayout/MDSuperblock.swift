// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// The md superblock of one RAID member.
///
/// ```
/// 1.1   byte 0                                    all fields little-endian, 256 bytes, then 2 a device
/// 1.2   byte 4096                                 the same
/// 1.0   8 KiB before the end, down to 4 KiB       the same
/// 0.90  64 KiB before the end, down to 64 KiB     4096 bytes in the byte order of the machine that made it
/// ```
/// Linux include/uapi/linux/raid/md_p.h. The end is that of the device or partition which holds the member: a 0.90
/// superblock of a last partition can look like one of the whole disk, and nothing in it tells.
public struct MDSuperblock: Sendable, Hashable {
    /// Where a superblock lies, and in which format.
    public enum Version: String, Sendable, Hashable, CaseIterable {
        case v0_90 = "0.90"
        case v1_0 = "1.0"
        case v1_1 = "1.1"
        case v1_2 = "1.2"
    }

    static let magic: UInt32 = 0xa92b_4efc
    /// Bytes a superblock takes at most, in both formats.
    static let size = 4096
    /// Most devices that the roles of version 1 have place for.
    static let maximumDevices = (size - 256) / 2

    /// Format and place.
    public var version: Version
    /// First byte of the superblock on the member.
    public var offset: Int64
    /// Whether it was made on a big-endian machine: only 0.90 can be.
    public var isBigEndian = false
    /// Whether the checksum is that of the content.
    public var isChecksumCorrect: Bool
    /// The array's UUID.
    public var arrayUUID: MDUUID
    /// The array's name, often with the host's before a colon; empty in 0.90.
    public var name = ""
    /// The RAID level.
    public var level: MDLevel
    /// The layout's number, whose meaning depends on the level.
    public var layout: UInt32
    /// Chunk size in bytes; 0 where the level has none.
    public var chunkSizeInBytes: Int64
    /// Members of the whole array, without spares.
    public var raidDisks: Int
    /// Bytes of each member that the array uses.
    public var usedSizeInBytes: Int64
    /// First byte of the data on this member.
    public var dataOffsetInBytes: Int64
    /// Bytes of this member that can hold data.
    public var dataSizeInBytes: Int64
    /// Number of this device, which it keeps when its role changes.
    public var deviceNumber: UInt32
    /// What this member is in the array.
    public var role: MDRole
    /// The member's own UUID; nil in 0.90.
    public var deviceUUID: MDUUID?
    /// Counts the superblock's updates: a member with less than the others was left behind.
    public var eventCount: UInt64
    /// Whether the array was stopped cleanly and all its redundancy is in sync.
    public var isClean: Bool
    /// Seconds since 1970 when the array was made.
    public var creationTime: UInt64
    /// Seconds since 1970 when the superblock was last written.
    public var updateTime: UInt64
    /// What else is in use.
    public var features: MDFeatures = []
    /// Bytes from the superblock to the write-intent bitmap, negative before it; nil where there is none.
    public var bitmapOffsetInBytes: Int64?

    /// The layout's name as mdadm(8) prints it; nil where the level has none or the number is unknown.
    public var layoutName: String? {
        switch level {
        case .raid5, .raid6:
            let names = ["left-asymmetric", "right-asymmetric", "left-symmetric", "right-symmetric"]
            return layout < 4 ? names[Int(layout)] : nil
        case .raid10:
            let (near, far) = (layout & 0xff, layout >> 8 & 0xff)
            guard layout < 1 << 18, near > 0, far > 0 else { return nil }
            var parts: [String] = []
            if near > 1 { parts.append("near=\(near)") }
            if far > 1 { parts.append("\(layout & 1 << 16 != 0 ? "offset" : "far")=\(far)") }
            return parts.isEmpty ? "near=1" : parts.joined(separator: ", ")
        default: return nil
        }
    }

    /// Returns every superblock of `source`, in the order 1.1, 1.2, 1.0, 0.90: a sane member has exactly one.
    ///
    /// A wrong checksum is reported, not refused; a superblock that names another place than its own is none.
    /// - Throws: `BlockError` when a place where one could be is unreadable.
    public static func all(on source: some BlockSource) throws(BlockError) -> [MDSuperblock] {
        var found: [MDSuperblock] = []
        for version in [Version.v1_1, .v1_2, .v1_0, .v0_90] {
            guard let offset = place(of: version, length: source.lengthInBytes) else { continue }
            let count = Int(min(Int64(size), source.lengthInBytes - offset))
            let fields = Fields(try source.bytes(at: offset, count: count))
            let superblock =
                version == .v0_90
                ? MDSuperblock(version0: fields, at: offset) : MDSuperblock(version1: fields, version, at: offset)
            if let superblock { found.append(superblock) }
        }
        return found
    }

    /// Returns the first byte of a superblock of `version` on a member of `length` bytes, nil when it has no place.
    static func place(of version: Version, length: Int64) -> Int64? {
        let offset: Int64
        switch version {
        case .v1_1: offset = 0
        case .v1_2: offset = 4096
        case .v1_0: offset = ((length / 512 - 16) & ~7) * 512
        case .v0_90: offset = (length & ~0xffff) - 0x10000
        }
        let needed: Int64 = version == .v0_90 ? 4096 : 1024
        return offset >= 0 && length - offset >= needed ? offset : nil
    }

    /// Returns `sectors` of 512 bytes in bytes, at most 63 bits of them.
    private static func bytes(ofSectors sectors: UInt64) -> Int64 {
        Int64(clamping: sectors.multipliedReportingOverflow(by: 512).overflow ? .max : sectors * 512)
    }

    /// Decodes version 1; nil when there is none, or none that belongs here.
    private init?(version1 fields: Fields, _ version: Version, at offset: Int64) {
        let raidDisks: UInt32 = fields.integer(92)
        let maximum: UInt32 = fields.integer(220)
        guard fields.integer(0) == Self.magic, fields.integer(4, as: UInt32.self) == 1,
            Self.bytes(ofSectors: fields.integer(144)) == offset, maximum <= UInt32(Self.maximumDevices),
            raidDisks <= UInt32(Self.maximumDevices)
        else { return nil }
        let roles = Int(maximum)
        self.version = version
        self.offset = offset
        isChecksumCorrect = Self.checksum1(fields, roles: roles) == fields.integer(216)
        features = MDFeatures(rawValue: fields.integer(8))
        arrayUUID = MDUUID(bytes: fields.part(16, 16))
        name = fields.text(32, 32)
        creationTime = fields.integer(64) & (1 << 40 - 1)
        level = MDLevel(rawValue: fields.integer(72))
        layout = fields.integer(76)
        usedSizeInBytes = Self.bytes(ofSectors: fields.integer(80))
        chunkSizeInBytes = Int64(fields.integer(88, as: UInt32.self)) * 512
        self.raidDisks = Int(raidDisks)
        if features.contains(.bitmap) { bitmapOffsetInBytes = Int64(fields.integer(96, as: Int32.self)) * 512 }
        dataOffsetInBytes = Self.bytes(ofSectors: fields.integer(128))
        dataSizeInBytes = Self.bytes(ofSectors: fields.integer(136))
        deviceNumber = fields.integer(160)
        deviceUUID = MDUUID(bytes: fields.part(168, 16))
        updateTime = fields.integer(192) & (1 << 40 - 1)
        eventCount = fields.integer(200)
        isClean = fields.integer(208, as: UInt64.self) == .max
        let raw: UInt16 = deviceNumber < maximum ? fields.integer(256 + Int(deviceNumber) * 2) : 0xffff
        switch raw {
        case 0xffff: role = .spare
        case 0xfffe: role = .faulty
        case 0xfffd: role = .journal
        case 0..<UInt16(raidDisks): role = .active(Int(raw))
        default: role = .unknown(raw)
        }
    }

    /// Decodes version 0.90; nil when there is none.
    private init?(version0 little: Fields, at offset: Int64) {
        var fields = little
        fields.isBigEndian = little.integer(0) == Self.magic.byteSwapped
        let minor: UInt32 = fields.integer(8)
        let raidDisks: UInt32 = fields.integer(40)
        guard fields.integer(0) == Self.magic, fields.integer(4, as: UInt32.self) == 0, minor == 90 || minor == 91,
            raidDisks <= 27
        else { return nil }
        version = .v0_90
        self.offset = offset
        isBigEndian = fields.isBigEndian
        isChecksumCorrect = Self.checksum0(fields) == fields.integer(152)
        arrayUUID = MDUUID(
            bytes: [20, 52, 56, 60].flatMap {
                withUnsafeBytes(of: fields.integer($0, as: UInt32.self).bigEndian, Array.init)
            })
        creationTime = UInt64(fields.integer(24, as: UInt32.self))
        level = MDLevel(rawValue: fields.integer(28))
        usedSizeInBytes = Int64(fields.integer(32, as: UInt32.self)) * 1024
        self.raidDisks = Int(raidDisks)
        updateTime = UInt64(fields.integer(128, as: UInt32.self))
        let state: UInt32 = fields.integer(132)
        isClean = state & 1 != 0
        if state & 1 << 8 != 0 { bitmapOffsetInBytes = 4096 }
        if minor == 91 { features.insert(.reshaping) }
        eventCount = fields.integer(156)
        layout = fields.integer(256)
        chunkSizeInBytes = Int64(fields.integer(260, as: UInt32.self))
        dataOffsetInBytes = 0
        dataSizeInBytes = offset
        // This member's own descriptor: number, major, minor, role, state.
        deviceNumber = fields.integer(3968)
        let place: UInt32 = fields.integer(3968 + 12)
        let disk: UInt32 = fields.integer(3968 + 16)
        if disk & 1 != 0 {
            role = .faulty
        } else if disk & 4 != 0 {
            role = place < raidDisks ? .active(Int(place)) : .unknown(UInt16(truncatingIfNeeded: place))
        } else {
            role = .spare
        }
    }

    /// Sum of the 32-bit words, its own being zero, the carry added once.
    private static func checksum1(_ fields: Fields, roles: Int) -> UInt32 {
        let length = 256 + roles * 2
        var sum: UInt64 = 0
        for offset in stride(from: 0, through: length - 4, by: 4) where offset != 216 {
            sum += UInt64(fields.integer(offset, as: UInt32.self))
        }
        if length % 4 == 2 { sum += UInt64(fields.integer(length - 2, as: UInt16.self)) }
        return UInt32(truncatingIfNeeded: (sum & 0xffff_ffff) + sum >> 32)
    }

    private static func checksum0(_ fields: Fields) -> UInt32 {
        var sum: UInt64 = 0
        for offset in stride(from: 0, to: size, by: 4) where offset != 152 {
            sum += UInt64(fields.integer(offset, as: UInt32.self))
        }
        return UInt32(truncatingIfNeeded: (sum & 0xffff_ffff) + sum >> 32)
    }
}
