// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization

/// Captures one disk in one pass: threads that each read a unit, check it for zeros, hash, compress and write it.
///
/// Only the decision where a unit is stored is taken in order, at the turnstile; memory is a unit a thread.
final class DiskCapture: Sendable {
    /// What a captured disk is like.
    struct Result: Sendable {
        var header: ChunkFileHeader
        var summary: ImageSummary
        var bytesRead: Int64
        var skippedTotal: SkippedTotal
        var skipped: [SkippedExtent]
    }

    private let source: any BlockSource
    private let writer: any ImageWriter
    private let progress: CaptureProgress
    private let cancellation: CancellationFlag
    private let threads: Int
    private let turnstile: Turnstile
    private let cursor: Mutex<UnitCursor>
    private let chunks: Mutex<ChunkFileWriter>
    private let failure = Mutex<CaptureError?>(nil)
    private let folder: String

    init(
        source: any BlockSource, writer: any ImageWriter, chunkFile: ChunkFileWriter, options: CaptureOptions,
        folder: String, progress: CaptureProgress, cancellation: CancellationFlag
    ) {
        self.source = source
        self.writer = writer
        self.progress = progress
        self.cancellation = cancellation
        self.folder = folder
        threads = options.threadCount(unitLength: writer.unitLength)
        turnstile = Turnstile(lanes: threads)
        cursor = Mutex(UnitCursor(source: source, unitLength: writer.unitLength))
        chunks = Mutex(chunkFile)
    }

    /// Runs to the end, and returns when image and chunk file are on stable storage.
    func run() throws(CaptureError) -> Result {
        do throws(BlockError) {
            try ParallelWork.run(threads: threads) { _ in
                do throws(CaptureError) {
                    try self.work()
                } catch {
                    self.fail(error)
                }
            }
        } catch {
            throw .io(error)
        }
        if let error = failure.withLock({ $0 }) { throw error }
        if cancellation.isCancelled { throw .cancelled(folder: folder) }
        let summary: ImageSummary
        do throws(ImageError) { summary = try writer.finish() } catch { throw .image(error) }
        let header = try chunks.withLock { chunks in
            captureResult { () throws(BlockError) in try chunks.finish() }
        }.get()
        let (bytesRead, total, skipped) = cursor.withLock { ($0.bytesToRead, $0.skippedTotal, $0.skipped) }
        return Result(
            header: header, summary: summary, bytesRead: bytesRead, skippedTotal: total, skipped: skipped)
    }

    private func work() throws(CaptureError) {
        let unit: ImageUnit
        do throws(ImageError) { unit = try writer.makeUnit() } catch { throw .image(error) }
        while let next = try nextUnit() {
            try fill(unit, from: next)
            let digests = chunkDigests(unit)
            do throws(ImageError) { try writer.prepare(unit) } catch { throw .image(error) }
            guard turnstile.enter(next.ticket) else { return }
            try place(unit, digests)
            turnstile.leave()
            do throws(ImageError) { try writer.write(unit) } catch { throw .image(error) }
        }
    }

    private func nextUnit() throws(CaptureError) -> UnitCursor.Unit? {
        guard !cancellation.isCancelled else { throw .cancelled(folder: folder) }
        guard failure.withLock({ $0 == nil }) else { return nil }
        return try cursor.withLock { cursor in
            captureResult { () throws(BlockError) in
                let before = cursor.skippedTotal.lengthInBytes
                let unit = try cursor.next()
                progress.addSkipped(cursor.skippedTotal.lengthInBytes - before)
                return unit
            }
        }.get()
    }

    private func fill(_ unit: ImageUnit, from next: UnitCursor.Unit) throws(CaptureError) {
        unit.offset = next.offset
        unit.count = next.count
        let content = unit.content.bytes
        var filled = 0
        for range in next.ranges {
            let start = Int(range.offset - next.offset)
            content.part(filled, start - filled).clear()
            do throws(BlockError) {
                try source.read(into: content.part(start, Int(range.length)), at: range.offset)
            } catch {
                throw .io(error)
            }
            filled = start + Int(range.length)
            progress.addRead(range.length)
        }
        content.part(filled, next.count - filled).clear()
    }

    /// Returns the digest of each chunk in the unit, nil for one of zeros.
    private func chunkDigests(_ unit: ImageUnit) -> [Digest?] {
        stride(from: 0, to: unit.count, by: Chunk.size).map { start in
            let chunk = UnsafeRawBufferPointer(unit.content.bytes.part(start, min(Chunk.size, unit.count - start)))
            return chunk.isAllZero ? nil : Digest(of: chunk)
        }
    }

    private func place(_ unit: ImageUnit, _ digests: [Digest?]) throws(CaptureError) {
        do throws(ImageError) { try writer.place(unit) } catch { throw .image(error) }
        let first = Int(unit.offset / Int64(Chunk.size))
        try chunks.withLock { chunks in
            captureResult { () throws(BlockError) in
                for (index, digest) in digests.enumerated() {
                    if let digest { try chunks.append(digest, at: first + index) }
                }
            }
        }.get()
    }

    private func fail(_ error: CaptureError) {
        failure.withLock { if $0 == nil { $0 = error } }
        turnstile.shut()
    }

    /// Turns a throwing body into a value that may leave a lock.
    private func captureResult<Value: Sendable>(
        _ body: () throws(BlockError) -> Value
    ) -> Swift.Result<Value, CaptureError> {
        do throws(BlockError) { return .success(try body()) } catch { return .failure(.io(error)) }
    }
}
