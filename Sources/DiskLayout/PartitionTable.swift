// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// The state of one of a GPT's two copies.
public enum TableCopy: Sendable, Hashable, CustomStringConvertible {
    /// Header and entries are what their checksums say.
    case good
    /// There is a header, but it or its entries cannot be used, as the text says.
    case damaged(String)
    /// There is no header.
    case missing

    /// The state in words.
    public var description: String {
        switch self {
        case .good: return "good"
        case .damaged(let reason): return "damaged: \(reason)"
        case .missing: return "missing"
        }
    }
}

/// The partitions of a disk, and what is wrong with the table that lists them.
public struct PartitionTable: Sendable, Hashable {
    /// Kinds of partition table.
    public enum Kind: String, Sendable, Hashable {
        /// A GUID partition table behind a protective MBR.
        case gpt
        /// An MBR, with or without logical partitions.
        case mbr
        /// A GPT whose MBR lists partitions as well.
        case hybrid
        /// None that is known.
        case none
    }

    /// What kind it is.
    public var kind: Kind = .none
    /// The disk GUID of GPT, `0x` and eight digits for an MBR, nil without a table.
    public var identifier: String?
    /// Bytes a sector, the unit that the table itself counts in.
    public var logicalSectorSize: Int
    /// The partitions in the order of their numbers, an extended one among them; those of the GPT in a hybrid.
    public var partitions: [Partition] = []
    /// What a hybrid's MBR lists besides its protective entry.
    public var hybridPartitions: [Partition] = []
    /// State of the GPT in the first sectors; nil where there is no GPT.
    public var primaryCopy: TableCopy?
    /// State of the GPT in the last sectors; nil where there is no GPT.
    public var backupCopy: TableCopy?
    /// What is worth telling, in sentences.
    public var findings: [String] = []
    /// Whether the table may be relied on for what lies between partitions.
    ///
    /// False after any contradiction: then a partition may be missing from the list, and nothing may be skipped as
    /// unpartitioned. One damaged copy of a GPT alone is no contradiction.
    public var isTrustworthy = true

    /// Reads the table of `source`, whose own sector size counts.
    ///
    /// - Throws: `BlockError` when the first sector is unreadable and no GPT can be found without it.
    public init(reading source: some BlockSource) throws(BlockError) {
        let disk = SectorReader(source)
        logicalSectorSize = disk.sectorSize
        var first: Fields?
        var failure: BlockError?
        do throws(BlockError) {
            first = try disk.read(0)
        } catch {
            failure = error
        }
        let table = first.flatMap { MBRPartitionTable($0) }
        let gpt = GUIDPartitionTable(disk)
        var findings = Findings()
        if let failure {
            guard gpt.used != nil else { throw failure }
            findings.doubt("the first sector is unreadable: \(failure)")
        }
        if let table, table.hasProtectiveEntry {
            take(gpt, &findings)
            if gpt.used == nil {
                findings.doubt("the MBR announces a GPT, and neither copy can be used")
                findings.add(Self.otherSectorSize(source, disk))
            }
            if table.isHybrid { takeHybrid(table, disk, &findings) }
        } else if let table, table.entries.contains(where: \.isUsed) || gpt.primary == .missing {
            take(table, disk, &findings)
            if gpt.used != nil { findings.doubt("there is a GPT as well, which the MBR does not announce") }
        } else if gpt.primary != .missing || (failure != nil && gpt.used != nil) {
            take(gpt, &findings)
            findings.doubt("there is no protective MBR")
        } else if gpt.backup != .missing {
            findings.doubt("there is no partition table but the backup of a GPT")
        }
        check(disk, &findings)
        self.findings = findings.texts
        isTrustworthy = !findings.areDoubtful
    }

    private mutating func take(_ gpt: GUIDPartitionTable, _ findings: inout Findings) {
        kind = .gpt
        identifier = gpt.used?.header.disk.description
        partitions = gpt.partitions
        (primaryCopy, backupCopy) = (gpt.primary, gpt.backup)
        findings.add(gpt.findings)
    }

    private mutating func take(_ table: MBRPartitionTable, _ disk: SectorReader, _ findings: inout Findings) {
        var table = table
        table.readPartitions(disk)
        kind = .mbr
        identifier = "0x\(hex(table.identifier, width: 8))"
        partitions = table.partitions
        findings.add(table.findings)
    }

    private mutating func takeHybrid(_ table: MBRPartitionTable, _ disk: SectorReader, _ findings: inout Findings) {
        var table = table
        table.readPartitions(disk)
        kind = .hybrid
        hybridPartitions = table.partitions
        findings.add(table.findings)
        let known = Set(partitions.map { $0.firstByte..<$0.end })
        for partition in hybridPartitions where !known.contains(partition.firstByte..<partition.end) {
            findings.doubt("the MBR's partition \(partition.number) is none of the GPT's")
        }
    }

    /// Reports partitions that reach beyond the disk, hold the table or share bytes.
    private func check(_ disk: SectorReader, _ findings: inout Findings) {
        let length = disk.source.lengthInBytes
        for partition in partitions {
            if partition.end > length {
                findings.doubt("partition \(partition.number) ends at byte \(partition.end), the disk at \(length)")
            }
            if partition.firstByte == 0 { findings.doubt("partition \(partition.number) holds the table itself") }
        }
        // An extended partition holds its logical ones; all others share nothing with any.
        for sorted in [
            partitions.filter { !$0.type.isExtended }, partitions.filter { !$0.isLogical },
        ].map({ $0.sorted { $0.firstByte < $1.firstByte } }) {
            var before: Partition?
            for partition in sorted {
                if let before, partition.firstByte < before.end {
                    // Two primary ones stand in both lists.
                    let text = "partitions \(before.number) and \(partition.number) overlap"
                    if !findings.texts.contains(text) { findings.doubt(text) }
                }
                if partition.end > before?.end ?? 0 { before = partition }
            }
        }
    }

    /// Looks for a GPT where the other common sector size would have it, as behind some USB bridges.
    private static func otherSectorSize(_ source: some BlockSource, _ disk: SectorReader) -> Findings {
        var findings = Findings()
        let other = disk.sectorSize == 512 ? 4096 : 512
        // What cannot be read is no finding: the doubt stands already.
        let found = try? source.bytes(at: Int64(other), count: GUIDPartitionTable.signature.count)
        if found == GUIDPartitionTable.signature {
            findings.doubt("a GPT for sectors of \(other) bytes is on this disk of \(disk.sectorSize)")
        }
        return findings
    }
}
