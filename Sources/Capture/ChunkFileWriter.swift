// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// Writes a disk's chunk file: digests as they come, in order; state map and header at the end.
struct ChunkFileWriter {
    private let sink: any BlockSink
    private let cloneUUID: [UInt8]
    private let diskLength: Int64
    private var map: ChunkMap
    private var content: ContentDigest
    private var pending: [UInt8] = []
    private var writeOffset: Int64
    /// Digests so far, whatever their chunks' states.
    private var digestCount = 0
    /// Whether a digest changed after it was taken into the content digest.
    private var isSettledLate = false

    init(_ sink: any BlockSink, cloneUUID: [UInt8], diskLength: Int64) {
        self.sink = sink
        self.cloneUUID = cloneUUID
        self.diskLength = diskLength
        map = ChunkMap(count: Chunk.count(length: diskLength))
        content = ContentDigest(diskLength: diskLength)
        writeOffset = 0
        writeOffset = digestsOffset
    }

    /// Notes the digest of chunk `index`, which is not zero, and returns its place among the digests.
    ///
    /// Chunks come in ascending order.
    @discardableResult
    mutating func append(_ digest: Digest, at index: Int) throws(BlockError) -> Int {
        map[index] = .data
        digestCount += 1
        content.appendZeros(upTo: index)
        content.append(digest)
        pending += digest.bytes
        if pending.count >= 64 << 10 { try flush() }
        return digestCount - 1
    }

    /// Replaces the digest at place `slot`, that of chunk `index`: once all that can be read of it was read.
    mutating func settle(_ digest: Digest, lost: Bool, at index: Int, slot: Int) throws(BlockError) {
        try flush()
        map[index] = lost ? .lost : .data
        try sink.write(digest.bytes, at: digestsOffset + Int64(slot * Digest.byteCount))
        isSettledLate = true
    }

    private var digestsOffset: Int64 {
        Int64(ChunkFileHeader.byteCount + ChunkFileHeader.mapLength(diskLength: diskLength))
    }

    /// Completes the file and returns its header once it is on stable storage.
    mutating func finish() throws(BlockError) -> ChunkFileHeader {
        try flush()
        let totals = map.totals
        let header = ChunkFileHeader(
            cloneUUID: cloneUUID, diskLength: diskLength, dataChunks: totals.data, lostChunks: totals.lost,
            contentDigest: isSettledLate ? try storedContentDigest() : content.finish())
        try sink.setLength(header.fileLength)
        try writeMap()
        try sink.synchronize()
        try sink.write(header.encoded(), at: 0)
        try sink.synchronize()
        try sink.close()
        return header
    }

    /// Returns the content digest of what the file holds.
    private func storedContentDigest() throws(BlockError) -> Digest {
        var content = ContentDigest(diskLength: diskLength)
        let buffer = AlignedBuffer(count: 2048 * Digest.byteCount)
        var index = 0
        for first in stride(from: 0, to: digestCount, by: 2048) {
            let count = min(2048, digestCount - first)
            let bytes = buffer.prefix(count * Digest.byteCount)
            try sink.read(into: bytes, at: digestsOffset + Int64(first * Digest.byteCount))
            for place in stride(from: 0, to: bytes.count, by: Digest.byteCount) {
                guard let chunk = map.firstNonZero(from: index),
                    let digest = Digest(bytes: bytes[place..<place + Digest.byteCount])
                else { break }
                content.appendZeros(upTo: chunk)
                content.append(digest, lost: map[chunk] == .lost)
                index = chunk + 1
            }
        }
        return content.finish()
    }

    private mutating func flush() throws(BlockError) {
        try sink.write(pending, at: writeOffset)
        writeOffset += Int64(pending.count)
        pending.removeAll(keepingCapacity: true)
    }

    /// Writes the parts of the map that are not zero: an empty disk's stays a hole.
    private func writeMap() throws(BlockError) {
        let piece = 4096
        for start in stride(from: 0, to: map.bytes.count, by: piece) {
            let part = Array(map.bytes[start..<min(start + piece, map.bytes.count)])
            if part.contains(where: { $0 != 0 }) {
                try sink.write(part, at: Int64(ChunkFileHeader.byteCount + start))
            }
        }
    }
}
