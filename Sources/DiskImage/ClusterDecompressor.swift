// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CDeflate
internal import CZstd

/// Decompresses one cluster after another; owned by one thread at a time.
final class ClusterDecompressor: @unchecked Sendable {
    private enum Engine {
        case deflate(OpaquePointer)
        case zstd(OpaquePointer)
    }

    /// Memory for a compressed cluster; its length in sectors allows for twice a cluster.
    let input: AlignedBuffer
    /// Memory for a cluster that is wanted only in part.
    let output: AlignedBuffer
    private let engine: Engine

    /// Makes a decompressor, or returns nil without memory.
    init?(isZstd: Bool, clusterSize: Int) {
        if isZstd {
            guard let context = ZSTD_createDCtx() else { return nil }
            engine = .zstd(context)
        } else {
            guard let decompressor = libdeflate_alloc_decompressor() else { return nil }
            engine = .deflate(decompressor)
        }
        input = AlignedBuffer(count: clusterSize * 2 + 512)
        output = AlignedBuffer(count: clusterSize)
    }

    deinit {
        switch engine {
        case .deflate(let decompressor): libdeflate_free_decompressor(decompressor)
        case .zstd(let context): ZSTD_freeDCtx(context)
        }
    }

    /// Fills `output` from the beginning of `input`, which may go on behind the compressed data.
    ///
    /// False when the data is damaged or does not give a whole cluster.
    func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
        switch engine {
        case .deflate(let decompressor):
            var consumed = 0
            var produced = 0
            let result = libdeflate_deflate_decompress_ex(
                decompressor, input.baseAddress, input.count, output.baseAddress, output.count, &consumed, &produced)
            return result == LIBDEFLATE_SUCCESS && produced == output.count
        case .zstd(let context):
            // Whole frames, as many as fill the cluster: streaming would allocate the window that a frame asks for.
            var (consumed, produced) = (0, 0)
            while produced < output.count {
                let rest = input.part(consumed, input.count - consumed)
                let frame = ZSTD_findFrameCompressedSize(rest.baseAddress, rest.count)
                guard ZSTD_isError(frame) == 0, frame > 0 else { return false }
                let room = output.part(produced, output.count - produced)
                let result = ZSTD_decompressDCtx(context, room.baseAddress, room.count, rest.baseAddress, frame)
                guard ZSTD_isError(result) == 0 else { return false }
                consumed += frame
                produced += result
            }
            return true
        }
    }
}
