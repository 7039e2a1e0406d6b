// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CZlib

/// What SNIA's Common RAID Disk Data Format writes at the end of each member: many hardware controllers use it.
///
/// ```
/// last sector, or 256 before it: the anchor, which leads to a primary and a secondary header, and each to sections:
/// controller data, physical disk records, virtual disk records   the same on every disk
/// configuration records, disk data                               of the volumes on this disk, and of the disk itself
/// ```
/// SNIA DDF 2.0, section 4, and mdadm's super-ddf.c. All integers are big-endian, places are in sectors of 512 bytes.
public struct DDFMetadata: Sendable, Hashable {
    static let signature: UInt32 = 0xde11_de11
    /// Most sectors of a section that are read.
    private static let maximumSection = 4096

    /// The header in the last sector.
    public var anchor: DDFHeader
    /// The primary header; nil where it is missing, damaged, or of another set.
    public var primary: DDFHeader?
    /// The secondary header; nil where it is missing, damaged, or of another set.
    public var secondary: DDFHeader?
    /// The controller.
    public var controller: DDFController?
    /// The set's disks, missing ones among them.
    public var physicalDisks: [DDFPhysicalDisk] = []
    /// Number of disks that the set counts, and of those that its records have place for.
    public var physicalCount = 0, physicalCapacity = 0
    /// The set's volumes.
    public var virtualDisks: [DDFVirtualDisk] = []
    /// Number of volumes that the set counts.
    public var virtualCount = 0
    /// Where the volumes on this disk lie.
    public var configurations: [DDFConfiguration] = []
    /// Number of records that make this disk a spare.
    public var spareCount = 0
    /// This disk's reference number, by which the others know it.
    public var reference: UInt32?
    /// Sections that are missing, or whose checksum is wrong, by name.
    public var damage: [String] = []

    /// The header that counts: the newer one that is closed; nil where neither can be used.
    public var active: DDFHeader? {
        guard let primary, let secondary else { return primary ?? secondary }
        let isNewer = primary.sequence < secondary.sequence && !secondary.isOpen
        let isCloser = primary.sequence == secondary.sequence && primary.isOpen && !secondary.isOpen
        return isNewer || isCloser ? secondary : primary
    }

    /// The set's UUID as mdadm(8) has it.
    public var uuid: MDUUID { MDUUID(hashing: anchor.guid.bytes) }

    /// Returns a volume's UUID as mdadm(8) has it.
    ///
    /// Some firmware of LSI gives its volumes a new GUID at every start: the set, name and number stand for it.
    public func uuid(of disk: DDFVirtualDisk) -> MDUUID {
        guard let controller, controller.guid.bytes.starts(with: Array("LSI     ".utf8)) else {
            return MDUUID(hashing: disk.guid.bytes)
        }
        let number = [UInt8(truncatingIfNeeded: disk.index), UInt8(truncatingIfNeeded: disk.index >> 8)]
        return MDUUID(hashing: anchor.guid.bytes + disk.nameBytes + number)
    }

    /// Reads the metadata of a disk; nil when there are none, or the anchor's checksum is wrong.
    static func read(_ disk: any BlockSource) throws(BlockError) -> DDFMetadata? {
        let sectors = UInt64(max(disk.lengthInBytes, 0)) / 512
        var found: DDFHeader?
        // Some controllers keep an area of their own behind all that.
        for distance: UInt64 in [1, 257] where found == nil && sectors > distance {
            found = try DDFHeader(section(disk, at: sectors - distance, 1))
        }
        guard let anchor = found else { return nil }
        var metadata = DDFMetadata(anchor: anchor)
        func header(_ sector: UInt64, _ type: UInt8) throws(BlockError) -> DDFHeader? {
            let header = try DDFHeader(section(disk, at: sector, 1))
            return header?.agrees(with: anchor, type) == true ? header : nil
        }
        metadata.primary = try header(anchor.primarySector, 1)
        metadata.secondary = try header(anchor.secondarySector, 2)
        if let active = metadata.active { try metadata.readSections(of: active, on: disk) }
        return metadata
    }

    private init(anchor: DDFHeader) { self.anchor = anchor }

    private mutating func readSections(of header: DDFHeader, on disk: any BlockSource) throws(BlockError) {
        let start = header.type == 2 ? header.secondarySector : header.primarySector
        func section(_ place: DDFHeader.Section) throws(BlockError) -> Fields? {
            guard place.offset != .max, place.length != .max, place.length > 0 else { return nil }
            let (sector, overflow) = start.addingReportingOverflow(UInt64(place.offset))
            return overflow ? nil : try Self.section(disk, at: sector, Int(clamping: place.length))
        }
        if let fields = checked(try section(header.controller), 0xad11_1111, "the controller data") {
            controller = DDFController(fields)
        }
        if let fields = checked(try section(header.physical), 0x2222_2222, "the physical disk records") {
            physicalCount = Int(fields.integer(8, as: UInt16.self))
            physicalCapacity = Int(fields.integer(10, as: UInt16.self))
            physicalDisks = DDFPhysicalDisk.all(fields, physicalCapacity)
        }
        if let fields = checked(try section(header.virtual), 0xdddd_dddd, "the virtual disk records") {
            virtualCount = Int(fields.integer(8, as: UInt16.self))
            virtualDisks = DDFVirtualDisk.all(fields, Int(fields.integer(10, as: UInt16.self)))
        }
        if let fields = checked(try section(header.data), 0x3333_3333, "the disk data") {
            reference = fields.integer(32)
        }
        if let fields = try section(header.configuration) { readConfigurations(fields, header) }
    }

    /// Returns a section that begins with `magic`, and keeps what is wrong with it.
    private mutating func checked(_ fields: Fields?, _ magic: UInt32, _ name: String) -> Fields? {
        guard let fields, fields.integer(0) == magic else {
            damage.append("\(name) are missing")
            return nil
        }
        if !fields.hasDDFChecksum { damage.append("the checksum of \(name) is wrong") }
        return fields
    }

    private mutating func readConfigurations(_ fields: Fields, _ header: DDFHeader) {
        let length = Int(header.recordSectors) * 512
        guard length >= 512 else { return damage.append("the configuration records are missing") }
        for place in stride(from: 0, through: fields.bytes.count - length, by: length) {
            var record = Fields(fields.bytes[place..<place + length])
            record.isBigEndian = true
            let magic: UInt32 = record.integer(0)
            // Others are unused, or of a maker's own.
            guard magic == 0xeeee_eeee || magic == 0x5555_5555 else { continue }
            guard record.hasDDFChecksum else {
                damage.append("the checksum of a configuration record is wrong")
                continue
            }
            if magic == 0x5555_5555 {
                spareCount += 1
            } else if let configuration = DDFConfiguration(record, Int(header.recordMembers)) {
                configurations.append(configuration)
            } else {
                damage.append("a configuration record contradicts itself")
            }
        }
    }

    /// Returns `count` sectors from `sector`; nil when they do not lie on the disk, or are too many.
    private static func section(_ disk: any BlockSource, at sector: UInt64, _ count: Int) throws(BlockError) -> Fields?
    {
        let end = UInt64(disk.lengthInBytes / 512)
        guard (1...maximumSection).contains(count), sector < end, UInt64(count) <= end - sector else { return nil }
        var fields = Fields(try disk.bytes(at: Int64(sector) * 512, count: count * 512))
        fields.isBigEndian = true
        return fields
    }
}

extension Fields {
    /// Whether the checksum at byte 4 is right.
    var hasDDFChecksum: Bool { bytes.count >= 8 && ddfChecksum == integer(4) }

    /// The checksum, counted with its own bytes as ones.
    var ddfChecksum: UInt32 {
        let summed = part(0, 4) + [0xff, 0xff, 0xff, 0xff] + part(8, bytes.count)
        // Begun with zeros and not inverted, unlike zlib's, which inverts at both ends.
        return ~UInt32(truncatingIfNeeded: crc32(uLong(UInt32.max), Array(summed), uInt(summed.count)))
    }
}
