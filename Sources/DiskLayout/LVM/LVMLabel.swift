// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CZlib

/// What an LVM2 physical volume says of itself, and the metadata text that it carries.
///
/// ```
/// one of the first four sectors of 512 bytes: the label, little-endian
///    0   8  "LABELONE"          8  8  number of this sector      16  4  checksum of bytes 20 to 511
///   20   4  offset of the header in this sector                  24  8  "LVM2 001"
/// header: 32 bytes UUID; 8 bytes length of the device; data areas, each 8 bytes offset and 8 bytes length, ended by
/// zeros; metadata areas likewise; 4 bytes version and 4 bytes flags of an extension
/// metadata area: a sector with 4 bytes checksum of bytes 4 to 511, 16 bytes magic, 4 bytes version 1, 8 bytes offset and
/// 8 bytes length of the area, then locations, each 8 bytes offset in the area, 8 bytes length, 4 bytes checksum of the
/// text, 4 bytes flags (1: ignored), ended by zeros; the text goes round from the area's end to behind this sector
/// ```
/// lvm2 lib/format_text/layout.h, lib/label/label.h. The checksum is CRC-32 begun with 0xf597a6cf and not inverted.
struct LVMLabel: Sendable {
    /// The physical volume's UUID as it is stored, 32 characters.
    var uuid: String
    /// Length of the device in bytes as of its making.
    var deviceLength: Int64
    /// First byte of the data.
    var dataOffset: Int64?
    /// Number of metadata areas, ignored ones among them.
    var areaCount = 0
    /// Whether the header says that a volume group has it; newer versions of LVM set this.
    var isMarkedUsed = false
    /// The newest text of each area that has one.
    var texts: [[UInt8]] = []
    /// What is wrong, in sentences.
    var findings: [String] = []

    private static let sector = 512
    private static let areaMagic: [UInt8] = [0x20] + Array("LVM2 x[5A%r0N*>".utf8)
    /// Longest text that is read, in bytes.
    private static let maximumText = 16 << 20
    private static let maximumAreas = 16

    /// Reads the label of `source`; nil when it has none.
    ///
    /// - Throws: `BlockError` when the first sectors cannot be read.
    init?(_ source: any BlockSource) throws(BlockError) {
        guard source.lengthInBytes >= 4 * 512 else { return nil }
        let head = try source.bytes(at: 0, count: Int(min(4096, source.lengthInBytes)))
        guard let (fields, number) = Self.findLabel(head) else { return nil }
        let offset = Int(fields.integer(20, as: UInt32.self))
        guard offset >= 32, offset <= Self.sector - 40 else { return nil }
        uuid = String(decoding: fields.part(offset, 32), as: UTF8.self)
        deviceLength = Int64(clamping: fields.integer(offset + 32, as: UInt64.self))
        var position = offset + 40
        let data = Self.areas(fields, &position)
        dataOffset = data.first?.offset
        let metadata = Self.areas(fields, &position)
        areaCount = metadata.count
        // Behind the areas: a version, and flags of which the first says so.
        if fields.integer(position, as: UInt32.self) > 0 {
            isMarkedUsed = fields.integer(position + 4, as: UInt32.self) & 1 != 0
        }
        guard Self.checksum(fields.part(20, Self.sector - 20)) == fields.integer(16) else {
            // Where it leads cannot be trusted.
            findings.append("the checksum of the LVM label in sector \(number) is wrong")
            return
        }
        for area in metadata {
            do throws(BlockError) {
                if let text = try readArea(source, area) { texts.append(text) }
            } catch {
                findings.append("a metadata area cannot be read: \(error)")
            }
        }
    }

    private static func findLabel(_ head: [UInt8]) -> (Fields, Int)? {
        for number in 0..<4 {
            let fields = Fields(head[number * sector..<min((number + 1) * sector, head.count)])
            if fields.text(0, 8) == "LABELONE", fields.integer(8, as: UInt64.self) == UInt64(number),
                fields.text(24, 8) == "LVM2 001"
            {
                return (fields, number)
            }
        }
        return nil
    }

    private static func areas(_ fields: Fields, _ position: inout Int) -> [(offset: Int64, length: Int64)] {
        var areas: [(Int64, Int64)] = []
        while position <= sector - 16, areas.count < maximumAreas {
            let offset: UInt64 = fields.integer(position)
            let length: UInt64 = fields.integer(position + 8)
            position += 16
            if offset == 0 { break }
            areas.append((Int64(clamping: offset), Int64(clamping: length)))
        }
        return areas
    }

    /// Returns the text of an area; nil when it has none, or none that its checksums vouch for.
    private mutating func readArea(
        _ source: any BlockSource, _ area: (offset: Int64, length: Int64)
    ) throws(BlockError) -> [UInt8]? {
        guard area.offset >= 0, area.offset <= source.lengthInBytes - Int64(Self.sector) else {
            findings.append("a metadata area lies beyond the device")
            return nil
        }
        let fields = Fields(try source.bytes(at: area.offset, count: Self.sector))
        guard Array(fields.part(4, 16)) == Self.areaMagic else {
            findings.append("the metadata area at byte \(area.offset) has no header")
            return nil
        }
        guard Self.checksum(fields.part(4, Self.sector - 4)) == fields.integer(0) else {
            findings.append("the header of the metadata area at byte \(area.offset) has a wrong checksum")
            return nil
        }
        let start = Int64(clamping: fields.integer(24, as: UInt64.self))
        let length = Int64(clamping: fields.integer(32, as: UInt64.self))
        let place = Int64(clamping: fields.integer(40, as: UInt64.self))
        let count = Int64(clamping: fields.integer(48, as: UInt64.self))
        // An area that is there but not used: pvchange --metadataignore.
        guard place != 0, count > 0, fields.integer(60, as: UInt32.self) & 1 == 0 else { return nil }
        guard start == area.offset, length > Int64(Self.sector), length <= source.lengthInBytes - start,
            place >= Int64(Self.sector), place < length, count <= length - Int64(Self.sector), count <= Self.maximumText
        else {
            findings.append("the metadata area at byte \(area.offset) contradicts itself")
            return nil
        }
        let first = min(count, length - place)
        var text = try source.bytes(at: start + place, count: Int(first))
        if first < count { text += try source.bytes(at: start + Int64(Self.sector), count: Int(count - first)) }
        guard Self.checksum(text[...]) == fields.integer(56) else {
            findings.append("the metadata text at byte \(start + place) has a wrong checksum")
            return nil
        }
        return text
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let start: UInt32 = 0xf597_a6cf
        // zlib inverts before and behind; LVM does neither.
        let result = bytes.withUnsafeBytes { buffer in
            crc32(UInt(~start), buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(clamping: buffer.count))
        }
        return ~UInt32(truncatingIfNeeded: result)
    }
}
