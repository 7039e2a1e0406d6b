// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Holds every table of an image against every other: what `qemu-img check` does, by code that shares nothing with it.
///
/// References are counted in windows of host clusters, a byte each, so that memory is bounded whatever the file's size.
struct Qcow2StructureCheck {
    /// Host clusters counted at a time.
    private static let window: Int64 = 64 << 20
    /// Most host clusters of a file that is checked: 256 TiB in 64 KiB clusters.
    private static let maximumClusters: Int64 = 4 << 30

    private let reader: Qcow2Reader
    private let refcounts: Qcow2Refcounts
    private let hostClusters: Int64
    private var isStopped = false

    init(_ reader: Qcow2Reader) throws(BlockError) {
        self.reader = reader
        let size = Int64(reader.header.layout.clusterSize)
        hostClusters = (reader.file.lengthInBytes + size - 1) / size
        refcounts = try Qcow2Refcounts(reader.file, reader.header)
    }

    private var header: Qcow2Header { reader.header }
    private var clusterSize: Int64 { Int64(header.layout.clusterSize) }

    /// Reports every contradiction until `report` returns false.
    mutating func run(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        guard hostClusters <= Self.maximumClusters else {
            _ = report(
                StructureProblem(fileOffset: 0, reason: "a file of \(reader.file.lengthInBytes) bytes is implausible"))
            return
        }
        try checkL1Padding(report)
        for problem in refcounts.tableProblems where !isStopped { tell(report, problem.fileOffset, problem.reason) }
        var start: Int64 = 0
        while start < hostClusters, !isStopped {
            let end = min(start + Self.window, hostClusters)
            var counts = ReferenceCounts(start..<end)
            try countReferences(&counts, isFirst: start == 0, report)
            try compare(counts, report)
            start = end
        }
        try checkBehindEnd(report)
    }

    private mutating func tell(_ report: (StructureProblem) -> Bool, _ fileOffset: Int64, _ reason: String) {
        if !isStopped, !report(StructureProblem(fileOffset: fileOffset, reason: reason)) { isStopped = true }
    }

    // MARK: What refers to what

    private mutating func countReferences(
        _ counts: inout ReferenceCounts, isFirst: Bool, _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        counts.add(0)
        counts.add(bytes: header.l1Offset, Int64(header.l1Entries) * 8, clusterSize)
        counts.add(bytes: header.refcountTableOffset, Int64(header.refcountTableClusters) * clusterSize, clusterSize)
        for block in refcounts.table where block != 0 { counts.add(Int64(block) / clusterSize) }
        for (index, entry) in reader.tables.l1.enumerated() where entry != 0 {
            if isStopped { return }
            let place = header.l1Offset + Int64(index) * 8
            let offset = Int64(entry & Qcow2Layout.offsetMask)
            if isFirst, entry & ~(Qcow2Layout.offsetMask | Qcow2Layout.copied) != 0 {
                tell(report, place, "L1 entry \(index) has reserved bits set")
            }
            guard offset % clusterSize == 0, offset >= clusterSize, offset + clusterSize <= reader.file.lengthInBytes
            else {
                if isFirst, offset != 0 || entry & Qcow2Layout.copied != 0 {
                    tell(report, place, "L1 entry \(index) points to \(offset), where no L2 table can be")
                }
                continue
            }
            counts.add(offset / clusterSize)
            if isFirst { try checkCopied(entry, offset, place, "L1 entry \(index)", report) }
            try countReferences(ofTableAt: offset, index, &counts, isFirst: isFirst, report)
        }
    }

    private mutating func countReferences(
        ofTableAt tableOffset: Int64, _ l1Index: Int, _ counts: inout ReferenceCounts, isFirst: Bool,
        _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        let table = try reader.tables.load(tableOffset, named: "L1 entry \(l1Index)")
        for (index, entry) in table.entries.enumerated() {
            let bitmap = header.hasExtendedL2 ? table.bitmaps[index] : 0
            guard entry != 0 || bitmap != 0 else { continue }
            if isStopped { return }
            let place = tableOffset + Int64(index * header.l2EntrySize)
            if entry & Qcow2Layout.compressed != 0 {
                try countCompressed(entry, bitmap, place, &counts, isFirst: isFirst, report)
                continue
            }
            let offset = Int64(entry & Qcow2Layout.offsetMask)
            if isFirst { checkBits(entry, bitmap, place, report) }
            if offset == 0 {
                let mayHaveZeroBits = header.hasExtendedL2 && bitmap & 0xffff_ffff == 0
                if isFirst, entry & Qcow2Layout.copied != 0 || (bitmap != 0 && !mayHaveZeroBits) {
                    tell(report, place, "an L2 entry has flags for a cluster that it does not have")
                }
                continue
            }
            guard offset % clusterSize == 0, offset >= clusterSize, offset < reader.file.lengthInBytes else {
                if isFirst { tell(report, place, "an L2 entry points to \(offset), where no cluster can be") }
                continue
            }
            counts.add(offset / clusterSize)
            if isFirst { try checkCopied(entry, offset, place, "an L2 entry", report) }
        }
    }

    private mutating func checkBits(
        _ entry: UInt64, _ bitmap: UInt64, _ place: Int64, _ report: (StructureProblem) -> Bool
    ) {
        let zeroFlag: UInt64 = header.version >= 3 && !header.hasExtendedL2 ? 1 : 0
        if entry & ~(Qcow2Layout.offsetMask | Qcow2Layout.copied | zeroFlag) != 0 {
            tell(report, place, "an L2 entry has reserved bits set")
        }
        if bitmap & bitmap >> 32 & 0xffff_ffff != 0 {
            tell(report, place, "an L2 entry has subclusters that are both allocated and zero")
        }
    }

    private mutating func countCompressed(
        _ entry: UInt64, _ bitmap: UInt64, _ place: Int64, _ counts: inout ReferenceCounts, isFirst: Bool,
        _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        let (offset, length) = header.layout.compressedRange(entry)
        guard offset >= clusterSize, offset < reader.file.lengthInBytes else {
            if isFirst { tell(report, place, "a compressed cluster at \(offset) is not within the file") }
            return
        }
        if isFirst, entry & Qcow2Layout.copied != 0 { tell(report, place, "a compressed cluster is marked as copied") }
        if isFirst, bitmap != 0 { tell(report, place, "a compressed cluster has subclusters") }
        let end = min(offset + Int64(length), (reader.file.lengthInBytes + 511) / 512 * 512)
        counts.add(bytes: offset / 512 * 512, end - offset / 512 * 512, clusterSize)
    }

    private mutating func checkCopied(
        _ entry: UInt64, _ offset: Int64, _ place: Int64, _ what: String, _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        let count = try refcounts.stored(offset / clusterSize)
        guard (entry & Qcow2Layout.copied != 0) != (count == 1), !header.isDirty else { return }
        tell(report, place, "\(what) says by its copied flag what the refcount \(count) of its cluster denies")
    }

    // MARK: Refcounts

    private mutating func compare(
        _ counts: ReferenceCounts, _ report: (StructureProblem) -> Bool
    ) throws(BlockError) {
        guard !header.isDirty else {
            if counts.range.lowerBound == 0 { tell(report, 72, "its refcounts are marked as out of date") }
            return
        }
        for cluster in counts.range {
            if isStopped { return }
            let stored = try refcounts.stored(cluster)
            let counted = counts[cluster]
            if stored == counted || (header.hasForeignReferences && stored > counted) { continue }
            let kind = stored > counted ? "leaked" : "in danger"
            tell(report, cluster * clusterSize, "cluster \(kind): refcount \(stored), but \(counted) reference(s)")
        }
    }

    /// Refcounts of clusters that the file does not have.
    private mutating func checkBehindEnd(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        let perBlock = refcounts.entriesPerBlock
        for (index, block) in refcounts.table.enumerated() where block != 0 && !isStopped {
            let first = max(Int64(index) * perBlock, hostClusters)
            let end = (Int64(index) + 1) * perBlock
            guard first < end else { continue }
            for cluster in first..<end where try refcounts.stored(cluster) != 0 {
                tell(report, Int64(block), "it counts references to cluster \(cluster), behind the file's end")
                break
            }
        }
    }

    /// The rest of the L1 table's last cluster, where a flipped bit would wait for the table to grow.
    private mutating func checkL1Padding(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        let end = header.l1Offset + Int64(header.l1Entries) * 8
        let padded = min((end + clusterSize - 1) / clusterSize * clusterSize, reader.file.lengthInBytes)
        guard padded > end else { return }
        if try reader.file.bytes(at: end, count: Int(padded - end)).contains(where: { $0 != 0 }) {
            tell(report, end, "the unused end of the L1 table is not zero")
        }
    }
}

/// References to the host clusters of one window.
struct ReferenceCounts {
    let range: Range<Int64>
    private var counts: [UInt8]
    /// Counts from 255 on.
    private var large: [Int64: UInt64] = [:]

    init(_ range: Range<Int64>) {
        self.range = range
        counts = Array(repeating: 0, count: Int(range.count))
    }

    /// Counts a reference to `cluster`, when it is in the window.
    mutating func add(_ cluster: Int64) {
        guard range.contains(cluster) else { return }
        let index = Int(cluster - range.lowerBound)
        if counts[index] < 255 { counts[index] += 1 }
        if counts[index] == 255 { large[cluster, default: 254] += 1 }
    }

    /// Counts a reference to each cluster of a range of bytes.
    mutating func add(bytes offset: Int64, _ length: Int64, _ clusterSize: Int64) {
        guard length > 0 else { return }
        let first = max(offset / clusterSize, range.lowerBound)
        let last = min((offset + length - 1) / clusterSize, range.upperBound - 1)
        guard first <= last else { return }
        for cluster in first...last { add(cluster) }
    }

    subscript(cluster: Int64) -> UInt64 {
        let count = counts[Int(cluster - range.lowerBound)]
        return count < 255 ? UInt64(count) : large[cluster] ?? 255
    }
}
