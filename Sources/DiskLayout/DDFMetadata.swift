// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CZlib

/// What SNIA's Common RAID Disk Data Format writes at the end of each member: many hardware controllers use it.
///
/// ```
/// last sector: the anchor, which leads to the primary header
/// byte 0    de 11 de 11             byte 96   primary header, 64 bits, in sectors of 512 bytes
/// byte 4    CRC-32                  byte 208  virtual disk records: sectors behind the header, 32 bits
/// byte 8    GUID of the set, 24     byte 212  their length in sectors, 32 bits
/// records: 64 bytes, then 64 a virtual disk: GUID of 24 bytes, ..., name of 16 bytes at 48
/// ```
/// SNIA DDF 2.0, sections 4.1 and 4.2. All integers are big-endian.
struct DDFMetadata: Sendable, Hashable {
    static let signature: UInt32 = 0xde11_de11
    /// Most bytes of virtual disk records that are read.
    private static let maximumRecords = 64 << 10

    /// Identity of the set, as mdadm(8) prints it: six groups of eight digits.
    var guid: String
    /// Names of the volumes.
    var volumes: [FirmwareVolume] = []

    /// Reads the metadata of a disk; nil when there are none, or their checksum is wrong.
    static func read(_ disk: any BlockSource) throws(BlockError) -> DDFMetadata? {
        let end = disk.lengthInBytes / 512 * 512
        guard end >= 1024 else { return nil }
        guard let anchor = header(try disk.bytes(at: end - 512, count: 512)) else { return nil }
        let guid = anchor.part(8, 24)
        let digits = guid.map { hex($0, width: 2, uppercase: true) }
        var metadata = DDFMetadata(
            guid: stride(from: 0, to: digits.count, by: 4).map {
                digits[$0..<min($0 + 4, digits.count)].joined()
            }.joined(separator: ":"))
        // Names are an extra: a set is one without them.
        guard let place = byte(anchor.integer(96, as: UInt64.self), 0, end),
            let primary = try header(disk.bytes(at: place, count: 512)), Array(primary.part(8, 24)) == Array(guid),
            let records = byte(anchor.integer(96, as: UInt64.self), primary.integer(208), end)
        else { return metadata }
        let length = min(Int(primary.integer(212, as: UInt32.self)) * 512, maximumRecords, Int(clamping: end - records))
        var fields = Fields(try disk.bytes(at: records, count: length))
        fields.isBigEndian = true
        guard fields.integer(0, as: UInt32.self) == 0xdddd_dddd else { return metadata }
        for place in stride(from: 64, to: length - 63, by: 64) {
            // Unused places are filled with ones.
            guard !fields.part(place, 24).allSatisfy({ $0 == 0xff || $0 == 0 }) else { continue }
            let name = fields.text(place + 48, 16)
            metadata.volumes.append(FirmwareVolume(name: String(name.reversed().drop { $0 == " " }.reversed())))
        }
        return metadata
    }

    /// Returns the fields of a header whose checksum, counted with its own bytes as ones, is right.
    private static func header(_ bytes: [UInt8]) -> Fields? {
        var fields = Fields(bytes)
        fields.isBigEndian = true
        var summed = bytes
        summed.replaceSubrange(4..<8, with: [0xff, 0xff, 0xff, 0xff])
        // Begun with zeros and not inverted, unlike zlib's, which inverts at both ends.
        let checksum = ~UInt32(truncatingIfNeeded: crc32(uLong(UInt32.max), summed, uInt(summed.count)))
        guard fields.integer(0) == signature, checksum == fields.integer(4) else { return nil }
        return fields
    }

    /// Returns the byte where sector `more` behind `sector` begins, when a sector from there lies before `end`.
    private static func byte(_ sector: UInt64, _ more: UInt32, _ end: Int64) -> Int64? {
        guard sector < UInt64(Int64.max) / 1024, more != .max else { return nil }
        let place = (Int64(sector) + Int64(more)) * 512
        return place > 0 && place <= end - 512 ? place : nil
    }
}
