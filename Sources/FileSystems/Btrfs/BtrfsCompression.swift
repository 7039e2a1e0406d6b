// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib
internal import CZstd

/// Unpacks compressed extents of btrfs.
enum BtrfsCompression {
    /// Longest extent, packed or not: btrfs makes them of 128 KiB.
    static let maximumLength = 1 << 20

    /// Returns up to `length` bytes of a zlib stream, zeros behind its end; nil when it is damaged.
    ///
    /// What follows the stream in its last sector is no part of it.
    static func inflate(_ stored: [UInt8], length: Int) -> [UInt8]? {
        guard length > 0, length <= maximumLength else { return nil }
        var content = [UInt8](repeating: 0, count: length)
        var count = uLongf(length)
        var used = uLong(stored.count)
        let code = uncompress2(&content, &count, stored, &used)
        // Z_BUF_ERROR: there is more than was asked for.
        return code == Z_OK || (code == Z_BUF_ERROR && count == uLongf(length)) ? content : nil
    }

    /// Returns up to `length` bytes of a zstd frame, zeros behind its end; nil when it is damaged.
    static func zstd(_ stored: [UInt8], length: Int) -> [UInt8]? {
        guard length > 0, length <= maximumLength, let context = ZSTD_createDCtx() else { return nil }
        defer { ZSTD_freeDCtx(context) }
        var content = [UInt8](repeating: 0, count: length)
        let isWhole = content.withUnsafeMutableBytes { output in
            stored.withUnsafeBytes { input in
                var from = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
                var to = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
                while to.pos < to.size {
                    let (before, after) = (from.pos, to.pos)
                    let code = ZSTD_decompressStream(context, &to, &from)
                    if ZSTD_isError(code) != 0 { return false }
                    // 0: the frame is whole; no progress: it is cut short.
                    if code == 0 { return true }
                    if from.pos == before, to.pos == after { return false }
                }
                return true
            }
        }
        return isWhole ? content : nil
    }
}
