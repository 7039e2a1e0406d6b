// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// The L1 table, and L2 tables as they are needed, of an image that is read.
final class Qcow2Tables: Sendable {
    /// An L2 table, decoded.
    final class L2: Sendable {
        /// Cluster descriptors.
        let entries: [UInt64]
        /// Subcluster bitmaps of extended entries, else empty.
        let bitmaps: [UInt64]

        init(_ words: [UInt64], isExtended: Bool) {
            guard isExtended else {
                entries = words
                bitmaps = []
                return
            }
            entries = stride(from: 0, to: words.count, by: 2).map { words[$0] }
            bitmaps = stride(from: 1, to: words.count, by: 2).map { words[$0] }
        }
    }

    /// Tables kept in memory, the oldest dropped first.
    private struct Cache {
        var tables: [Int64: L2] = [:]
        var order: [Int64] = []
        var oldest = 0
    }

    private static let cacheBytes = 32 << 20

    let l1: [UInt64]
    private let file: any BlockSource
    private let header: Qcow2Header
    private let cache = Mutex(Cache())

    init(_ file: any BlockSource, _ header: Qcow2Header) throws(ImageError) {
        self.file = file
        self.header = header
        do throws(BlockError) {
            l1 = try Self.words(file, header.l1Offset, header.l1Entries)
        } catch {
            throw .io(error)
        }
    }

    /// Returns the L2 table of L1 entry `index`, or nil when that entry has none.
    func l2(ofEntry index: Int) throws(BlockError) -> L2? {
        let offset = Int64(l1[index] & Qcow2Layout.offsetMask)
        guard offset != 0 else { return nil }
        if let table = cache.withLock({ $0.tables[offset] }) { return table }
        let table = try load(offset, named: "L1 entry \(index)")
        cache.withLock { cache in
            guard cache.tables.updateValue(table, forKey: offset) == nil else { return }
            cache.order.append(offset)
            if cache.tables.count > max(Self.cacheBytes / header.layout.clusterSize, 8) {
                cache.tables[cache.order[cache.oldest]] = nil
                cache.oldest += 1
                if cache.oldest > 4096 {
                    cache.order.removeFirst(cache.oldest)
                    cache.oldest = 0
                }
            }
        }
        return table
    }

    /// Reads the L2 table at `offset` past the cache.
    func load(_ offset: Int64, named name: String) throws(BlockError) -> L2 {
        let size = Int64(header.layout.clusterSize)
        guard offset % size == 0, offset >= size, offset <= file.lengthInBytes - size else {
            throw BlockError(
                .read, file.name, offset: offset, length: Int(size),
                .invalid("\(name) points to an L2 table that is not within the image file"))
        }
        return L2(
            try Self.words(file, offset, header.layout.clusterSize / 8), isExtended: header.hasExtendedL2)
    }

    /// Reads `count` big-endian words.
    static func words(_ file: any BlockSource, _ offset: Int64, _ count: Int) throws(BlockError) -> [UInt64] {
        try file.checkRange(offset, count * 8)
        let buffer = AlignedBuffer(count: count * 8)
        let bytes = buffer.prefix(count * 8)
        try file.read(into: bytes, at: offset)
        return bytes.bindMemory(to: UInt64.self).map { UInt64(bigEndian: $0) }
    }
}
