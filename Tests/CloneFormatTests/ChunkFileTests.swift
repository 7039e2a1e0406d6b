// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib
internal import CloneFormat
internal import TestSupport
internal import Testing

/// The chunk file's header and map.
struct ChunkFileTests {
    private let header = ChunkFileHeader(
        cloneUUID: (1...16).map { UInt8($0) }, diskLength: 9 << 20 | 512, dataChunks: 4, lostChunks: 2,
        contentDigest: Digest(of: [1, 2, 3]))

    private func decode(_ bytes: [UInt8], fileLength: Int64? = nil) throws -> ChunkFileHeader {
        try ChunkFileHeader(decoding: bytes, fileLength: fileLength ?? header.fileLength, file: "sda.chunks")
    }

    /// Returns the header with `field` replaced and its checksum right again.
    private func changed(_ offset: Int, _ field: [UInt8]) -> [UInt8] {
        var bytes = header.encoded()
        bytes.replaceSubrange(offset..<offset + field.count, with: field)
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: crc32(0, bytes, 124)).littleEndian) {
            bytes.replaceSubrange(124..<128, with: $0)
        }
        return bytes
    }

    @Test func layoutIsTheDescribedOne() {
        let bytes = header.encoded()
        #expect(bytes.count == 128)
        #expect(Array(bytes[0..<8]) == Array("CCCHUNKS".utf8))
        #expect(bytes[8..<16] == [1, 0, 0, 0, 0, 0, 16, 0])
        #expect(Array(bytes[16..<32]) == header.cloneUUID)
        #expect(bytes[32..<40] == [0, 2, 0x90, 0, 0, 0, 0, 0])
        #expect(bytes[40..<48] == [10, 0, 0, 0, 0, 0, 0, 0])
        #expect(bytes[48..<56] == [4, 0, 0, 0, 0, 0, 0, 0])
        #expect(bytes[56..<64] == [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(Array(bytes[64..<96]) == header.contentDigest.bytes)
        #expect(bytes[96..<124].allSatisfy { $0 == 0 })
        #expect(header.chunkCount == 10 && header.mapLength == 3)
        #expect(header.digestsOffset == 131 && header.fileLength == 131 + 6 * 32)
    }

    @Test func comesBack() throws {
        #expect(try decode(header.encoded()) == header)
        #expect(try decode(header.encoded() + [0xff, 0xff]) == header)
    }

    @Test func everyTruncationIsRefused() {
        let bytes = header.encoded()
        for length in 0..<bytes.count {
            #expect(throws: FormatError.self) { try decode(Array(bytes[..<length])) }
        }
        for length in [0, 128, header.fileLength - 1, header.fileLength + 1, .max, -1] {
            #expect(throws: FormatError.self) { try decode(bytes, fileLength: length) }
        }
    }

    @Test func everyFlippedBitIsRefused() {
        let bytes = header.encoded()
        for bit in 0..<bytes.count * 8 {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self, "bit \(bit)") { try decode(damaged) }
        }
    }

    @Test func impossibleValuesAreRefusedThoughTheChecksumIsRight() throws {
        #expect(try decode(changed(0, [])) == header)
        let impossible: [(Int, [UInt8])] = [
            (12, [0, 0, 0x20, 0]), (12, [0, 0, 0, 0]), (39, [0x80]), (38, [0x21]), (40, [11]), (40, [9]), (47, [0x80]),
            (48, [11]), (55, [0xff]), (56, [7]), (63, [0xff]), (32, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ]
        for (offset, field) in impossible {
            #expect(throws: FormatError.self, "\(field) at \(offset)") { try decode(changed(offset, field)) }
        }
    }

    @Test func newerMajorVersionIsRefusedByNumberAndMinorAccepted() throws {
        let error = #expect(throws: FormatError.self) { try decode(changed(8, [2])) }
        #expect(error?.description == "sda.chunks has format version 2.0; this release reads up to 1.0")
        #expect(throws: FormatError.self) { try decode(changed(8, [0])) }
        // What a newer minor version adds, it adds in the reserved bytes.
        #expect(try decode(changed(10, [7])) == header)
        #expect(try decode(changed(100, [7])) == header)
    }

    @Test func chunksAreCounted() {
        #expect(Chunk.count(length: 0) == 0 && Chunk.count(length: 1) == 1 && Chunk.count(length: 1 << 20) == 1)
        #expect(Chunk.count(length: 1 << 20 + 1) == 2 && Chunk.count(length: 1 << 53) == 1 << 33)
        #expect(Chunk.length(of: 0, diskLength: 5) == 5 && Chunk.length(of: 1, diskLength: 2 << 20) == 1 << 20)
        #expect(Chunk.length(of: 2, diskLength: 2 << 20 + 7) == 7)
    }
}

/// The map of states.
struct ChunkMapTests {
    private func header(_ count: Int, data: Int, lost: Int) -> ChunkFileHeader {
        ChunkFileHeader(
            cloneUUID: [], diskLength: Int64(count) << 20, dataChunks: data, lostChunks: lost,
            contentDigest: Digest(of: []))
    }

    @Test(arguments: [0, 1, 2, 3, 4, 5, 7, 8, 31, 100])
    func comesBack(count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count))
        let states = (0..<count).map { _ in [ChunkState.zero, .data, .lost].randomElement(using: &generator) ?? .zero }
        var map = ChunkMap(count: count)
        for (chunk, state) in states.enumerated().shuffled(using: &generator) { map[chunk] = state }
        #expect(map.bytes.count == (count + 3) / 4)
        #expect((0..<count).map { map[$0] } == states)
        let data = states.count { $0 == .data }
        let lost = states.count { $0 == .lost }
        #expect(map.totals == (data, lost))
        #expect(try ChunkMap(decoding: map.bytes, header: header(count, data: data, lost: lost), file: "x") == map)
        #expect(throws: FormatError.self) {
            try ChunkMap(decoding: map.bytes, header: header(count, data: data + 1, lost: lost), file: "x")
        }
        #expect(throws: FormatError.self) {
            try ChunkMap(decoding: map.bytes, header: header(count, data: data, lost: lost + 1), file: "x")
        }
        for from in 0...count + 1 {
            #expect(map.firstNonZero(from: from) == states.indices.dropFirst(from).first { states[$0] != .zero })
        }
    }

    @Test func statesAreStoredLowestBitsFirst() {
        var map = ChunkMap(count: 6)
        map[0] = .data
        map[1] = .lost
        map[3] = .data
        map[5] = .lost
        #expect(map.bytes == [0b0100_1001, 0b0000_1000])
        map[1] = .zero
        #expect(map.bytes == [0b0100_0001, 0b0000_1000])
    }

    @Test func whatCannotBeIsRefused() throws {
        let refused: [(bytes: [UInt8], count: Int)] = [
            ([], 1), ([0, 0], 4), ([0], 0), ([0b11], 1), ([0b1100_0000], 4), ([0, 0b11], 5), ([0b100], 1),
            ([0b0100_0000], 3), ([0b1000_0000], 3),
        ]
        for (bytes, count) in refused {
            #expect(throws: FormatError.self, "\(bytes), \(count)") {
                try ChunkMap(decodingPart: bytes, count: count, file: "x")
            }
        }
        #expect(try ChunkMap(decodingPart: [], count: 0, file: "x").firstNonZero(from: 0) == nil)
    }
}
