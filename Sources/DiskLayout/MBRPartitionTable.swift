// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// An MBR with its logical partitions.
///
/// ```
/// byte 440  disk identifier, 4 bytes
/// byte 446  4 entries of 16 bytes: boot indicator, CHS, type, CHS, first sector, sectors
/// byte 510  55 aa
/// ```
/// Each extended boot record has the same shape: one logical partition, counted from the record itself, and the next
/// record, counted from the extended partition. All integers are little-endian, in logical sectors.
struct MBRPartitionTable {
    /// Most extended boot records that are followed.
    static let maximumLogical = 256
    static let protectiveType: UInt8 = 0xee

    struct Entry {
        var boot: UInt8
        var type: UInt8
        var first: UInt64
        var count: UInt64

        var isUsed: Bool { type != 0 && count > 0 }
        var isExtended: Bool { PartitionType.mbr(type).isExtended }

        /// Reads entry `index`, from 0, of the sector.
        init(_ sector: Fields, _ index: Int) {
            let offset = 446 + index * 16
            boot = sector.integer(offset)
            type = sector.integer(offset + 4)
            first = UInt64(sector.integer(offset + 8, as: UInt32.self))
            count = UInt64(sector.integer(offset + 12, as: UInt32.self))
        }
    }

    let entries: [Entry]
    let identifier: UInt32
    private(set) var partitions: [Partition] = []
    private(set) var findings = Findings()

    var hasProtectiveEntry: Bool { entries.contains { $0.type == Self.protectiveType } }
    var isHybrid: Bool { hasProtectiveEntry && entries.contains { $0.isUsed && $0.type != Self.protectiveType } }

    /// Takes the table from sector 0; nil when it holds none.
    init?(_ sector: Fields) {
        guard Array(sector.part(510, 2)) == [0x55, 0xaa] else { return nil }
        entries = (0..<4).map { Entry(sector, $0) }
        identifier = sector.integer(440)
        // Where a boot sector has its code, an MBR has four indicators of 0 or 80.
        guard entries.allSatisfy({ $0.boot & 0x7f == 0 }) else { return nil }
        let used = entries.filter(\.isUsed)
        if Self.isBootSector(sector), used.isEmpty || used.contains(where: { $0.first == 0 }) { return nil }
    }

    /// Tells whether the sector begins a FAT, exFAT or NTFS filesystem, which end in 55 aa as an MBR does.
    static func isBootSector(_ sector: Fields) -> Bool {
        guard sector.integer(0, as: UInt8.self) == 0xeb || sector.integer(0, as: UInt8.self) == 0xe9 else {
            return false
        }
        return sector.text(3, 8) == "NTFS    " || sector.text(3, 8) == "EXFAT   " || sector.text(54, 3) == "FAT"
            || sector.text(82, 3) == "FAT"
    }

    /// Reads the partitions, following the extended one.
    mutating func readPartitions(_ disk: SectorReader) {
        var hasExtended = false
        for (index, entry) in entries.enumerated() where entry.type != Self.protectiveType {
            if entry.type == 0, entry.count > 0 {
                findings.doubt("partition \(index + 1) has \(entry.count) sectors but no type")
            }
            guard entry.isUsed else { continue }
            add(entry, index + 1, from: 0, disk)
            guard entry.isExtended else { continue }
            if hasExtended {
                findings.doubt("partition \(index + 1) is a second extended partition, which is not followed")
            } else {
                hasExtended = true
                readLogical(entry, disk)
            }
        }
        partitions.sort { $0.number < $1.number }
    }

    private mutating func add(
        _ entry: Entry, _ number: Int, from base: UInt64, _ disk: SectorReader, isLogical: Bool = false
    ) {
        let suffix = hex(number, width: 2)
        guard
            let partition = Partition(
                number: number, first: base + entry.first, count: entry.count, sectorSize: disk.sectorSize,
                type: .mbr(entry.type), identifier: "\(hex(identifier, width: 8))-\(suffix)",
                flags: UInt64(entry.boot), isLogical: isLogical)
        else { return }
        partitions.append(partition)
    }

    private mutating func readLogical(_ extended: Entry, _ disk: SectorReader) {
        var sector = extended.first
        var seen: Set<UInt64> = []
        var number = 5
        while true {
            guard seen.insert(sector).inserted else {
                return findings.doubt("the chain of logical partitions leads back to sector \(sector)")
            }
            guard seen.count <= Self.maximumLogical else {
                return findings.doubt("there are more than \(Self.maximumLogical) logical partitions")
            }
            guard sector >= extended.first, sector - extended.first < extended.count else {
                return findings.doubt("an extended boot record in sector \(sector) lies outside its partition")
            }
            let record: Fields?
            do throws(BlockError) {
                record = try disk.read(sector)
            } catch {
                return findings.doubt("an extended boot record is unreadable: \(error)")
            }
            guard let record, Array(record.part(510, 2)) == [0x55, 0xaa] else {
                return findings.doubt("sector \(sector) should be an extended boot record, and is none")
            }
            let entries = (0..<4).map { Entry(record, $0) }.filter(\.isUsed)
            for entry in entries where !entry.isExtended {
                if entry.first + entry.count + sector > extended.first + extended.count {
                    findings.doubt("partition \(number) reaches beyond the extended partition")
                }
                add(entry, number, from: sector, disk, isLogical: true)
                number += 1
            }
            guard let next = entries.first(where: \.isExtended) else { return }
            sector = extended.first + next.first
        }
    }
}
