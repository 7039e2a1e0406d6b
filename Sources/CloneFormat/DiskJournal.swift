// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib

/// Journal of a disk that is being captured, `NAME.journal`: what of its image is durable, so that a capture goes on.
///
/// All integers are little-endian. A header of 64 bytes:
///
///     offset size  field
///          0    8  magic, the bytes "CCJOURNL"
///          8    2  major version: 1
///         10    2  minor version: 0
///         12    4  guest bytes a unit
///         16   16  clone UUID
///         32    8  length of the disk in bytes
///         40   20  reserved, zero
///         60    4  CRC-32 (zlib's) of bytes 0 to 59
///
/// Then checkpoints, each appended once all that it names is on stable storage:
///
///          0    4  magic, the bytes "CKPT"
///          4    4  length of the payload in bytes, at most 2^28
///          8    8  number of the first unit, counted in the order of the disk, from 0 without gaps
///         16    4  number of units
///         20    …  the units: 8 bytes index on the disk; 4 bytes number of pieces; each 4 bytes offset in the unit and
///                  4 bytes length, bit 31 set when compressed, bit 30 when zeros are noted over a base's content;
///                  1 byte number of chunks; each 1 byte 0 (zeros) or 1 followed by its SHA-256; 4 bytes number of
///                  ranges not read; each 8 bytes offset, 8 bytes length
///       last    4  CRC-32 of everything before it in the checkpoint
///
/// What follows the first damaged or incomplete checkpoint is ignored: it was never promised.
public struct DiskJournal: Sendable, Hashable {
    /// Length of the header in bytes.
    public static let headerLength = 64
    private static let magic = Array("CCJOURNL".utf8)
    private static let checkpointMagic = Array("CKPT".utf8)
    private static let maximumPayload = 1 << 28

    /// One unit that is durable.
    public struct Unit: Sendable, Hashable {
        /// A part of the unit that is stored.
        public struct Piece: Sendable, Hashable {
            /// Byte within the unit.
            public var offset: Int
            /// Bytes in the image.
            public var count: Int
            /// Whether it is compressed.
            public var isPacked: Bool
            /// Whether nothing is stored, but zeros are noted where a base has content.
            public var isZero: Bool

            /// Makes a piece.
            public init(offset: Int, count: Int, isPacked: Bool, isZero: Bool = false) {
                self.offset = offset
                self.count = count
                self.isPacked = isPacked
                self.isZero = isZero
            }
        }

        /// Place on the disk, in units.
        public var index: Int
        /// What is stored of it, ascending.
        public var pieces: [Piece]
        /// Digests of its chunks, nil for zeros.
        public var digests: [Digest?]
        /// What could not be read.
        public var missing: [ByteRange]

        /// Makes a unit.
        public init(index: Int, pieces: [Piece], digests: [Digest?], missing: [ByteRange]) {
            self.index = index
            self.pieces = pieces
            self.digests = digests
            self.missing = missing
        }
    }

    /// Guest bytes a unit.
    public var unitLength: Int
    /// The clone that it belongs to: 16 bytes.
    public var cloneUUID: [UInt8]
    /// Length of the disk in bytes.
    public var diskLength: Int64

    /// Makes a journal; `cloneUUID` has 16 bytes.
    public init(unitLength: Int, cloneUUID: [UInt8], diskLength: Int64) {
        self.unitLength = unitLength
        self.cloneUUID = cloneUUID
        self.diskLength = diskLength
    }

    /// Returns the 64 bytes of the header.
    public func encodedHeader() -> [UInt8] {
        var bytes = Self.magic
        bytes.appendLittleEndian(UInt16(1))
        bytes.appendLittleEndian(UInt16(0))
        bytes.appendLittleEndian(UInt32(unitLength))
        bytes += cloneUUID
        bytes.appendLittleEndian(UInt64(diskLength))
        bytes += [UInt8](repeating: 0, count: Self.headerLength - 4 - bytes.count)
        bytes.appendLittleEndian(Self.checksum(bytes[...]))
        return bytes
    }

    /// Returns a checkpoint of `units`, the first of which has the number `first`.
    public static func encodedCheckpoint(first: Int, units: [Unit]) -> [UInt8] {
        var payload: [UInt8] = []
        payload.appendLittleEndian(UInt64(first))
        payload.appendLittleEndian(UInt32(units.count))
        for unit in units {
            payload.appendLittleEndian(UInt64(unit.index))
            payload.appendLittleEndian(UInt32(unit.pieces.count))
            for piece in unit.pieces {
                payload.appendLittleEndian(UInt32(piece.offset))
                payload.appendLittleEndian(
                    UInt32(piece.count) | (piece.isPacked ? 1 << 31 : 0) | (piece.isZero ? 1 << 30 : 0))
            }
            payload.append(UInt8(unit.digests.count))
            for digest in unit.digests { payload += digest.map { [1] + $0.bytes } ?? [0] }
            payload.appendLittleEndian(UInt32(unit.missing.count))
            for range in unit.missing {
                payload.appendLittleEndian(UInt64(range.offset))
                payload.appendLittleEndian(UInt64(range.length))
            }
        }
        var bytes = checkpointMagic
        bytes.appendLittleEndian(UInt32(payload.count))
        bytes += payload
        bytes.appendLittleEndian(checksum(bytes[...]))
        return bytes
    }

    /// Reads the header from the first 64 `bytes` of a journal.
    ///
    /// - Throws: `FormatError` when it is none.
    public init(decodingHeader bytes: [UInt8], file: String) throws(FormatError) {
        guard bytes.count >= Self.headerLength, Array(bytes[0..<8]) == Self.magic,
            bytes.littleEndian(at: 60, as: UInt32.self) == Self.checksum(bytes[0..<60])
        else { throw .damaged(file: file, reason: "it has no journal's header") }
        let major = Int(bytes.littleEndian(at: 8, as: UInt16.self))
        guard major == 1 else {
            throw .unsupportedVersion(
                file: file, version: FormatVersion(major: major, minor: 0),
                supported: FormatVersion(major: 1, minor: 0))
        }
        let unitLength = Int(bytes.littleEndian(at: 12, as: UInt32.self))
        let length = bytes.littleEndian(at: 32, as: UInt64.self)
        guard unitLength >= Chunk.size, unitLength <= 64 << 20, unitLength % Chunk.size == 0,
            length <= UInt64(ChunkFileHeader.maximumDiskLength)
        else { throw .damaged(file: file, reason: "its header has impossible lengths") }
        self.init(unitLength: unitLength, cloneUUID: Array(bytes[16..<32]), diskLength: Int64(length))
    }

    /// Returns the length of the checkpoint that begins with the 8 bytes `prefix`; nil when none does.
    public static func checkpointLength(_ prefix: [UInt8]) -> Int? {
        guard prefix.count == 8, Array(prefix[0..<4]) == checkpointMagic else { return nil }
        let count = Int(prefix.littleEndian(at: 4, as: UInt32.self))
        return count >= 12 && count <= maximumPayload ? count + 12 : nil
    }

    /// Returns the units of the checkpoint `bytes`; nil when it is not whole, or does not follow on.
    ///
    /// - Parameters:
    ///   - first: the number that its first unit must have.
    ///   - previous: index on the disk of the unit before, -1 when there is none.
    public func units(ofCheckpoint bytes: [UInt8], first: Int, previous: Int) -> [Unit]? {
        guard bytes.count >= 24, Self.checkpointLength(Array(bytes[0..<8])) == bytes.count else { return nil }
        let end = bytes.count - 4
        guard bytes.littleEndian(at: end, as: UInt32.self) == Self.checksum(bytes[0..<end]) else { return nil }
        var reader = Reader(bytes: bytes, position: 8, end: end)
        guard reader.integer(UInt64.self) == UInt64(first), let unitCount = reader.integer(UInt32.self) else {
            return nil
        }
        var units: [Unit] = []
        var previous = previous
        for _ in 0..<unitCount {
            guard let unit = readUnit(&reader), unit.index > previous else { return nil }
            previous = unit.index
            units.append(unit)
        }
        return units
    }

    private func readUnit(_ reader: inout Reader) -> Unit? {
        // Compared as it stands: the product of a hostile index and the unit's length need not fit.
        guard let rawIndex = reader.integer(UInt64.self), diskLength > 0,
            rawIndex <= UInt64((diskLength - 1) / Int64(unitLength)), let pieceCount = reader.integer(UInt32.self)
        else { return nil }
        var unit = Unit(index: Int(rawIndex), pieces: [], digests: [], missing: [])
        let start = Int64(unit.index) * Int64(unitLength)
        let count = Int(min(Int64(unitLength), diskLength - start))
        var end = 0
        for _ in 0..<pieceCount {
            guard let offset = reader.integer(UInt32.self), let raw = reader.integer(UInt32.self) else { return nil }
            let piece = Unit.Piece(
                offset: Int(offset), count: Int(raw & 0x3fff_ffff), isPacked: raw & 1 << 31 != 0,
                isZero: raw & 1 << 30 != 0)
            guard piece.offset >= end, piece.count > 0, piece.count <= unitLength - min(piece.offset, unitLength)
            else { return nil }
            end = piece.offset + piece.count
            unit.pieces.append(piece)
        }
        guard let chunks = reader.integer(UInt8.self), Int(chunks) == Chunk.count(length: Int64(count)) else {
            return nil
        }
        for _ in 0..<chunks {
            switch reader.integer(UInt8.self) {
            case 0: unit.digests.append(nil)
            case 1:
                guard let digest = reader.digest() else { return nil }
                unit.digests.append(digest)
            default: return nil
            }
        }
        guard let missingCount = reader.integer(UInt32.self) else { return nil }
        var position = start
        for _ in 0..<missingCount {
            guard let offset = reader.integer(UInt64.self), let length = reader.integer(UInt64.self),
                offset >= UInt64(position), offset < UInt64(start) + UInt64(count), length > 0,
                length <= UInt64(start) + UInt64(count) - offset
            else { return nil }
            unit.missing.append(ByteRange(offset: Int64(offset), length: Int64(length)))
            position = Int64(offset + length)
        }
        return unit
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { buffer in
            UInt32(
                truncatingIfNeeded: crc32(
                    0, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(buffer.count)))
        }
    }

    /// Reads fields one behind the other, nil at the end.
    private struct Reader {
        let bytes: [UInt8]
        var position: Int
        let end: Int

        mutating func integer<Integer: FixedWidthInteger>(_: Integer.Type) -> Integer? {
            let size = Integer.bitWidth / 8
            guard end - position >= size else { return nil }
            defer { position += size }
            return bytes.littleEndian(at: position, as: Integer.self)
        }

        mutating func digest() -> Digest? {
            guard end - position >= Digest.byteCount else { return nil }
            defer { position += Digest.byteCount }
            return Digest(bytes: bytes[position..<position + Digest.byteCount])
        }
    }
}
