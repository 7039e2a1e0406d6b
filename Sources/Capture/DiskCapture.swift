// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization

/// Captures one disk in one pass: threads that each have a unit read, check it for zeros, hash, compress and write it.
///
/// Only the decision where a unit is stored is taken in order, at the turnstile; memory is a unit a thread.
final class DiskCapture: Sendable {
    /// What a captured disk is like.
    struct Result: Sendable {
        var header: ChunkFileHeader
        var summary: ImageSummary
        var bytesRead: Int64
        /// Bytes with content that are the same in the base.
        var equalBytes: Int64
        var skipped: SkippedList
        /// What could not be read, ascending.
        var unreadable: [ByteRange]
    }

    /// Places kept for a later look; a disk with more is beyond a clone.
    private static let maximumDeferredUnits = 1 << 18

    /// What the first pass found out about the source's health.
    private struct Health {
        var deferred: [DeferredUnit] = []
        var knownGood: ByteRange?
    }

    private let source: any BlockSource
    private let writer: any ImageWriter
    private let progress: CaptureProgress
    private let cancellation: CancellationFlag
    private let threads: Int
    private let turnstile: Turnstile
    private let checkpoints: CheckpointLog?
    private let cursor: Mutex<UnitCursor>
    private let chunks: Mutex<ChunkFileWriter>
    private let failure = Mutex<CaptureError?>(nil)
    private let health = Mutex(Health())
    private let options: CaptureOptions
    private let folder: String
    private let pacer: Pacer?
    private let crew: ReadCrew
    /// Threads that read for the others; none for a single one.
    private let readers: Int
    private let base: BaseDisk?
    /// Bytes with content that are the same in the base.
    private let equalBytes: Atomic<Int64>
    /// Threads that are about to give content to the target, or wait until it has it.
    private let writing = Atomic<Int>(0)

    /// Prepares the capture of a disk, behind `resumed` where an earlier run has left something.
    ///
    /// - Parameter checkpoints: keeps the journal; nil for measurements.
    init(
        disk: DiskExtents, writer: any ImageWriter, chunkFile: ChunkFileWriter, options: CaptureOptions,
        folder: String, progress: CaptureProgress, cancellation: CancellationFlag, checkpoints: CheckpointLog? = nil,
        resumed: ResumedDisk? = nil, pacer: Pacer? = nil, base: BaseDisk? = nil, parallelReads: Int? = nil
    ) {
        self.base = base
        equalBytes = Atomic(resumed?.equalBytes ?? 0)
        self.pacer = pacer
        self.checkpoints = checkpoints
        source = disk.source
        self.writer = writer
        self.progress = progress
        self.cancellation = cancellation
        self.folder = folder
        self.options = options
        threads = options.threadCount(unitLength: writer.unitLength)
        // Were all units to be read at once, all would be there at about the same time, with a disk that waits while they
        // are worked on: half of them are on their way from the source, half to the target.
        let width = min(parallelReads ?? threads, (threads + 1) / 2)
        readers = threads == 1 ? 0 : width
        crew = ReadCrew(width: width)
        turnstile = Turnstile(lanes: threads, first: resumed?.unitCount ?? 0)
        cursor = Mutex(resumed?.cursor ?? UnitCursor(disk, unitLength: writer.unitLength))
        chunks = Mutex(chunkFile)
        health.withLock {
            $0.deferred = resumed?.deferred ?? []
            $0.knownGood = resumed?.knownGood
        }
    }

    /// Runs to the end, and returns when image and chunk file are on stable storage.
    func run() throws(CaptureError) -> Result {
        do throws(BlockError) {
            // The first one first: what it starts reads for itself while nobody serves.
            try ParallelWork.run(threads: 1 + readers) { index in
                guard index == 0 else {
                    ParallelWork.takePrecedence()
                    return self.crew.serve(self.fill)
                }
                self.runWork()
                self.crew.dismiss(self.readers)
            }
        } catch {
            throw .io(error)
        }
        if let error = failure.withLock({ $0 }) { throw error }
        if cancellation.isCancelled { throw .cancelled(folder: folder) }
        let unreadable = try recover()
        let summary: ImageSummary
        do throws(ImageError) { summary = try writer.finish() } catch { throw .image(error) }
        let header = try chunks.withLock { chunks in
            captureResult { () throws(BlockError) in try chunks.finish() }
        }.get()
        let (bytesRead, skipped) = cursor.withLock { ($0.bytesToRead, $0.skipped) }
        return Result(
            header: header, summary: summary, bytesRead: bytesRead - unreadable.totalLength,
            equalBytes: equalBytes.load(ordering: .relaxed),
            skipped: skipped, unreadable: unreadable.ranges)
    }

    private func runWork() {
        do throws(BlockError) {
            try ParallelWork.run(threads: threads) { _ in
                do throws(CaptureError) {
                    try self.work()
                } catch {
                    self.fail(error)
                }
            }
        } catch {
            fail(.io(error))
        }
    }

    /// Reads again what could not be read, settles the chunks concerned, and returns what is lost.
    private func recover() throws(CaptureError) -> RangeList {
        var (units, knownGood) = health.withLock { ($0.deferred, $0.knownGood) }
        var lost = RangeList()
        guard !units.isEmpty else { return lost }
        units.sort { $0.place.offset < $1.place.offset }
        try DamageRecovery(
            source: source, writer: writer, options: options, progress: progress, cancellation: cancellation,
            folder: folder, knownGood: knownGood
        ).run(&units)
        let unit: ImageUnit
        do throws(ImageError) { unit = try writer.makeUnit() } catch { throw .image(error) }
        for deferred in units {
            do throws(ImageError) { try writer.readBack(deferred.place, into: unit) } catch { throw .image(error) }
            try settle(deferred, unit)
            for range in deferred.missing { lost.append(range) }
        }
        return lost
    }

    /// Stores the digests of a unit that was deferred: of the image's bytes, lost where anything is missing.
    private func settle(_ deferred: DeferredUnit, _ unit: ImageUnit) throws(CaptureError) {
        let first = Int(unit.offset / Int64(Chunk.size))
        for (index, start) in stride(from: 0, to: unit.count, by: Chunk.size).enumerated() {
            let count = min(Chunk.size, unit.count - start)
            let digest = Digest(of: UnsafeRawBufferPointer(unit.content.bytes.part(start, count)))
            let chunk = unit.offset + Int64(start)..<unit.offset + Int64(start + count)
            let isLost = deferred.missing.contains { chunk.overlaps($0.offset..<$0.offset + $0.length) }
            try chunks.withLock { chunks in
                captureResult { () throws(BlockError) in
                    try chunks.settle(digest, lost: isLost, at: first + index, slot: deferred.slot + index)
                }
            }.get()
        }
    }

    private func work() throws(CaptureError) {
        let unit: ImageUnit
        do throws(ImageError) { unit = try writer.makeUnit() } catch { throw .image(error) }
        let order = ReadCrew.Order(unit)
        while true {
            crew.fill(order, fill)
            guard let (next, missing) = try order.answer.get() else { return }
            unit.storesAll = !missing.isEmpty
            // Half of the threads wait for the target: what is compressed now costs nobody time.
            unit.skipsCompression = options.adaptsCompression && writing.load(ordering: .relaxed) * 2 < threads
            let digests = chunkDigests(unit)
            unit.isKnownZero = digests.allSatisfy { $0 == nil }
            try compare(unit, digests)
            do throws(ImageError) { try writer.prepare(unit) } catch { throw .image(error) }
            guard turnstile.enter(next.ticket) else { return }
            let slot = try place(unit, digests)
            turnstile.leave()
            writing.add(1, ordering: .relaxed)
            progress.beginWrite()
            defer {
                writing.subtract(1, ordering: .relaxed)
                progress.endWrite()
            }
            do throws(ImageError) { try writer.write(unit) } catch { throw .image(error) }
            try note(unit, digests, missing, ticket: next.ticket)
            if let slot, !missing.isEmpty {
                try postpone(DeferredUnit(place: unit.place, slot: slot, missing: missing))
            }
        }
    }

    /// Takes the next unit in the order of the disk and reads it; an answer of nil is the disk's end.
    private func fill(_ order: ReadCrew.Order) {
        do throws(CaptureError) {
            guard let next = try nextUnit() else { return order.answer = .success(nil) }
            order.answer = .success((next, try fill(order.unit, from: next)))
        } catch {
            order.answer = .failure(error)
        }
    }

    /// Notes what of the unit is the same in the base.
    private func compare(_ unit: ImageUnit, _ digests: [Digest?]) throws(CaptureError) {
        guard let base else { return }
        let first = Int(unit.offset / Int64(Chunk.size))
        let states: [BackingState]
        do throws(BlockError) { states = try base.states(from: first, digests) } catch { throw .io(error) }
        unit.backing = base.kind == .overlay ? states : []
        unit.donor = base.shared
        unit.sharedChunks = unit.storesAll ? [] : states.map { $0 == .equal }
        // What could not be read whole is stored whole.
        guard !unit.storesAll else { return }
        equalBytes.wrappingAdd(base.equalBytes(from: first, digests, states), ordering: .relaxed)
    }

    private func nextUnit() throws(CaptureError) -> UnitCursor.Unit? {
        guard !cancellation.isCancelled else { throw .cancelled(folder: folder) }
        guard failure.withLock({ $0 == nil }) else { return nil }
        return try cursor.withLock { cursor in
            captureResult { () throws(BlockError) in
                let before = cursor.skipped.lengthInBytes
                let unit = try cursor.next()
                progress.addSkipped(cursor.skipped.lengthInBytes - before)
                return unit
            }
        }.get()
    }

    /// Tells the journal of a unit that is written.
    private func note(
        _ unit: ImageUnit, _ digests: [Digest?], _ missing: [ByteRange], ticket: Int
    ) throws(CaptureError) {
        guard let checkpoints else { return }
        let record = DiskJournal.record(
            unit.placement, unitLength: writer.unitLength, digests: digests, missing: missing)
        do throws(BlockError) {
            try checkpoints.finish(record, ticket: ticket, count: unit.count)
        } catch {
            throw .io(error)
        }
    }

    /// Keeps a unit for a second look, when all others are safe.
    private func postpone(_ unit: DeferredUnit) throws(CaptureError) {
        let (count, knownGood) = health.withLock { health in
            health.deferred.append(unit)
            return (health.deferred.count, health.knownGood)
        }
        guard count < Self.maximumDeferredUnits else {
            throw .invalid(
                "more than \(count) places of \(source.name) cannot be read", hint: "the disk is failing as a whole")
        }
        // A disk that was unplugged fails everywhere, and quickly.
        guard count % 256 == 0 else { return }
        try DamageRecovery(
            source: source, writer: writer, options: options, progress: progress, cancellation: cancellation,
            folder: folder, knownGood: knownGood
        ).checkSourceIsThere()
    }

    /// Reads a unit's content, zeros where nothing is to be read, and returns what could not be read of it.
    private func fill(_ unit: ImageUnit, from next: UnitCursor.Unit) throws(CaptureError) -> [ByteRange] {
        var missing: [ByteRange] = []
        unit.offset = next.offset
        unit.count = next.count
        let content = unit.content.bytes
        var filled = 0
        for range in next.ranges {
            let start = Int(range.offset - next.offset)
            content.part(filled, start - filled).clear()
            filled = start + Int(range.length)
            pacer?.take(range.length)
            do throws(BlockError) {
                try source.read(into: content.part(start, Int(range.length)), at: range.offset)
                progress.addRead(range.length)
            } catch {
                guard error.isUnreadableRange else { throw .io(error) }
                content.part(start, Int(range.length)).clear()
                missing.append(range)
            }
        }
        content.part(filled, next.count - filled).clear()
        if missing.isEmpty, let range = next.ranges.first {
            health.withLock { if $0.knownGood == nil { $0.knownGood = range } }
        }
        return missing
    }

    /// Returns the digest of each chunk in the unit, nil for one of zeros that needs none.
    private func chunkDigests(_ unit: ImageUnit) -> [Digest?] {
        let chunks = stride(from: 0, to: unit.count, by: Chunk.size).map { start in
            UnsafeRawBufferPointer(unit.content.bytes.part(start, min(Chunk.size, unit.count - start)))
        }
        let places = chunks.indices.filter { unit.storesAll || !chunks[$0].isAllZero }
        var digests = [Digest?](repeating: nil, count: chunks.count)
        for (place, digest) in zip(places, Digest.each(of: places.map { chunks[$0] })) { digests[place] = digest }
        return digests
    }

    /// Gives the unit its place, and returns that of its first digest.
    private func place(_ unit: ImageUnit, _ digests: [Digest?]) throws(CaptureError) -> Int? {
        do throws(ImageError) { try writer.place(unit) } catch { throw .image(error) }
        let first = Int(unit.offset / Int64(Chunk.size))
        return try chunks.withLock { chunks in
            captureResult { () throws(BlockError) in
                var slot: Int?
                for (index, digest) in digests.enumerated() {
                    guard let digest else { continue }
                    let place = try chunks.append(digest, at: first + index)
                    slot = slot ?? place
                }
                return slot
            }
        }.get()
    }

    private func fail(_ error: CaptureError) {
        // A source that waits for its target ends the wait with an error when it is told to stop: that is no failure.
        let error = cancellation.isCancelled ? CaptureError.cancelled(folder: folder) : error
        failure.withLock { if $0 == nil { $0 = error } }
        turnstile.shut()
        checkpoints?.shut()
    }

    /// Turns a throwing body into a value that may leave a lock.
    private func captureResult<Value: Sendable>(
        _ body: () throws(BlockError) -> Value
    ) -> Swift.Result<Value, CaptureError> {
        do throws(BlockError) { return .success(try body()) } catch { return .failure(.io(error)) }
    }
}
