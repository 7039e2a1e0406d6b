// SPDX-License-Identifier: GPL-3.0-or-later

/// State of every chunk of a disk, two bits each, as the chunk file stores them.
public struct ChunkMap: Sendable, Hashable {
    /// The stored form: four chunks a byte, the lowest bits first.
    public private(set) var bytes: [UInt8]
    /// Number of chunks.
    public let count: Int

    /// Makes a map of `count` zero chunks.
    public init(count: Int) {
        self.count = count
        bytes = [UInt8](repeating: 0, count: (count + 3) / 4)
    }

    /// Takes the stored form of `count` chunks.
    ///
    /// - Throws: `FormatError` for a reserved state, bits behind the last chunk, or totals other than the header's.
    public init(decoding bytes: [UInt8], header: ChunkFileHeader, file: String) throws(FormatError) {
        count = header.chunkCount
        self.bytes = bytes
        guard bytes.count == header.mapLength else {
            throw .damaged(file: file, reason: "its state map is incomplete")
        }
        var data = 0
        var lost = 0
        for byte in bytes where byte != 0 {
            let low = byte & 0x55
            let high = (byte >> 1) & 0x55
            guard low & high == 0 else { throw .damaged(file: file, reason: "a chunk has a reserved state") }
            data += low.nonzeroBitCount
            lost += high.nonzeroBitCount
        }
        if !count.isMultiple(of: 4), let last = bytes.last, last >> (count % 4 * 2) != 0 {
            throw .damaged(file: file, reason: "its state map has bits behind the last chunk")
        }
        guard data == header.dataChunks, lost == header.lostChunks else {
            throw .damaged(file: file, reason: "its state map contradicts the counts of its header")
        }
    }

    /// The state of chunk `index`, which is below `count`.
    public subscript(index: Int) -> ChunkState {
        get { ChunkState(rawValue: bytes[index / 4] >> (index % 4 * 2) & 3) ?? .lost }
        set {
            let shift = index % 4 * 2
            bytes[index / 4] = bytes[index / 4] & ~(3 << shift) | newValue.rawValue << shift
        }
    }

    /// Returns the first chunk from `index` on that is not zero, or nil.
    public func firstNonZero(from index: Int) -> Int? {
        var index = index
        while index < count {
            if index.isMultiple(of: 4), bytes[index / 4] == 0 {
                index += 4
            } else if self[index] != .zero {
                return index
            } else {
                index += 1
            }
        }
        return nil
    }
}
