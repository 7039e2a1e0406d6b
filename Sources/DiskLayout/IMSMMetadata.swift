// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What Intel's firmware RAID (IMSM: Matrix Storage, RST, VROC) writes at the end of each member.
///
/// ```
/// last but one sector  the start: signature, checksum, length, family, then disks and volumes
/// before it            what does not fit in a sector, up to 2 KiB and more
///
/// byte 0    "Intel Raid ISM Cfg Sig. " and a version   byte 56   disks, 8 bits
/// byte 32   checksum                                   byte 57   volumes, 8 bits
/// byte 36   length                                     byte 64   original family
/// byte 40   family                                     byte 216  disks of 48 bytes, then volumes
/// byte 44   generation
/// ```
/// As mdadm's super-intel.c and `mdadm --examine` show it. All integers are little-endian.
struct IMSMMetadata: Sendable, Hashable {
    static let signature = Array("Intel Raid ISM Cfg Sig. ".utf8)
    /// Most bytes that are read.
    private static let maximumLength = 64 << 10

    /// Identity of the set: the family in which it was made.
    var family: UInt32
    /// Counts changes.
    var generation: UInt32
    /// Number of member disks.
    var diskCount: Int
    /// Names and levels of the volumes.
    var volumes: [FirmwareVolume] = []

    /// Reads the metadata of a disk; nil when there are none, or their checksum is wrong.
    static func read(_ disk: any BlockSource) throws(BlockError) -> IMSMMetadata? {
        let sector = Int64(max(disk.logicalSectorSize, 512))
        let place = disk.lengthInBytes / sector * sector - 2 * sector
        guard place > 0 else { return nil }
        var bytes = try disk.bytes(at: place, count: Int(sector))
        guard Array(bytes.prefix(signature.count)) == signature else { return nil }
        let length = Int(Fields(bytes).integer(36, as: UInt32.self))
        guard (216...maximumLength).contains(length) else { return nil }
        if length > bytes.count {
            let rest = (Int64(length) - 1) / sector * sector
            guard place >= rest else { return nil }
            bytes += try disk.bytes(at: place - rest, count: Int(rest))
        }
        return IMSMMetadata(Fields(bytes.prefix(length)))
    }

    private init?(_ fields: Fields) {
        var sum: UInt32 = 0
        for offset in stride(from: 0, to: fields.bytes.count, by: 4) where offset != 32 {
            sum &+= fields.integer(offset, as: UInt32.self)
        }
        guard sum == fields.integer(32) else { return nil }
        let original: UInt32 = fields.integer(64)
        family = original != 0 ? original : fields.integer(40)
        generation = fields.integer(44)
        diskCount = Int(fields.integer(56, as: UInt8.self))
        var place = 216 + diskCount * 48
        for _ in 0..<Int(fields.integer(57, as: UInt8.self)) where place + 160 <= fields.bytes.count {
            let map = place + 112
            let members = Int(fields.integer(map + 16, as: UInt8.self))
            let raw: UInt8 = fields.integer(map + 15)
            // Two mirrors side by side have the number of one.
            let level = raw == 1 && members > 2 ? "raid10" : "raid\(raw)"
            volumes.append(FirmwareVolume(name: fields.text(place, 16), level: level))
            let mapLength = 48 + members * 4
            // A volume on its way to another layout has a second map.
            let isMigrating = fields.integer(place + 80 + 8, as: UInt8.self) != 0
            place += 112 + mapLength
            if isMigrating { place += 48 + Int(fields.integer(place + 16, as: UInt8.self)) * 4 }
        }
    }
}
