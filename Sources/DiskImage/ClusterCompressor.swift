// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CDeflate
internal import CZstd

/// Compresses one cluster after another; owned by one thread at a time.
final class ClusterCompressor: @unchecked Sendable {
    private enum Engine {
        case deflate(OpaquePointer)
        case zstd(OpaquePointer)
    }

    private let engine: Engine

    /// Makes a compressor, or returns nil for `.none`.
    ///
    /// - Throws: `ImageError` when the library refuses the level or lacks memory.
    init?(_ compression: ImageCompression, level: Int) throws(ImageError) {
        switch compression {
        case .none: return nil
        case .zlib:
            guard let compressor = libdeflate_alloc_compressor(Int32(level)) else {
                throw .invalid("zlib has no compression level \(level): 1 to 12")
            }
            engine = .deflate(compressor)
        case .zstd:
            guard let context = ZSTD_createCCtx() else { throw .invalid("no memory for the zstd compressor") }
            engine = .zstd(context)
            guard (1...Int(ZSTD_maxCLevel())).contains(level) else {
                throw .invalid("zstd has no compression level \(level): 1 to \(ZSTD_maxCLevel())")
            }
            ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
        }
    }

    deinit {
        switch engine {
        case .deflate(let compressor): libdeflate_free_compressor(compressor)
        case .zstd(let context): ZSTD_freeCCtx(context)
        }
    }

    /// Level used when none is asked for: the fastest whose size is within a few per cent of `qemu-img convert -c`.
    static func defaultLevel(of compression: ImageCompression) -> Int {
        switch compression {
        case .none: return 0
        case .zlib: return 3
        case .zstd: return 1
        }
    }

    /// Compresses `input` into `output` and returns the bytes used, or nil when they would not fit.
    func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        switch engine {
        case .deflate(let compressor):
            let count = libdeflate_deflate_compress(
                compressor, input.baseAddress, input.count, output.baseAddress, output.count)
            return count > 0 ? count : nil
        case .zstd(let context):
            let count = ZSTD_compress2(context, output.baseAddress, output.count, input.baseAddress, input.count)
            return ZSTD_isError(count) == 0 ? count : nil
        }
    }
}
