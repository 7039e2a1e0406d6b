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
            // Checked before the conversion: a level that no 32 bits hold must not trap.
            guard (1...12).contains(level) else {
                throw .invalid("zlib has no compression level \(level): 1 to 12")
            }
            guard let compressor = libdeflate_alloc_compressor(Int32(level)) else {
                throw .invalid("no memory for the zlib compressor")
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

    /// Level used when none is asked for: the fastest whose size is about that of `qemu-img convert -c`.
    static func defaultLevel(of compression: ImageCompression) -> Int {
        switch compression {
        case .none: return 0
        case .zlib: return 1
        case .zstd: return 2
        }
    }

    /// Compresses `input` into `output` and returns the bytes used, or nil when they would not fit.
    ///
    /// What looks random is not tried: it is what takes a compressor longest, for nothing.
    func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        if Self.looksRandom(input) { return nil }
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

    /// Tells whether samples all over `input` have their bytes as evenly distributed as random ones do.
    ///
    /// Pearson's chi-squared over 16 samples of 256 bytes: 255 on average for random bytes, with a standard deviation of
    /// 23; text, code, repetition and runs of zeros are far above.
    static func looksRandom(_ input: UnsafeRawBufferPointer) -> Bool {
        let samples = 16
        let length = 256
        guard input.count >= 2 * samples * length else { return false }
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { counts in
            counts.initialize(repeating: 0)
            for sample in 0..<samples {
                let start = (input.count - length) / (samples - 1) * sample
                for byte in input.part(start, length) { counts[Int(byte)] += 1 }
            }
            let expected = UInt32(samples * length / 256)
            let squares = counts.reduce(into: UInt64(0)) { sum, count in
                let difference = UInt64(count > expected ? count - expected : expected - count)
                sum += difference * difference
            }
            // Five standard deviations: compressed files pass, hardly anything that shrinks does.
            return squares / UInt64(expected) < 370
        }
    }
}
