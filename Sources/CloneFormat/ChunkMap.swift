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

    /// Takes the stored form of a whole map.
    ///
    /// - Throws: `FormatError` for a reserved state, bits behind the last chunk, or totals other than the header's.
    public init(decoding bytes: [UInt8], header: ChunkFileHeader, file: String) throws(FormatError) {
        try self.init(decodingPart: bytes, count: header.chunkCount, file: file)
        let totals = totals
        guard totals.data == header.dataChunks, totals.lost == header.lostChunks else {
            throw .damaged(file: file, reason: "its state map contradicts the counts of its header")
        }
    }

    /// Takes the stored form of `count` chunks, part of a map that is too long to be held whole.
    ///
    /// - Throws: `FormatError` for a reserved state, bits behind the last chunk, or another number of bytes.
    public init(decodingPart bytes: [UInt8], count: Int, file: String) throws(FormatError) {
        self.count = count
        self.bytes = bytes
        guard bytes.count == (count + 3) / 4 else {
            throw .damaged(file: file, reason: "its state map is incomplete")
        }
        for byte in bytes where byte & byte >> 1 & 0x55 != 0 {
            throw .damaged(file: file, reason: "a chunk has a reserved state")
        }
        if !count.isMultiple(of: 4), let last = bytes.last, last >> (count % 4 * 2) != 0 {
            throw .damaged(file: file, reason: "its state map has bits behind the last chunk")
        }
    }

    /// Number of chunks in state data, and in state lost.
    public var totals: (data: Int, lost: Int) {
        var data = 0
        var lost = 0
        for byte in bytes where byte != 0 {
            data += (byte & 0x55).nonzeroBitCount
            lost += (byte & 0xAA).nonzeroBitCount
        }
        return (data, lost)
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
