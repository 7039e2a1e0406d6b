// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// Reads a volume in pieces of any size and place, whole sectors at a time, the last ones kept.
///
/// Metadata lie close together and are read in small pieces; over iSCSI each of them would be a round trip.
final class VolumeBytes: Sendable {
    private struct Cache {
        var pages: [Int64: [UInt8]] = [:]
        /// Pages in the order they came: the oldest goes first.
        var order: [Int64] = []
        var oldest = 0
    }

    private static let maximumPages = 256

    let source: any BlockSource
    private let pageSize: Int
    private let cache = Mutex(Cache())

    var name: String { source.name }
    var lengthInBytes: Int64 { source.lengthInBytes }

    init(_ source: any BlockSource) {
        self.source = source
        pageSize = max(16 << 10, source.logicalSectorSize)
    }

    /// Fills `buffer` from `offset`.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try source.checkRange(offset, buffer.count)
        if buffer.count > pageSize * 4 { return try readDirectly(into: buffer, at: offset) }
        var done = 0
        while done < buffer.count {
            let position = offset + Int64(done)
            let start = position / Int64(pageSize) * Int64(pageSize)
            guard let page = try? self.page(at: start) else {
                // A bad sector beside what is wanted must not hide it.
                return try readDirectly(into: buffer.part(done, buffer.count - done), at: position)
            }
            let skip = Int(position - start)
            let count = min(page.count - skip, buffer.count - done)
            guard count > 0 else { throw BlockError(.read, name, offset: position, length: 1, .unexpectedEnd) }
            page.withUnsafeBytes { buffer.part(done, count).copyMemory(from: $0.part(skip, count)) }
            done += count
        }
    }

    /// Returns `count` bytes from `offset`.
    func bytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
        try source.checkRange(offset, count)
        var result = [UInt8](repeating: 0, count: count)
        try Self.fill(&result) { buffer throws(BlockError) in try read(into: buffer, at: offset) }
        return result
    }

    /// Returns `count` bytes from `offset`, to be decoded.
    func fields(at offset: Int64, count: Int) throws(FileSystemError) -> ByteFields {
        do throws(BlockError) { return ByteFields(try bytes(at: offset, count: count)) } catch {
            throw FileSystemError(name, .volume(error))
        }
    }

    /// Returns `count` bytes from `offset`, nil when the volume ends before.
    func fieldsIfPresent(at offset: Int64, count: Int) throws(FileSystemError) -> ByteFields? {
        guard offset >= 0, Int64(count) <= lengthInBytes, offset <= lengthInBytes - Int64(count) else { return nil }
        return try fields(at: offset, count: count)
    }

    /// Copies `count` bytes of the volume from `offset` into `result` at `place`, all within bounds.
    func copy(_ count: Int, from offset: Int64, to place: Int, of result: inout [UInt8]) throws(FileSystemError) {
        guard count > 0 else { return }
        guard place >= 0, count <= result.count, place <= result.count - count else {
            throw FileSystemError(name, .damaged("a file's extents do not fit its size"))
        }
        do throws(BlockError) {
            try Self.fill(&result) { buffer throws(BlockError) in try read(into: buffer.part(place, count), at: offset)
            }
        } catch { throw FileSystemError(name, .volume(error)) }
    }

    private static func fill(
        _ array: inout [UInt8], _ body: (UnsafeMutableRawBufferPointer) throws(BlockError) -> Void
    ) throws(BlockError) {
        // The standard library's closures rethrow any error: the typed one travels beside them.
        var failure: BlockError?
        array.withUnsafeMutableBytes { buffer in
            do throws(BlockError) { try body(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func page(at start: Int64) throws(BlockError) -> [UInt8] {
        if let page = cache.withLock({ $0.pages[start] }) { return page }
        let count = Int(min(Int64(pageSize), lengthInBytes - start))
        guard count > 0 else { throw BlockError(.read, name, offset: start, length: 1, .unexpectedEnd) }
        let page = try source.bytes(at: start, count: count)
        cache.withLock { cache in
            if cache.pages.updateValue(page, forKey: start) != nil { return }
            if cache.order.count < Self.maximumPages {
                cache.order.append(start)
            } else {
                cache.pages[cache.order[cache.oldest]] = nil
                cache.order[cache.oldest] = start
                cache.oldest = (cache.oldest + 1) % Self.maximumPages
            }
        }
        return page
    }

    /// Reads whole sectors around a large range.
    private func readDirectly(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        let sector = Int64(max(source.logicalSectorSize, 512))
        var done = 0
        let piece = AlignedBuffer(count: (1 << 20) + 2 * Int(sector))
        while done < buffer.count {
            let position = offset + Int64(done)
            let start = position / sector * sector
            let count = min(buffer.count - done, 1 << 20)
            let end = min((position + Int64(count) + sector - 1) / sector * sector, lengthInBytes)
            let window = piece.prefix(Int(end - start))
            try source.read(into: window, at: start)
            buffer.part(done, count).copyMemory(
                from: UnsafeRawBufferPointer(window).part(Int(position - start), count))
            done += count
        }
    }
}
