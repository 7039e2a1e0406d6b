// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib

/// Header of a chunk file, which holds the digests of one disk's chunks.
///
/// All integers are little-endian.
///
///     offset size  field
///          0    8  magic, the bytes "CCCHUNKS"
///          8    2  major version: 1
///         10    2  minor version: 0
///         12    4  chunk size in bytes: 1048576
///         16   16  clone UUID, as in the manifest, in RFC 9562 byte order
///         32    8  length of the disk in bytes
///         40    8  number of chunks: length / chunk size, rounded up
///         48    8  number of chunks in state data
///         56    8  number of chunks in state lost
///         64   32  content digest of the disk
///         96   28  reserved, zero
///        124    4  CRC-32 (zlib's) of bytes 0 to 123
///        128    m  state of each chunk, 2 bits, four to a byte, the lowest bits first; m = number of chunks / 4,
///                  rounded up; unused bits zero. 0 zero, 1 data, 2 lost, 3 reserved
///    128 + m 32n  SHA-256 of each chunk in state data or lost, ascending; n = data + lost
///
/// The header is written last: a file without magic is unfinished.
public struct ChunkFileHeader: Sendable, Hashable {
    /// Length of the header in bytes.
    public static let byteCount = 128
    /// The version written, and the newest that is read.
    public static let version = FormatVersion(major: 1, minor: 0)
    /// Longest disk that a chunk file describes, in bytes: 2^53, so that JSON numbers hold it exactly.
    public static let maximumDiskLength: Int64 = 1 << 53
    private static let magic = Array("CCCHUNKS".utf8)

    /// The clone that the file belongs to: 16 bytes.
    public var cloneUUID: [UInt8]
    /// Length of the disk in bytes.
    public var diskLength: Int64
    /// Number of chunks that hold content.
    public var dataChunks: Int
    /// Number of chunks that are lost.
    public var lostChunks: Int
    /// Content digest of the disk.
    public var contentDigest: Digest

    /// Makes a header; `cloneUUID` has 16 bytes.
    public init(cloneUUID: [UInt8], diskLength: Int64, dataChunks: Int, lostChunks: Int, contentDigest: Digest) {
        self.cloneUUID = cloneUUID
        self.diskLength = diskLength
        self.dataChunks = dataChunks
        self.lostChunks = lostChunks
        self.contentDigest = contentDigest
    }

    /// Number of chunks of the disk.
    public var chunkCount: Int { Chunk.count(length: diskLength) }
    /// Length of the state map in bytes.
    public var mapLength: Int { Self.mapLength(diskLength: diskLength) }
    /// Byte at which the digests begin.
    public var digestsOffset: Int64 { Int64(Self.byteCount + mapLength) }
    /// Length of the whole file in bytes.
    public var fileLength: Int64 { digestsOffset + Int64(dataChunks + lostChunks) * Int64(Digest.byteCount) }

    /// Returns the length in bytes of the state map for a disk of `diskLength` bytes.
    public static func mapLength(diskLength: Int64) -> Int { (Chunk.count(length: diskLength) + 3) / 4 }

    /// Returns the 128 bytes.
    public func encoded() -> [UInt8] {
        var bytes = Self.magic
        bytes.appendLittleEndian(UInt16(Self.version.major))
        bytes.appendLittleEndian(UInt16(Self.version.minor))
        bytes.appendLittleEndian(UInt32(Chunk.size))
        bytes += cloneUUID
        bytes.appendLittleEndian(UInt64(diskLength))
        bytes.appendLittleEndian(UInt64(chunkCount))
        bytes.appendLittleEndian(UInt64(dataChunks))
        bytes.appendLittleEndian(UInt64(lostChunks))
        bytes += contentDigest.bytes
        bytes += [UInt8](repeating: 0, count: 124 - bytes.count)
        bytes.appendLittleEndian(Self.checksum(bytes))
        return bytes
    }

    /// Reads the header from the first 128 `bytes` of a file of `fileLength` bytes named `file`.
    ///
    /// - Throws: `FormatError` for anything that the layout does not allow.
    public init(decoding bytes: [UInt8], fileLength: Int64, file: String) throws(FormatError) {
        func damaged(_ reason: String) -> FormatError { .damaged(file: file, reason: reason) }
        guard bytes.count >= Self.byteCount else { throw damaged("it is shorter than its header") }
        guard Array(bytes[0..<8]) == Self.magic else { throw damaged("it does not begin with CCCHUNKS") }
        guard bytes.littleEndian(at: 124, as: UInt32.self) == Self.checksum(Array(bytes[0..<124])) else {
            throw damaged("the checksum of its header is wrong")
        }
        let version = FormatVersion(
            major: Int(bytes.littleEndian(at: 8, as: UInt16.self)),
            minor: Int(bytes.littleEndian(at: 10, as: UInt16.self)))
        guard version.major == Self.version.major else {
            throw .unsupportedVersion(file: file, version: version, supported: Self.version)
        }
        guard bytes.littleEndian(at: 12, as: UInt32.self) == UInt32(Chunk.size) else {
            throw damaged("its chunk size is not \(Chunk.size)")
        }
        let length = bytes.littleEndian(at: 32, as: UInt64.self)
        guard length <= UInt64(Self.maximumDiskLength) else { throw damaged("a disk of \(length) bytes is too long") }
        let data = bytes.littleEndian(at: 48, as: UInt64.self)
        let lost = bytes.littleEndian(at: 56, as: UInt64.self)
        let count = UInt64(Chunk.count(length: Int64(length)))
        guard bytes.littleEndian(at: 40, as: UInt64.self) == count, data <= count, lost <= count - data else {
            throw damaged("its chunk counts contradict the disk's length")
        }
        guard let digest = Digest(bytes: bytes[64..<96]) else { throw damaged("no content digest") }
        self.init(
            cloneUUID: Array(bytes[16..<32]), diskLength: Int64(length), dataChunks: Int(data),
            lostChunks: Int(lost), contentDigest: digest)
        guard fileLength == self.fileLength else {
            throw damaged("it has \(fileLength) bytes where its header promises \(self.fileLength)")
        }
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32(0, bytes, UInt32(bytes.count)))
    }
}

extension [UInt8] {
    mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    func littleEndian<Integer: FixedWidthInteger>(at offset: Int, as: Integer.Type) -> Integer {
        Integer(
            littleEndian: withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Integer.self) })
    }
}
