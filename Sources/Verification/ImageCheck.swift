// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization

/// Reads an image on several threads and holds every chunk against the chunk file.
final class ImageCheck: Sendable {
    /// What was found out.
    struct Result {
        /// The image's own content digest; nil when a chunk differs or was not checked.
        var contentDigest: Digest?
        /// Chunks whose digest was recomputed.
        var checkedChunks: Int
        /// Chunks that are zeros, as promised.
        var zeroChunks: Int
    }

    private let image: any ImageReader
    private let disk: DiskRecord
    private let cursor: Mutex<ChunkCursor>
    private let log: ProblemLog
    private let progress: VerificationProgress
    private let cancellation: CancellationFlag
    private let checked = Atomic<Int>(0)
    private let zeros = Atomic<Int>(0)
    private let faults = Atomic<Int>(0)

    /// Takes the opened image and the chunk file of `disk`; where they end first, the check ends.
    init(
        image: any ImageReader, disk: DiskRecord, chunkFile: (source: FileSource, header: ChunkFileHeader),
        log: ProblemLog, progress: VerificationProgress, cancellation: CancellationFlag
    ) {
        self.image = image
        self.disk = disk
        self.log = log
        self.progress = progress
        self.cancellation = cancellation
        cursor = Mutex(
            ChunkCursor(
                image: image, source: chunkFile.source, header: chunkFile.header,
                end: min(Chunk.count(length: image.lengthInBytes), chunkFile.header.chunkCount), progress: progress))
    }

    /// Reads to the end on `threads` threads.
    ///
    /// - Throws: `BlockError` when not a single thread could be started.
    func run(threads: Int) throws(BlockError) -> Result {
        try ParallelWork.run(threads: max(threads, 1)) { _ in self.work() }
        let (skipped, digest, failure) = cursor.withLock { ($0.skippedChunks, $0.contentDigest, $0.failure) }
        switch failure {
        case .io(let error)?:
            log.add(Problem(.unreadable, error.description, disk: disk.name, file: disk.chunks.file))
        case .format(let error)?:
            log.add(Problem(.chunkFile, error.description, disk: disk.name, file: disk.chunks.file))
        case nil: break
        }
        return Result(
            contentDigest: faults.load(ordering: .relaxed) == 0 ? digest : nil,
            checkedChunks: checked.load(ordering: .relaxed), zeroChunks: zeros.load(ordering: .relaxed) + skipped)
    }

    private func work() {
        let buffer = AlignedBuffer(count: Chunk.size)
        while true {
            let run = cursor.withLock { $0.next(cancellation) }
            guard !run.isEmpty else { return }
            for work in run {
                guard !cancellation.isCancelled else { return }
                check(work, buffer)
            }
        }
    }

    private func check(_ work: ChunkCursor.Work, _ buffer: AlignedBuffer) {
        let offset = Int64(work.chunk) * Int64(Chunk.size)
        let length = Chunk.length(of: work.chunk, diskLength: disk.lengthInBytes)
        let content = buffer.prefix(length)
        defer { progress.addRead(Int64(length)) }
        do throws(BlockError) {
            try image.read(into: content, at: offset)
        } catch {
            report(.unreadable, work.chunk, offset, Int64(length)) { "\($0) cannot be read: \(error.description)" }
            return
        }
        let bytes = UnsafeRawBufferPointer(content)
        guard let digest = work.digest else {
            if bytes.isAllZero {
                zeros.wrappingAdd(1, ordering: .relaxed)
            } else {
                let range = Self.nonZeroRange(bytes)
                report(.notZero, work.chunk, offset + Int64(range.lowerBound), Int64(range.count)) {
                    "\($0) should be zeros"
                }
            }
            return
        }
        checked.wrappingAdd(1, ordering: .relaxed)
        if Digest(of: bytes) != digest {
            report(.digestMismatch, work.chunk, offset, Int64(length)) { "\($0) is not what was captured" }
        }
    }

    private func report(
        _ kind: Problem.Kind, _ chunk: Int, _ offset: Int64, _ length: Int64, _ message: (String) -> String
    ) {
        faults.wrappingAdd(1, ordering: .relaxed)
        let cluster = firstCluster(offset, length)
        let place = "chunk \(chunk) of \(disk.name) (bytes \(offset) to \(offset + length - 1))"
        let where_ = cluster.map { ", stored from byte \($0) of \(disk.image.file)" } ?? ""
        log.add(
            Problem(
                kind, message(place) + where_, disk: disk.name, file: disk.image.file, chunk: chunk, offset: offset,
                length: length, clusterOffset: cluster))
    }

    /// Returns the byte in a qcow2 file of the first cluster of the range that is stored at all.
    private func firstCluster(_ offset: Int64, _ length: Int64) -> Int64? {
        guard image.format == .qcow2 else { return nil }
        let step = Int64(disk.image.clusterSizeInBytes ?? 65_536)
        for place in stride(from: offset, to: offset + length, by: Int(max(step, 512))) {
            if let cluster = try? image.clusterOffset(of: place) { return cluster }
        }
        return nil
    }

    private static func nonZeroRange(_ bytes: UnsafeRawBufferPointer) -> Range<Int> {
        let first = bytes.firstIndex { $0 != 0 } ?? 0
        return first..<(bytes.lastIndex { $0 != 0 } ?? first) + 1
    }
}
