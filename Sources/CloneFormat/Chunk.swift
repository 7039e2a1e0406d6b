// SPDX-License-Identifier: GPL-3.0-or-later

internal import Crypto

/// The unit of digests, resume and re-reading: 1 MiB of guest-visible content.
public enum Chunk {
    /// Length of every chunk but the last, in bytes.
    public static let size = 1 << 20

    /// Returns how many chunks a disk of `length` bytes has.
    public static func count(length: Int64) -> Int {
        Int((length + Int64(size) - 1) / Int64(size))
    }

    /// Returns the length in bytes of chunk `index` of a disk of `length` bytes.
    public static func length(of index: Int, diskLength length: Int64) -> Int {
        Int(min(Int64(size), length - Int64(index) * Int64(size)))
    }
}

/// What is known of one chunk, as the two bits that the chunk file stores of it.
public enum ChunkState: UInt8, Sendable, Hashable {
    /// Every byte is zero; its digest is implied.
    case zero = 0
    /// Holds content; its digest is stored.
    case data = 1
    /// Part of it could not be read from the source; the digest stored is of the image's bytes, filler included.
    case lost = 2
}

/// Computes a disk's content digest: a root over its length and its chunk digests in order.
///
/// SHA-256 over: the 16 bytes `coldclone-disk/1`, the length in bytes (64 bits, little-endian), the chunk size (32
/// bits, little-endian), then 32 bytes a chunk. These are the chunk's SHA-256 for `data`, the SHA-256 of as many zeros
/// for `zero`, and the SHA-256 with every bit inverted for `lost`, so that a loss never passes for content.
public struct ContentDigest: Sendable {
    private var hash = SHA256()
    private let diskLength: Int64
    private var nextChunk = 0

    private static let zerosAtOnce = 1024
    /// As many digests of full chunks of zeros, one behind the other.
    private static let zeroDigests: [UInt8] = {
        let digest = Digest.ofZeros(count: Chunk.size).bytes
        return Array(repeatElement(digest, count: zerosAtOnce).joined())
    }()

    /// Begins the root of a disk of `diskLength` bytes.
    public init(diskLength: Int64) {
        self.diskLength = diskLength
        hash.update(data: Array("coldclone-disk/1".utf8))
        withUnsafeBytes(of: UInt64(diskLength).littleEndian) { hash.update(bufferPointer: $0) }
        withUnsafeBytes(of: UInt32(Chunk.size).littleEndian) { hash.update(bufferPointer: $0) }
    }

    /// Appends the next chunk, which holds content or is lost.
    public mutating func append(_ digest: Digest, lost: Bool = false) {
        hash.update(data: lost ? digest.bytes.map { ~$0 } : digest.bytes)
        nextChunk += 1
    }

    /// Appends chunks of zeros up to, not including, chunk `end`.
    public mutating func appendZeros(upTo end: Int) {
        let fullEnd = min(end, Int(diskLength / Int64(Chunk.size)))
        while nextChunk < fullEnd {
            // Many at a time: an empty disk of 8 TiB has eight million.
            let count = min(fullEnd - nextChunk, Self.zerosAtOnce)
            Self.zeroDigests.withUnsafeBytes { digests in
                hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: digests[..<(count * Digest.byteCount)]))
            }
            nextChunk += count
        }
        if nextChunk < end {
            let length = Chunk.length(of: nextChunk, diskLength: diskLength)
            hash.update(data: Digest.ofZeros(count: length).bytes)
            nextChunk += 1
        }
    }

    /// Returns the root; chunks not appended are zeros.
    public consuming func finish() -> Digest {
        appendZeros(upTo: Chunk.count(length: diskLength))
        return Digest(hash.finalize())
    }
}
