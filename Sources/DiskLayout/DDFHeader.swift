// SPDX-License-Identifier: GPL-3.0-or-later

/// A header of DDF metadata.
///
/// ```
/// byte 0    de 11 de 11            byte 112  type, 8 bits: 0 anchor, 1 primary, 2 secondary
/// byte 4    CRC-32                 byte 132  most configuration records, 16 bits
/// byte 8    GUID of the set, 24    byte 134  sectors of each, 16 bits
/// byte 32   version, 8             byte 136  members that each has place for, 16 bits
/// byte 40   sequence number        byte 192  sections: first sector behind the header, sectors, 32 bits each
/// byte 44   time                             controller, physical disks, virtual disks, configurations, disk data
/// byte 48   open, 8 bits
/// byte 96   primary header, 64 bits, byte 104 secondary header, 64 bits
/// ```
public struct DDFHeader: Sendable, Hashable {
    /// Where a section lies.
    struct Section: Sendable, Hashable {
        var offset: UInt32
        var length: UInt32
    }

    /// Identity of the set.
    public var guid: DDFGUID
    /// Version: `01.02.00`.
    public var version: String
    /// Counts changes.
    public var sequence: UInt32
    /// Seconds since 1980 when it was written.
    public var timestamp: UInt32
    /// Whether it was about to be changed.
    public var isOpen: Bool
    /// 0 for an anchor, 1 for a primary, 2 for a secondary header.
    public var type: UInt8

    let primarySector, secondarySector: UInt64
    let recordSectors, recordMembers: UInt16
    let controller, physical, virtual, configuration, data: Section
    /// All that headers of one disk have in common.
    private let common: [UInt8]

    /// Decodes a header; nil when it is none, or its checksum is wrong.
    init?(_ fields: Fields?) {
        guard let fields, fields.integer(0) == DDFMetadata.signature, fields.hasDDFChecksum else { return nil }
        guid = DDFGUID(bytes: fields.part(8, 24))
        version = fields.text(32, 8)
        sequence = fields.integer(40)
        timestamp = fields.integer(44)
        isOpen = fields.integer(48, as: UInt8.self) != 0
        primarySector = fields.integer(96)
        secondarySector = fields.integer(104)
        type = fields.integer(112)
        recordSectors = fields.integer(134)
        recordMembers = fields.integer(136)
        let sections = (0..<5).map {
            Section(offset: fields.integer(192 + $0 * 8), length: fields.integer(196 + $0 * 8))
        }
        (controller, physical, virtual) = (sections[0], sections[1], sections[2])
        (configuration, data) = (sections[3], sections[4])
        common = Array(fields.part(8, 32)) + fields.part(96, 16) + fields.part(113, 399)
    }

    /// Tells whether this is the header of `type` that `anchor` leads to.
    func agrees(with anchor: DDFHeader, _ type: UInt8) -> Bool { self.type == type && common == anchor.common }
}

/// A GUID of DDF: a maker's name, its own digits, a time and a random number.
public struct DDFGUID: Sendable, Hashable, CustomStringConvertible {
    /// The 24 bytes.
    public let bytes: [UInt8]

    init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix(24)) }

    /// Whether it marks an unused record.
    var isUnused: Bool { bytes.allSatisfy { $0 == 0xff } || bytes.allSatisfy { $0 == 0 } }

    /// The digits as mdadm(8) prints them: six groups of eight.
    public var description: String {
        stride(from: 0, to: bytes.count, by: 4).map { start in
            bytes[start..<min(start + 4, bytes.count)].map { hex($0, width: 2, uppercase: true) }.joined()
        }.joined(separator: ":")
    }

    /// The text that it begins with, without spaces at its end.
    public var text: String {
        let end = bytes.lastIndex { $0 != 0x20 }.map { $0 + 1 } ?? 0
        return String(decoding: bytes[..<end].prefix { (0x20..<0x7f).contains($0) }, as: UTF8.self)
    }

    /// Seconds since 1970 when it was made.
    public var creationTime: Int64 {
        var fields = Fields(bytes)
        fields.isBigEndian = true
        return Int64(fields.integer(16, as: UInt32.self)) + 315_532_800
    }
}
