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

    /// Returns the L2 table of L1 entry `index`, or nil when that entry has none; `guestOffset` is for messages.
    func l2(ofEntry index: Int, for guestOffset: Int64) throws(BlockError) -> L2? {
        let entry = l1[index]
        guard entry & ~Qcow2Layout.copied != 0 else { return nil }
        let offset = Int64(entry & Qcow2Layout.offsetMask)
        if let table = cache.withLock({ $0.tables[offset] }) { return table }
        guard entry & ~(Qcow2Layout.offsetMask | Qcow2Layout.copied) == 0, isPossible(offset) else {
            let place = header.l1Offset + Int64(index) * 8
            throw BlockError(
                .read, file.name, offset: guestOffset, length: header.layout.clusterSize,
                .invalid("its L1 entry, at byte \(place) of the file, points to \(offset), where no L2 table can be"))
        }
        let table = try load(offset)
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

    /// Tells whether a table of one cluster can be at `offset` of the file.
    func isPossible(_ offset: Int64) -> Bool {
        let size = Int64(header.layout.clusterSize)
        return offset % size == 0 && offset >= size && offset <= file.lengthInBytes - size
    }

    /// Reads the L2 table at `offset`, where one is possible, past the cache.
    func load(_ offset: Int64) throws(BlockError) -> L2 {
        L2(try Self.words(file, offset, header.layout.clusterSize / 8), isExtended: header.hasExtendedL2)
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
