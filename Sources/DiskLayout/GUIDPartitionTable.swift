// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Both copies of a GPT, each read and checked by itself.
///
/// ```
/// sector 0        protective MBR
/// sector 1        primary header: where the entries are, and CRC-32 of both
/// sector 2 ...    primary entries, usually 128 of 128 bytes
///                 partitions
/// ... last - 1    backup entries
/// last sector     backup header
/// ```
/// UEFI 2.10, section 5.3.
struct GUIDPartitionTable {
    static let signature = Array("EFI PART".utf8)

    var primary: TableCopy
    var backup: TableCopy
    /// The copy that is used: the primary when it is good, else the backup.
    var used: Contents?
    var partitions: [Partition] = []
    var findings: Findings = .init()

    /// One copy's header and entries.
    struct Contents {
        var header: Header
        var entries: Fields
    }

    init(_ disk: SectorReader) {
        let last = disk.count > 0 ? disk.count - 1 : 0
        let first = Self.readCopy(disk, at: 1)
        var second = last > 1 ? Self.readCopy(disk, at: last) : (.missing, nil)
        if case .missing = second.0, let alternate = first.1?.header.alternate, alternate != last {
            if alternate > 1, alternate < last {
                second = Self.readCopy(disk, at: alternate)
                findings.note("the backup GPT belongs in sector \(alternate), not in the last one: the disk has grown")
            } else {
                findings.doubt("the backup GPT belongs in sector \(alternate), but the disk ends at \(last)")
            }
        }
        (primary, backup) = (first.0, second.0)
        used = first.1 ?? second.1
        if primary != .good, used != nil || primary != .missing { findings.note("the primary GPT is \(primary)") }
        if backup != .good, used != nil || backup != .missing { findings.note("the backup GPT is \(backup)") }
        if let one = first.1, let other = second.1, !one.header.describesSameTable(as: other.header) {
            findings.doubt("the primary and the backup GPT disagree; the primary is used")
        }
        if let used { readPartitions(used, disk) }
    }

    private static func readCopy(_ disk: SectorReader, at sector: UInt64) -> (TableCopy, Contents?) {
        do throws(BlockError) {
            guard let fields = try disk.read(sector), Array(fields.part(0, 8)) == signature else {
                return (.missing, nil)
            }
            let header = Header(fields)
            if let reason = header.problem(fields, disk, at: sector) { return (.damaged(reason), nil) }
            guard let entries = try disk.read(header.entries, length: header.entryBytes) else {
                return (.damaged("its entries do not lie within the disk"), nil)
            }
            guard checksum32(entries.bytes) == header.entriesChecksum else {
                return (.damaged("the checksum of its entries is wrong"), nil)
            }
            return (.good, Contents(header: header, entries: entries))
        } catch {
            return (.damaged(error.description), nil)
        }
    }

    private mutating func readPartitions(_ contents: Contents, _ disk: SectorReader) {
        let header = contents.header
        for index in 0..<header.entryCount {
            let entry = Fields(contents.entries.part(index * header.entrySize, header.entrySize))
            let type = GUID(bytes: entry.part(0, 16))
            guard !type.isZero else { continue }
            let (first, last): (UInt64, UInt64) = (entry.integer(32), entry.integer(40))
            let units = stride(from: 56, to: 128, by: 2).map { entry.integer($0, as: UInt16.self) }
            guard last >= first, last - first < .max,
                let partition = Partition(
                    number: index + 1, first: first, count: last - first + 1, sectorSize: disk.sectorSize,
                    type: .guid(type), identifier: GUID(bytes: entry.part(16, 16)).description,
                    name: String(decoding: units.prefix { $0 != 0 }, as: UTF16.self), flags: entry.integer(48))
            else {
                findings.doubt("partition \(index + 1) is impossible: sectors \(first) to \(last)")
                continue
            }
            if first < header.firstUsable || last > header.lastUsable {
                findings.doubt(
                    "partition \(index + 1) lies outside the usable sectors \(header.firstUsable) to "
                        + "\(header.lastUsable)")
            }
            partitions.append(partition)
        }
    }
}

extension GUIDPartitionTable {
    /// A header's fields: 92 bytes, all little-endian.
    struct Header {
        /// Most bytes that the entries may take: 16384 of the usual ones, of which 128 are in use everywhere.
        static let maximumEntryBytes = 2 << 20

        var size: Int
        var checksum: UInt32
        var own: UInt64
        var alternate: UInt64
        var firstUsable: UInt64
        var lastUsable: UInt64
        var disk: GUID
        var entries: UInt64
        var entryCount: Int
        var entrySize: Int
        var entriesChecksum: UInt32

        var entryBytes: Int { entryCount * entrySize }

        init(_ fields: Fields) {
            size = Int(fields.integer(12, as: UInt32.self))
            checksum = fields.integer(16)
            own = fields.integer(24)
            alternate = fields.integer(32)
            firstUsable = fields.integer(40)
            lastUsable = fields.integer(48)
            disk = GUID(bytes: fields.part(56, 16))
            entries = fields.integer(72)
            entryCount = Int(fields.integer(80, as: UInt32.self))
            entrySize = Int(fields.integer(84, as: UInt32.self))
            entriesChecksum = fields.integer(88)
        }

        /// Returns why the header cannot be used, nil when it can.
        func problem(_ fields: Fields, _ disk: SectorReader, at sector: UInt64) -> String? {
            guard (92...disk.sectorSize).contains(size) else { return "a header of \(size) bytes is not possible" }
            var summed = Array(fields.part(0, size))
            summed.replaceSubrange(16..<20, with: [0, 0, 0, 0])
            guard checksum32(summed) == checksum else { return "the checksum of its header is wrong" }
            guard own == sector else { return "its header belongs in sector \(own), not in \(sector)" }
            // UEFI: 128 times a power of two.
            guard (128...4096).contains(entrySize), entrySize & (entrySize - 1) == 0 else {
                return "entries of \(entrySize) bytes are not possible"
            }
            guard entryCount > 0, entryCount <= Self.maximumEntryBytes / entrySize else {
                return "\(entryCount) entries are not possible"
            }
            guard firstUsable <= lastUsable else {
                return "usable sectors \(firstUsable) to \(lastUsable) are not possible"
            }
            return nil
        }

        /// Whether both describe one table: all but what differs by the copy's place.
        func describesSameTable(as other: Header) -> Bool {
            disk == other.disk && firstUsable == other.firstUsable && lastUsable == other.lastUsable
                && entryCount == other.entryCount && entrySize == other.entrySize
                && entriesChecksum == other.entriesChecksum && alternate == other.own && other.alternate == own
        }
    }
}
