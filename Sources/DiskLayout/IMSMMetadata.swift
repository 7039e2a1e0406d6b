// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What Intel's firmware RAID (IMSM: Matrix Storage, RST, VROC) writes at the end of each member.
///
/// ```
/// last but one sector  the start: signature, checksum, length, family, then disks and volumes
/// before it            what does not fit in a sector, in one piece
///
/// byte 0    "Intel Raid ISM Cfg Sig. " and a version   byte 56   disks, 8 bits
/// byte 32   checksum                                   byte 57   volumes, 8 bits
/// byte 36   length                                     byte 64   original family
/// byte 40   family                                     byte 72   length of the bad block log
/// byte 44   generation                                 byte 80   time of creation, 64 bits
/// byte 52   attributes                                 byte 216  disks of 48 bytes, volumes, bad block log
/// ```
/// As mdadm's super-intel.c has it, and `mdadm --examine` shows it. All integers are little-endian, and places are in
/// sectors of the disk. Every member has the same metadata: which of the disks it is, its serial number tells.
public struct IMSMMetadata: Sendable, Hashable {
    static let signature = Array("Intel Raid ISM Cfg Sig. ".utf8)
    /// Most bytes that are read.
    private static let maximumLength = 64 << 10
    /// Attributes that say nothing unknown of the layout: RAID 0, 1, 10 and 5, large strips, large disks and volumes,
    /// the bad block log, a checksum; and one that was never used.
    private static let knownAttributes: UInt32 = 0xec00_0057

    /// Version: `1.3.00`.
    public var version: String
    /// The checksum as it stands there.
    public var checksum: UInt32
    /// Whether it is that of the content.
    public var isChecksumCorrect: Bool
    /// Whether all disks and volumes lie within the length.
    public var isComplete = true
    /// Length in bytes.
    public var lengthInBytes: Int
    /// Bytes of a sector, in which places were counted; here they are in bytes.
    public var sectorSize: Int
    /// The family in which the set was made; 0 in a spare.
    public var originalFamily: UInt32
    /// The family as it is now: another one each time that the disks change.
    public var family: UInt32
    /// Counts changes.
    public var generation: UInt32
    /// What the metadata make use of.
    public var attributes: UInt32
    /// Seconds since 1970 when the set was made; 0 where it is not known.
    public var creationTime: UInt64
    /// The disks, failed ones among them.
    public var disks: [IMSMDisk] = []
    /// The volumes.
    public var volumes: [IMSMVolume] = []
    /// Places whose content is lost.
    public var badBlocks: [IMSMBadBlocks] = []

    /// Whether some attribute is unknown here.
    public var hasUnknownAttributes: Bool { attributes & ~Self.knownAttributes != 0 }

    /// What tells sets apart: old versions left the original family out.
    public var identity: UInt32 { originalFamily != 0 ? originalFamily : family }

    /// The set's UUID as mdadm(8) has it; nil for a spare, which belongs to none.
    public var uuid: MDUUID? {
        let isSpare = volumes.isEmpty && disks.allSatisfy { $0.status.contains(.spare) }
        return isSpare ? nil : MDUUID(hashing: Self.signature + Self.littleEndian(identity))
    }

    /// Reads the metadata of a disk; nil when there are none.
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
        return IMSMMetadata(Fields(bytes.prefix(length)), sectorSize: Int(sector))
    }

    private init(_ fields: Fields, sectorSize: Int) {
        self.sectorSize = sectorSize
        lengthInBytes = fields.bytes.count
        version = fields.text(24, 8)
        checksum = fields.integer(32)
        isChecksumCorrect = Self.sum(fields) == checksum
        family = fields.integer(40)
        generation = fields.integer(44)
        attributes = fields.integer(52)
        originalFamily = fields.integer(64)
        creationTime = fields.integer(80)
        let logLength = Int(clamping: fields.integer(72, as: UInt32.self))
        // What lies behind the volumes is the log's.
        let end = max(fields.bytes.count - logLength, 0)
        var place = 216
        for _ in 0..<fields.integer(56, as: UInt8.self) where isComplete {
            isComplete = place + 48 <= end
            if isComplete { disks.append(IMSMDisk(fields, at: place, sectorSize)) }
            place += 48
        }
        for number in 0..<UInt32(fields.integer(57, as: UInt8.self)) where isComplete {
            var volume = IMSMVolume(fields, at: place, end, sectorSize)
            isComplete = volume != nil
            let identity = Self.signature + Self.littleEndian(identity) + Self.littleEndian(number)
            volume?.uuid = MDUUID(hashing: identity + fields.part(place, 16))
            if let volume { volumes.append(volume) }
            place += volume?.lengthInMetadata ?? 0
        }
        readBadBlocks(fields, logLength)
    }

    /// The sum of all whole words but the checksum itself.
    private static func sum(_ fields: Fields) -> UInt32 {
        var sum: UInt32 = 0
        for word in 0..<fields.bytes.count / 4 where word != 8 { sum &+= fields.integer(word * 4, as: UInt32.self) }
        return sum
    }

    private static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32($0 * 8)) }
    }

    /// Reads the log: a signature, a count, then entries of 8 bytes.
    private mutating func readBadBlocks(_ fields: Fields, _ length: Int) {
        guard length > 0 else { return }
        let start = fields.bytes.count - length
        let count: UInt32 = fields.integer(start + 4)
        guard start >= 216, length >= 8, fields.integer(start) == 0xabad_b10c as UInt32, count <= 254,
            Int(count) * 8 + 8 == length
        else { return isComplete = false }
        for entry in 0..<Int(count) {
            let place = start + 8 + entry * 8
            let low: UInt16 = fields.integer(place + 2)
            let high: UInt32 = fields.integer(place + 4)
            badBlocks.append(
                IMSMBadBlocks(
                    disk: Int(fields.integer(place + 1, as: UInt8.self)),
                    firstByte: (Int64(high) << 16 | Int64(low)) * Int64(sectorSize),
                    lengthInBytes: (Int64(fields.integer(place, as: UInt8.self)) + 1) * Int64(sectorSize)))
        }
    }
}

/// A disk in IMSM metadata.
public struct IMSMDisk: Sendable, Hashable {
    /// Serial number: at most the last 16 characters of the disk's, without spaces, `;` for each `:`.
    ///
    /// A disk that is gone has `:` and a number behind it.
    public var serial: String
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// What became of it.
    public var status: IMSMDiskStatus
    /// Where it was attached.
    public var address: UInt32

    fileprivate init(_ fields: Fields, at place: Int, _ sectorSize: Int) {
        serial = fields.text(place, 16)
        lengthInBytes = fields.sectors(place + 16, place + 32, of: sectorSize)
        address = fields.integer(place + 20)
        status = IMSMDiskStatus(rawValue: fields.integer(place + 24))
    }

    /// Returns a disk's `serial` as the metadata have it.
    public static func serial(_ serial: String) -> String {
        let kept = serial.utf8.filter { $0 > 0x20 && $0 < 0x7f }.map { $0 == 0x3a ? 0x3b : $0 }
        return String(decoding: kept.suffix(16), as: UTF8.self)
    }
}

/// What became of a disk in IMSM metadata.
public struct IMSMDiskStatus: OptionSet, Sendable, Hashable {
    /// The bits as they stand on the disk.
    public let rawValue: UInt32
    /// Makes a set of the bits as they stand on the disk.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It waits.
    public static let spare = IMSMDiskStatus(rawValue: 1)
    /// It is a member of a volume.
    public static let configured = IMSMDiskStatus(rawValue: 2)
    /// It failed.
    public static let failed = IMSMDiskStatus(rawValue: 4)
    /// It holds the write journal.
    public static let journal = IMSMDiskStatus(rawValue: 0x200_0000)

    /// The words that mdadm(8) prints: `active failed`.
    public var words: String {
        let names: [(IMSMDiskStatus, String)] = [
            (.spare, "spare"), (.configured, "active"), (.failed, "failed"), (.journal, "journal"),
        ]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: " ")
    }
}

/// A place of a disk whose content is lost, by the log of IMSM metadata.
public struct IMSMBadBlocks: Sendable, Hashable {
    /// Number of the disk in the metadata.
    public var disk: Int
    /// First byte on the disk.
    public var firstByte: Int64
    /// Length in bytes.
    public var lengthInBytes: Int64
}

extension Fields {
    /// Returns in bytes a count of sectors whose lower and upper 32 bits stand at two places, at most 63 bits of them.
    func sectors(_ low: Int, _ high: Int, of sectorSize: Int) -> Int64 {
        let sectors = UInt64(integer(low, as: UInt32.self)) | UInt64(integer(high, as: UInt32.self)) << 32
        let (bytes, overflow) = sectors.multipliedReportingOverflow(by: UInt64(sectorSize))
        return overflow ? .max : Int64(clamping: bytes)
    }
}

extension IMSMMetadata {
    /// Returns the bytes of a disk that volumes may take, as mdadm(8) counts them on the disk `own`.
    ///
    /// What is kept for the metadata is 5201 KiB, less where the volumes of `own` leave less; 1105 KiB on a spare.
    public func usableLength(of disk: IMSMDisk, on own: Int?) -> Int64 {
        guard let own, disks.indices.contains(own), !disks[own].status.contains(.spare) else {
            return disk.lengthInBytes - 2210 * 512
        }
        let last = volumes.map(\.map).filter { map in map.slots.contains { $0.disk == own } }.max {
            $0.firstByte < $1.firstByte
        }
        var kept: Int64 = (2210 + 8192) * 512
        if let last {
            // Two copies take twice what is counted as stripes.
            let copies: Int64 = last.level == 1 || last.level == 10 ? 2 : 1
            let used = Int64(clamping: last.stripeCount).multipliedReportingOverflow(by: last.chunkSizeInBytes * copies)
            let (end, overflow) = last.firstByte.addingReportingOverflow(used.partialValue)
            guard !used.overflow, !overflow else { return 0 }
            let rest = (disks[own].lengthInBytes - end) / 1024 * 1024
            kept = min(kept, max(rest, Int64(sectorCount) * Int64(sectorSize)))
        }
        return disk.lengthInBytes - kept
    }

    /// Sectors that the metadata take.
    public var sectorCount: Int { (lengthInBytes + sectorSize - 1) / sectorSize }
}
