// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Crypto

/// Digests of whole files.
enum FileDigest {
    /// Returns the SHA-256 of all of `source`.
    static func sha256(of source: FileSource) throws(BlockError) -> CloneFormat.Digest {
        var hash = SHA256()
        let buffer = AlignedBuffer(count: Chunk.size)
        var offset: Int64 = 0
        while offset < source.lengthInBytes {
            let count = Int(min(Int64(Chunk.size), source.lengthInBytes - offset))
            try source.read(into: buffer.prefix(count), at: offset)
            hash.update(bufferPointer: UnsafeRawBufferPointer(buffer.prefix(count)))
            offset += Int64(count)
        }
        return Digest(hash.finalize())
    }
}
