// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Hands out an image's clusters in order and keeps the tables that say so.
///
/// Memory: the L1 table, one L2 table, and the refcount blocks of what is not yet passed: a few clusters each.
struct Qcow2Allocator {
    private let sink: any BlockSink
    private let layout: Qcow2Layout
    private let diskLength: Int64
    private var l1: [UInt64]
    private var l2: [UInt64]
    /// The L1 entry that `l2` belongs to, when it holds anything.
    private var l2Index: Int?
    private var refcounts: RefcountBlocks
    /// First cluster that is not handed out.
    private var nextCluster: Int64 = 1
    /// Byte behind the last compressed cluster, when more may follow in the host cluster that it lies in.
    private var openOffset: Int64?

    init(sink: any BlockSink, layout: Qcow2Layout, diskLength: Int64) {
        self.sink = sink
        self.layout = layout
        self.diskLength = diskLength
        l1 = Array(repeating: 0, count: layout.l1Entries(diskLength: diskLength))
        l2 = Array(repeating: 0, count: layout.l2Entries)
        refcounts = RefcountBlocks(entriesPerBlock: layout.refcountBlockEntries)
        refcounts.reference(0)  // The header.
    }

    private var clusterSize: Int64 { Int64(layout.clusterSize) }

    /// Byte behind all that is handed out.
    var endOfAllocation: Int64 { nextCluster * clusterSize }

    /// Returns the byte in the file for guest cluster `index`: a whole cluster, or `compressedCount` bytes.
    ///
    /// Guest clusters come in ascending order.
    mutating func store(guestCluster index: Int, compressedCount: Int?) throws(ImageError) -> Int64 {
        let table = index / layout.l2Entries
        if l2Index != table {
            try flushL2()
            l2Index = table
        }
        let fileOffset: Int64
        if let compressedCount {
            fileOffset = allocateBytes(compressedCount)
            l2[index % layout.l2Entries] = layout.compressedEntry(fileOffset: fileOffset, count: compressedCount)
        } else {
            fileOffset = allocateClusters(1)
            l2[index % layout.l2Entries] = UInt64(fileOffset) | Qcow2Layout.copied
        }
        guard fileOffset < 1 << 49 else {
            throw .invalid("\(sink.name) would pass the 512 TiB that qcow2 can address")
        }
        try flushPassedRefcounts()
        return fileOffset
    }

    /// Notes that guest cluster `index` reads as zeros, whatever the backing file holds there; in order like the others.
    mutating func storeZeros(guestCluster index: Int) throws(ImageError) {
        let table = index / layout.l2Entries
        if l2Index != table {
            try flushL2()
            l2Index = table
        }
        l2[index % layout.l2Entries] = Qcow2Layout.zero
    }

    /// Writes what is left, the header last, and returns when all of it is on stable storage.
    mutating func finish(
        compression: ImageCompression, backing: BackingName?
    ) throws(ImageError) -> ImageSummary {
        try flushL2()
        openOffset = nil
        let l1Offset = allocateClusters(clusters(forEntries: l1.count))
        try writeTable(l1, at: l1Offset)
        let refcountTable = try finishRefcounts()
        let header = headerCluster(
            compression: compression, backing: backing, l1Offset: l1Offset, refcountTable: refcountTable)
        let fileLength = nextCluster * clusterSize
        do throws(BlockError) {
            try sink.setLength(fileLength)
            try sink.synchronize()
            try sink.write(header, at: 0)
            try sink.synchronize()
            try sink.close()
        } catch {
            throw .io(error)
        }
        return ImageSummary(fileLength: fileLength, headerCluster: header)
    }

    // MARK: Allocation

    private mutating func allocateClusters(_ count: Int) -> Int64 {
        let first = nextCluster
        nextCluster += Int64(count)
        for cluster in first..<nextCluster { refcounts.reference(cluster) }
        return first * clusterSize
    }

    /// Returns room for `count` compressed bytes, behind the last ones where they fit or can be continued.
    private mutating func allocateBytes(_ count: Int) -> Int64 {
        var start: Int64
        if let open = openOffset, refcounts.canReference(open / clusterSize) {
            let endOfOpen = (open / clusterSize + 1) * clusterSize
            // Compressed data may run on into the next host cluster only if that is the very next to be handed out.
            let fits = open + Int64(count) <= endOfOpen || endOfOpen == nextCluster * clusterSize
            start = fits ? open : nextCluster * clusterSize
        } else {
            start = nextCluster * clusterSize
        }
        let end = start + Int64(count)
        nextCluster = max(nextCluster, (end + clusterSize - 1) / clusterSize)
        for cluster in start / clusterSize...(end - 1) / clusterSize { refcounts.reference(cluster) }
        openOffset = end % clusterSize == 0 ? nil : end
        return start
    }

    private func clusters(forEntries count: Int) -> Int {
        (count * 8 + layout.clusterSize - 1) / layout.clusterSize
    }

    // MARK: Tables

    private mutating func flushL2() throws(ImageError) {
        guard let index = l2Index else { return }
        let offset = allocateClusters(1)
        try writeTable(l2, at: offset)
        l1[index] = UInt64(offset) | Qcow2Layout.copied
        for entry in l2.indices { l2[entry] = 0 }
        l2Index = nil
    }

    /// Writes the refcount blocks that no cluster to come can fall into.
    private mutating func flushPassedRefcounts() throws(ImageError) {
        while let block = refcounts.firstUnwritten, block < refcounts.block(of: nextCluster) {
            if let open = openOffset, refcounts.block(of: open / clusterSize) <= block { openOffset = nil }
            let offset = allocateClusters(1)
            try writeRefcountBlock(block, at: offset)
        }
    }

    private mutating func writeRefcountBlock(_ block: Int, at offset: Int64) throws(ImageError) {
        let counts = refcounts.take(block, writtenAt: offset)
        try write(counts.map(\.bigEndian), at: offset)
    }

    /// Writes all remaining refcount blocks and their table, and returns the table's place.
    private mutating func finishRefcounts() throws(ImageError) -> (offset: Int64, clusters: Int) {
        // Table and blocks are counted by themselves: grow both until they cover everything.
        var blockCount = 0
        var tableClusters = 0
        while true {
            let unwritten = blockCount - refcounts.writtenCount
            let total = nextCluster + Int64(tableClusters) + Int64(max(unwritten, 0))
            let needed = refcounts.block(of: total - 1) + 1
            let table = clusters(forEntries: needed)
            if needed == blockCount && table == tableClusters { break }
            blockCount = needed
            tableClusters = table
        }
        guard tableClusters * layout.clusterSize <= Qcow2Layout.maximumRefcountTableBytes else {
            throw .invalid("\(sink.name): clusters of \(clusterSize) bytes are too small for this much data")
        }
        let tableOffset = allocateClusters(tableClusters)
        let firstUnwritten = refcounts.writtenCount
        let blocksOffset = allocateClusters(blockCount - firstUnwritten)
        for block in firstUnwritten..<blockCount {
            try writeRefcountBlock(block, at: blocksOffset + Int64(block - firstUnwritten) * clusterSize)
        }
        try writeTable(refcounts.table, at: tableOffset)
        return (tableOffset, tableClusters)
    }

    /// Writes `entries` big-endian at `offset`, padded with zeros to a whole cluster.
    private func writeTable(_ entries: [UInt64], at offset: Int64) throws(ImageError) {
        let padded = clusters(forEntries: entries.count) * layout.clusterSize / 8
        var table = entries.map(\.bigEndian)
        table += Array(repeating: 0, count: padded - table.count)
        try write(table, at: offset)
    }

    private func write<Element: BitwiseCopyable>(_ elements: [Element], at offset: Int64) throws(ImageError) {
        do throws(BlockError) { try sink.write(elements, at: offset) } catch { throw .io(error) }
    }

    private func headerCluster(
        compression: ImageCompression, backing: BackingName?, l1Offset: Int64,
        refcountTable: (offset: Int64, clusters: Int)
    ) -> [UInt8] {
        let header = Qcow2HeaderBytes(
            clusterBits: layout.clusterBits, diskLength: diskLength, l1Entries: l1.count, l1Offset: l1Offset,
            refcountTableOffset: refcountTable.offset, refcountTableClusters: refcountTable.clusters,
            isZstd: compression == .zstd, backing: backing)
        return header.cluster
    }
}
