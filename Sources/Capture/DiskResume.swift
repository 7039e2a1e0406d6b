// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization

/// Takes up a disk where an earlier run left it: gives its units their places again, and re-reads them from the image.
struct DiskResume {
    /// What an earlier run left that is good.
    struct State {
        /// Units that are durable, re-read and found whole.
        var unitCount = 0
        /// Place on the disk of the last of them, in units; -1 when there is none.
        var lastIndex = -1
        /// Bytes of the journal that are good.
        var journalEnd = Int64(DiskJournal.headerLength)
    }

    private let file: FileSource
    private let journal: DiskJournal
    private let threads: Int
    /// The disk in an earlier clone.
    private let base: BaseDisk?
    private let cancellation: CancellationFlag

    /// Opens the journal at `path`; nil when there is none that belongs to the clone and the disk.
    init?(
        path: String, cloneUUID: [UInt8], diskLength: Int64, unitLength: Int, threads: Int,
        base: BaseDisk? = nil, cancellation: CancellationFlag
    ) {
        guard let file = try? FileSource(path, direct: .never), file.lengthInBytes >= DiskJournal.headerLength,
            let bytes = try? file.bytes(at: 0, count: DiskJournal.headerLength),
            let journal = try? DiskJournal(decodingHeader: bytes, file: path), journal.cloneUUID == cloneUUID,
            journal.diskLength == diskLength, journal.unitLength == unitLength
        else { return nil }
        self.file = file
        self.journal = journal
        self.threads = threads
        self.base = base
        self.cancellation = cancellation
    }

    /// Guest bytes a unit of the earlier run.
    var unitLength: Int { journal.unitLength }

    /// Returns how many guest bytes a unit of the journal at `path` has; nil for one that this release never writes.
    static func unitLength(ofJournal path: String) -> Int? {
        guard let file = try? FileSource(path, direct: .never), file.lengthInBytes >= DiskJournal.headerLength,
            let bytes = try? file.bytes(at: 0, count: DiskJournal.headerLength),
            let journal = try? DiskJournal(decodingHeader: bytes, file: path)
        else { return nil }
        return [1 << 20, 2 << 20, 4 << 20].contains(journal.unitLength) ? journal.unitLength : nil
    }

    /// Walks the journal's units in order; stops behind `limit` units or at the first checkpoint that is not whole.
    private struct Walk {
        let file: FileSource
        let journal: DiskJournal
        var position = Int64(DiskJournal.headerLength)
        var unitCount = 0
        var lastIndex = -1
        private var units: [DiskJournal.Unit] = []
        private var next = 0

        init(_ file: FileSource, _ journal: DiskJournal) {
            self.file = file
            self.journal = journal
        }

        /// Whether the last unit returned ended its checkpoint.
        var isAtCheckpoint: Bool { next == units.count }

        mutating func nextUnit() -> DiskJournal.Unit? {
            while next == units.count {
                guard position + 8 <= file.lengthInBytes, let prefix = try? file.bytes(at: position, count: 8),
                    let length = DiskJournal.checkpointLength(prefix), position + Int64(length) <= file.lengthInBytes,
                    let bytes = try? file.bytes(at: position, count: length),
                    let found = journal.units(ofCheckpoint: bytes, first: unitCount, previous: lastIndex)
                else { return nil }
                units = found
                next = 0
                position += Int64(length)
            }
            defer { next += 1 }
            unitCount += 1
            lastIndex = units[next].index
            return units[next]
        }
    }

    /// Re-reads what the journal promises, and returns how much of it is so: whole checkpoints only.
    ///
    /// `writer` is used up: it has given places to units that may turn out damaged.
    func verify(_ writer: any ImageWriter) throws(CaptureError) -> State {
        struct Shared {
            var walk: Walk
            var checkpoints: [State] = []
            var firstBad = Int.max
        }
        let shared = Mutex(Shared(walk: Walk(file, journal)))
        do throws(BlockError) {
            try ParallelWork.run(threads: threads) { _ in
                guard let memory = try? writer.makeUnit() else { return }
                while !cancellation.isCancelled {
                    let next: (number: Int, unit: DiskJournal.Unit, place: StoredUnit)? = shared.withLock { shared in
                        guard shared.firstBad == .max, let unit = shared.walk.nextUnit() else { return nil }
                        let number = shared.walk.unitCount - 1
                        guard let place = try? writer.replay(journal.placement(of: unit)) else {
                            shared.firstBad = min(shared.firstBad, number)
                            return nil
                        }
                        if shared.walk.isAtCheckpoint {
                            shared.checkpoints.append(
                                State(
                                    unitCount: shared.walk.unitCount, lastIndex: shared.walk.lastIndex,
                                    journalEnd: shared.walk.position))
                        }
                        return (number, unit, place)
                    }
                    guard let next else { return }
                    let isGood = (try? writer.readBack(next.place, into: memory)) != nil && holds(memory, next.unit)
                    if !isGood { shared.withLock { $0.firstBad = min($0.firstBad, next.number) } }
                }
            }
        } catch {
            throw .io(error)
        }
        return shared.withLock { shared in
            shared.checkpoints.last { $0.unitCount <= shared.firstBad } ?? State()
        }
    }

    /// Tells whether every chunk in `memory` is what the journal says; of places not read there is no saying.
    ///
    /// What is left to the base is as the base's digests say, and is not read: as little as when it was captured.
    private func holds(_ memory: ImageUnit, _ unit: DiskJournal.Unit) -> Bool {
        let states = unit.missing.isEmpty && base?.kind == .overlay ? try? states(of: unit) : []
        guard let states else { return false }
        var chunks: [UnsafeRawBufferPointer] = []
        var digests: [Digest] = []
        for (index, digest) in unit.digests.enumerated() {
            let start = index * Chunk.size
            if index < states.count, !stores(unit, start) {
                guard states[index] == .equal || digest == nil && covers(unit, start, memory.count) else {
                    return false
                }
                continue
            }
            let chunk = UnsafeRawBufferPointer(
                memory.content.bytes.part(start, min(Chunk.size, memory.count - start)))
            // A place that was tried again in vain, or with success, has been written since.
            let first = memory.offset + Int64(start)
            let isOpen = unit.missing.contains {
                $0.offset < first + Int64(chunk.count) && $0.offset + $0.length > first
            }
            guard !isOpen else { continue }
            if let digest {
                chunks.append(chunk)
                digests.append(digest)
            } else {
                guard chunk.isAllZero else { return false }
            }
        }
        return Digest.each(of: chunks) == digests
    }

    /// Compares the unit's digests with the base's; nothing without one.
    private func states(of unit: DiskJournal.Unit) throws(BlockError) -> [BackingState] {
        try base?.states(from: unit.index * (journal.unitLength / Chunk.size), unit.digests) ?? []
    }

    /// Returns the bytes of `unit` that are the same in the base.
    func equalBytes(of unit: DiskJournal.Unit) throws(CaptureError) -> Int64 {
        guard let base, unit.missing.isEmpty else { return 0 }
        do throws(BlockError) {
            let first = unit.index * (journal.unitLength / Chunk.size)
            return base.equalBytes(from: first, unit.digests, try states(of: unit))
        } catch {
            throw .io(error)
        }
    }

    /// Tells whether anything of the chunk at byte `start` of `unit` is stored in the image itself.
    private func stores(_ unit: DiskJournal.Unit, _ start: Int) -> Bool {
        unit.pieces.contains { piece in
            // A compressed cluster is all of a unit of 2 MiB, or lies in one chunk.
            let length = !piece.isPacked ? piece.count : journal.unitLength > Chunk.size ? journal.unitLength : 1
            return !piece.isZero && piece.offset < start + Chunk.size && piece.offset + length > start
        }
    }

    /// Tells whether zeros are noted over all of the chunk at byte `start` of `unit`, which has `count` bytes.
    private func covers(_ unit: DiskJournal.Unit, _ start: Int, _ count: Int) -> Bool {
        var end = start
        for piece in unit.pieces where piece.isZero && piece.offset <= end && piece.offset + piece.count > end {
            end = piece.offset + piece.count
        }
        return end >= min(start + Chunk.size, count)
    }

    /// Returns what is stored of `unit`, as the image's writer takes it.
    func placement(of unit: DiskJournal.Unit) -> UnitPlacement { journal.placement(of: unit) }

    /// Calls `body` with each of the first `count` units, in order.
    func replay(_ count: Int, _ body: (DiskJournal.Unit) throws(CaptureError) -> Void) throws(CaptureError) {
        var walk = Walk(file, journal)
        while walk.unitCount < count, let unit = walk.nextUnit() { try body(unit) }
    }
}

extension DiskJournal {
    /// Returns what is stored of `unit`, as the image's writer takes it.
    func placement(of unit: Unit) -> UnitPlacement {
        let offset = Int64(unit.index) * Int64(unitLength)
        return UnitPlacement(
            offset: offset, count: Int(min(Int64(unitLength), diskLength - offset)),
            pieces: unit.pieces.map {
                .init(offset: $0.offset, count: $0.count, isPacked: $0.isPacked, isZero: $0.isZero)
            })
    }

    /// Makes the record of a unit that is written.
    static func record(
        _ placement: UnitPlacement, unitLength: Int, digests: [Digest?], missing: [ByteRange]
    ) -> Unit {
        Unit(
            index: Int(placement.offset / Int64(unitLength)),
            pieces: placement.pieces.map {
                .init(offset: $0.offset, count: $0.count, isPacked: $0.isPacked, isZero: $0.isZero)
            },
            digests: digests, missing: missing)
    }
}
