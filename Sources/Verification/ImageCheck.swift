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

    /// Chunks that a thread reads before it hashes them: two go at the same time.
    private static let chunksAtOnce = 2

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
        let buffer = AlignedBuffer(count: Self.chunksAtOnce * Chunk.size)
        while true {
            let run = cursor.withLock { $0.next(cancellation) }
            guard !run.isEmpty else { return }
            for start in stride(from: 0, to: run.count, by: Self.chunksAtOnce) {
                guard !cancellation.isCancelled else { return }
                check(run[start..<min(start + Self.chunksAtOnce, run.count)], buffer)
            }
        }
    }

    /// Reads a few chunks, and holds each against what it must be.
    private func check(_ run: ArraySlice<ChunkCursor.Work>, _ buffer: AlignedBuffer) {
        var hashed: [(chunk: Int, digest: Digest, bytes: UnsafeRawBufferPointer)] = []
        for (place, work) in run.enumerated() {
            let memory = buffer.bytes.part(place * Chunk.size, length(of: work.chunk))
            guard let bytes = read(work.chunk, into: memory) else { continue }
            if let digest = work.digest {
                hashed.append((work.chunk, digest, bytes))
            } else {
                checkZeros(work.chunk, bytes)
            }
        }
        checked.wrappingAdd(hashed.count, ordering: .relaxed)
        for (work, digest) in zip(hashed, Digest.each(of: hashed.map(\.bytes))) where digest != work.digest {
            report(.digestMismatch, work.chunk, offset(of: work.chunk), Int64(work.bytes.count)) {
                "\($0) is not what was captured"
            }
        }
    }

    private func offset(of chunk: Int) -> Int64 { Int64(chunk) * Int64(Chunk.size) }

    private func length(of chunk: Int) -> Int { Chunk.length(of: chunk, diskLength: disk.lengthInBytes) }

    /// Returns the content of a chunk, read into `memory`; nil when it cannot be read.
    private func read(_ chunk: Int, into memory: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer? {
        defer { progress.addRead(Int64(memory.count)) }
        do throws(BlockError) {
            try image.read(into: memory, at: offset(of: chunk))
            return UnsafeRawBufferPointer(memory)
        } catch {
            report(.unreadable, chunk, offset(of: chunk), Int64(memory.count)) {
                "\($0) cannot be read: \(error.description)"
            }
            return nil
        }
    }

    private func checkZeros(_ chunk: Int, _ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isAllZero else {
            zeros.wrappingAdd(1, ordering: .relaxed)
            return
        }
        let range = Self.nonZeroRange(bytes)
        report(.notZero, chunk, offset(of: chunk) + Int64(range.lowerBound), Int64(range.count)) {
            "\($0) should be zeros"
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
