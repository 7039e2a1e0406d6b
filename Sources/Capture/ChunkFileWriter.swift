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
    private var dataChunks = 0
    private var lostChunks = 0

    init(_ sink: any BlockSink, cloneUUID: [UInt8], diskLength: Int64) {
        self.sink = sink
        self.cloneUUID = cloneUUID
        self.diskLength = diskLength
        map = ChunkMap(count: Chunk.count(length: diskLength))
        content = ContentDigest(diskLength: diskLength)
        writeOffset = Int64(ChunkFileHeader.byteCount + ChunkFileHeader.mapLength(diskLength: diskLength))
    }

    /// Notes the digest of chunk `index`, which is not zero; chunks come in ascending order.
    mutating func append(_ digest: Digest, at index: Int) throws(BlockError) {
        map[index] = .data
        dataChunks += 1
        content.appendZeros(upTo: index)
        content.append(digest)
        pending += digest.bytes
        if pending.count >= 64 << 10 { try flush() }
    }

    /// Completes the file and returns its header once it is on stable storage.
    mutating func finish() throws(BlockError) -> ChunkFileHeader {
        try flush()
        let header = ChunkFileHeader(
            cloneUUID: cloneUUID, diskLength: diskLength, dataChunks: dataChunks, lostChunks: lostChunks,
            contentDigest: content.finish())
        try sink.setLength(header.fileLength)
        try writeMap()
        try sink.synchronize()
        try sink.write(header.encoded(), at: 0)
        try sink.synchronize()
        try sink.close()
        return header
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
