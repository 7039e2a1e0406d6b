// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Holds every table of an image against every other: what `qemu-img check` does, by code that shares nothing with it.
///
/// References are counted in windows of host clusters, two bytes each, so that memory is bounded whatever the file's
/// size. Each L2 table is walked once a window, however many L1 entries point to it, so that time is bounded as well.
struct Qcow2StructureCheck {
    /// Host clusters counted at a time: 64 MiB of counts.
    private static let window: Int64 = 32 << 20
    /// Most host clusters of a file that is checked: 256 TiB in 64 KiB clusters.
    private static let maximumClusters: Int64 = 4 << 30

    private let reader: Qcow2Reader
    private let refcounts: Qcow2Refcounts
    private let hostClusters: Int64
    private var isStopped = false

    init(_ reader: Qcow2Reader) throws(BlockError) {
        self.reader = reader
        let size = Int64(reader.header.layout.clusterSize)
        hostClusters = (reader.file.lengthInBytes - 1) / size + 1
        refcounts = try Qcow2Refcounts(reader.file, reader.header)
    }

    private var header: Qcow2Header { reader.header }
    private var clusterSize: Int64 { Int64(header.layout.clusterSize) }

    /// Reports every contradiction until `report` returns false.
    mutating func run(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        guard hostClusters <= Self.maximumClusters else {
            tell(report, 0, "a file of \(reader.file.lengthInBytes) bytes is implausible")
            return
        }
        if header.isDirty { tell(report, 72, "its refcounts are marked as out of date") }
        try checkL1Padding(report)
        for problem in refcounts.tableProblems where !isStopped { tell(report, problem.fileOffset, problem.reason) }
        let l2Tables = checkL1(report)
        var start: Int64 = 0
        while start < hostClusters, !isStopped {
            var counts = ReferenceCounts(start..<min(start + Self.window, hostClusters))
            countStructures(&counts)
            for (index, table) in l2Tables.enumerated() where !isStopped {
                counts.add(table.offset / clusterSize, .cluster(copied: table.isCopied))
                // In the order of their offsets, so that a table that is named twice stands twice in a row.
                if index > 0, l2Tables[index - 1].offset == table.offset {
                    if start == 0 { tell(report, table.place, "an L1 entry names an L2 table that another one has") }
                    continue
                }
                try countReferences(ofTableAt: table.offset, &counts, isFirst: start == 0, report)
            }
            try compare(counts, report)
            start = counts.range.upperBound
        }
        try checkBehindEnd(report)
    }

    private mutating func tell(_ report: (StructureProblem) -> Bool, _ fileOffset: Int64, _ reason: String) {
        if !isStopped, !report(StructureProblem(fileOffset: fileOffset, reason: reason)) { isStopped = true }
    }

    // MARK: What refers to what

    /// An L2 table, and the L1 entry that names it.
    private struct L2Place {
        var offset: Int64
        var place: Int64
        var isCopied: Bool
    }

    /// Checks the L1 table's entries and returns the L2 tables that can be, in the order of the file.
    private mutating func checkL1(_ report: (StructureProblem) -> Bool) -> [L2Place] {
        var tables: [L2Place] = []
        for (index, entry) in reader.tables.l1.enumerated() where entry != 0 && !isStopped {
            let place = header.l1Offset + Int64(index) * 8
            let offset = Int64(entry & Qcow2Layout.offsetMask)
            if entry & ~(Qcow2Layout.offsetMask | Qcow2Layout.copied) != 0 {
                tell(report, place, "L1 entry \(index) has reserved bits set")
            }
            if reader.tables.isPossible(offset) {
                tables.append(L2Place(offset: offset, place: place, isCopied: entry & Qcow2Layout.copied != 0))
            } else if offset != 0 || entry & Qcow2Layout.copied != 0 {
                tell(report, place, "L1 entry \(index) points to \(offset), where no L2 table can be")
            }
        }
        tables.sort { ($0.offset, $0.place) < ($1.offset, $1.place) }
        return tables
    }

    private func countStructures(_ counts: inout ReferenceCounts) {
        counts.add(0, .structure)
        counts.add(bytes: header.l1Offset, Int64(header.l1Entries) * 8, clusterSize, .structure)
        let tableLength = Int64(header.refcountTableClusters) * clusterSize
        counts.add(bytes: header.refcountTableOffset, tableLength, clusterSize, .structure)
        for block in refcounts.table where block != 0 { counts.add(Int64(block) / clusterSize, .structure) }
    }

    private mutating func countReferences(
        ofTableAt tableOffset: Int64, _ counts: inout ReferenceCounts, isFirst: Bool,
        _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        // The hole of a sparse file holds no entries: not worth reading.
        let extent = try reader.file.extent(at: tableOffset)
        if extent.kind == .hole, extent.end >= tableOffset + clusterSize { return }
        let table = try reader.tables.load(tableOffset)
        for (index, entry) in table.entries.enumerated() {
            let bitmap = header.hasExtendedL2 ? table.bitmaps[index] : 0
            guard entry != 0 || bitmap != 0 else { continue }
            if isStopped { return }
            let place = tableOffset + Int64(index * header.l2EntrySize)
            if entry & Qcow2Layout.compressed != 0 {
                countCompressed(entry, bitmap, place, &counts, isFirst: isFirst, report)
                continue
            }
            let offset = Int64(entry & Qcow2Layout.offsetMask)
            if isFirst { checkBits(entry, bitmap, place, report) }
            guard offset != 0 else { continue }
            guard offset % clusterSize == 0, offset >= clusterSize, offset < reader.file.lengthInBytes else {
                if isFirst { tell(report, place, "an L2 entry points to \(offset), where no cluster can be") }
                continue
            }
            counts.add(offset / clusterSize, .cluster(copied: entry & Qcow2Layout.copied != 0))
        }
    }

    private mutating func checkBits(
        _ entry: UInt64, _ bitmap: UInt64, _ place: Int64, _ report: (StructureProblem) -> Bool
    ) {
        if entry & ~header.standardEntryMask != 0 { tell(report, place, "an L2 entry has reserved bits set") }
        if bitmap & bitmap >> 32 & 0xffff_ffff != 0 {
            tell(report, place, "an L2 entry has subclusters that are both allocated and zero")
        }
        if entry & Qcow2Layout.offsetMask == 0, entry & Qcow2Layout.copied != 0 || bitmap & 0xffff_ffff != 0 {
            tell(report, place, "an L2 entry has flags for a cluster that it does not have")
        }
    }

    private mutating func countCompressed(
        _ entry: UInt64, _ bitmap: UInt64, _ place: Int64, _ counts: inout ReferenceCounts, isFirst: Bool,
        _ report: (StructureProblem) -> Bool
    ) {
        let (offset, length) = header.layout.compressedRange(entry)
        guard offset >= clusterSize, offset < reader.file.lengthInBytes else {
            if isFirst { tell(report, place, "a compressed cluster at \(offset) is not within the file") }
            return
        }
        if isFirst, entry & Qcow2Layout.copied != 0 { tell(report, place, "a compressed cluster is marked as copied") }
        if isFirst, bitmap != 0 { tell(report, place, "a compressed cluster has subclusters") }
        // Whole sectors, of which the last one may be cut off by the file's end.
        let end = min(offset + Int64(length), hostClusters * clusterSize)
        counts.add(bytes: offset, end - offset, clusterSize, .compressed)
    }

    // MARK: Refcounts

    private mutating func compare(
        _ counts: ReferenceCounts, _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        var problems: [StructureProblem] = []
        var isStopped = isStopped
        try refcounts.forEach(in: counts.range) { cluster, stored in
            let counted = counts.count(cluster)
            if counted == 0 && stored == 0 { return true }
            let place = cluster * clusterSize
            if counts.isOverlapped(cluster) {
                problems.append(.init(fileOffset: place, reason: "cluster overlap: \(counted) uses of what has one"))
            }
            // Outdated refcounts are reported once, as such; snapshots and bitmaps have references of their own.
            if !header.isDirty {
                if stored < counted || (stored > counted && !header.hasForeignReferences) {
                    let kind = stored > counted ? "leaked" : "in danger"
                    let reason = "cluster \(kind): refcount \(stored), but \(counted) reference(s)"
                    problems.append(.init(fileOffset: place, reason: reason))
                }
                if !counts.copiedFlagsAgree(cluster, stored: stored) {
                    let reason = "an entry says by its copied flag what the refcount \(stored) of its cluster denies"
                    problems.append(.init(fileOffset: place, reason: reason))
                }
            }
            for problem in problems where !isStopped { isStopped = !report(problem) }
            problems.removeAll(keepingCapacity: true)
            return !isStopped
        }
        self.isStopped = isStopped
    }

    /// Refcounts of clusters that the file does not have.
    private mutating func checkBehindEnd(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        for (index, block) in refcounts.table.enumerated() where block != 0 && !isStopped {
            guard (Int64(index) + 1) * refcounts.entriesPerBlock > hostClusters else { continue }
            if let cluster = try refcounts.firstReferenced(from: hostClusters, inBlock: index) {
                tell(report, Int64(block), "it counts references to cluster \(cluster), behind the file's end")
            }
        }
    }

    /// The rest of the L1 table's last cluster, where a flipped bit would wait for the table to grow.
    private mutating func checkL1Padding(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        let end = header.l1Offset + Int64(header.l1Entries) * 8
        let padded = min((end + clusterSize - 1) / clusterSize * clusterSize, reader.file.lengthInBytes)
        guard padded > end else { return }
        if try !reader.file.bytes(at: end, count: Int(padded - end)).withUnsafeBytes({ $0.isAllZero }) {
            tell(report, end, "the unused end of the L1 table is not zero")
        }
    }
}
