// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// A unit of which something could not be read in the first pass.
struct DeferredUnit: Sendable {
    /// Where it is stored, all of it.
    var place: StoredUnit
    /// Place of its first chunk among the chunk file's digests; the others follow.
    var slot: Int
    /// What was not read yet, ascending.
    var missing: [ByteRange]
}

/// Reads again what could not be read in the first pass, in ever smaller pieces, down to a sector.
///
/// Everything else of the disk is safe by now: a drive that dies here takes nothing with it. Sweeps over all damaged
/// places: in blocks; the edges of bad blocks sector by sector up to the first bad one; all sectors in between; and
/// the bad ones again, from alternating directions.
struct DamageRecovery {
    /// Bytes of the first, coarse reads.
    static let blockLength: Int64 = 64 << 10
    /// Bad ranges kept apart; beyond, memory would be the disk's to decide.
    static let maximumRanges = 1 << 20

    let source: any BlockSource
    let writer: any ImageWriter
    let options: CaptureOptions
    let progress: CaptureProgress
    let cancellation: CancellationFlag
    let folder: String
    /// A place that was readable in the first pass.
    let knownGood: ByteRange?

    private let buffer = AlignedBuffer(count: Int(DamageRecovery.blockLength))

    init(
        source: any BlockSource, writer: any ImageWriter, options: CaptureOptions, progress: CaptureProgress,
        cancellation: CancellationFlag, folder: String, knownGood: ByteRange?
    ) {
        self.source = source
        self.writer = writer
        self.options = options
        self.progress = progress
        self.cancellation = cancellation
        self.folder = folder
        self.knownGood = knownGood
    }

    /// What a sweep reads of each missing range.
    private enum Sweep {
        /// All of it, in pieces of so many bytes.
        case pieces(Int64, backwards: Bool)
        /// Pieces from both ends, up to the first that is bad.
        case edges(Int64)
    }

    /// Reads what can be read into the image, and leaves in each unit's `missing` what cannot.
    ///
    /// - Throws: `CaptureError` when the source is gone altogether, the target fails, or somebody asked to stop.
    func run(_ units: inout [DeferredUnit]) throws(CaptureError) {
        try checkSourceIsThere()
        let deadline = options.recoveryTimeLimit.map { ContinuousClock().now + $0 }
        let sector = Int64(source.logicalSectorSize)
        let physical = min(max(Int64(source.physicalSectorSize), sector), Self.blockLength)
        var sweeps: [Sweep] = [.pieces(Self.blockLength, backwards: false), .edges(physical)]
        sweeps.append(.pieces(physical, backwards: false))
        if physical != sector { sweeps.append(.pieces(sector, backwards: false)) }
        for retry in 0..<max(options.retries, 0) { sweeps.append(.pieces(sector, backwards: retry % 2 == 0)) }
        for sweep in sweeps {
            var rangeCount = 0
            for index in units.indices where !units[index].missing.isEmpty {
                if let deadline, ContinuousClock().now >= deadline { return }
                // Too many to keep apart: what is left stays as coarse as it is.
                guard rangeCount < Self.maximumRanges else { break }
                units[index].missing = try perform(sweep, on: units[index], deadline)
                rangeCount += units[index].missing.count
            }
        }
    }

    /// Makes sure that the source answers at all: of a disk that was unplugged nothing is lost but everything missing.
    func checkSourceIsThere() throws(CaptureError) {
        guard let knownGood else {
            throw .invalid(
                "nothing of \(source.name) can be read", hint: "check its cable, power and controller, and try again")
        }
        do throws(BlockError) {
            let count = min(knownGood.length, Self.blockLength)
            try source.read(into: buffer.prefix(Int(count)), at: knownGood.offset)
        } catch {
            throw .io(error)
        }
    }

    private func perform(
        _ sweep: Sweep, on unit: DeferredUnit, _ deadline: ContinuousClock.Instant?
    ) throws(CaptureError) -> [ByteRange] {
        var left: [ByteRange] = []
        for range in unit.missing {
            switch sweep {
            case .pieces(let size, let backwards):
                left += try readPieces(range, size, backwards: backwards, of: unit, deadline)
            case .edges(let size):
                if let rest = try readEdges(range, size, of: unit, deadline) { left.append(rest) }
            }
        }
        return left
    }

    private func readPieces(
        _ range: ByteRange, _ size: Int64, backwards: Bool, of unit: DeferredUnit, _ deadline: ContinuousClock.Instant?
    ) throws(CaptureError) -> [ByteRange] {
        var pieces = Self.pieces(of: range, size)
        if backwards { pieces.reverse() }
        var bad: [ByteRange] = []
        var failures = 0
        for piece in pieces {
            if isOver(deadline) {
                bad.append(piece)
            } else if try read(piece, of: unit) {
                failures = 0
            } else {
                bad.append(piece)
                failures += 1
                if failures % 1024 == 0 { try checkSourceIsThere() }
            }
        }
        if backwards { bad.reverse() }
        var list = RangeList()
        for range in bad { list.append(range) }
        return list.ranges
    }

    /// Reads from both ends up to the first bad piece each, and returns what is left in between.
    private func readEdges(
        _ range: ByteRange, _ size: Int64, of unit: DeferredUnit, _ deadline: ContinuousClock.Instant?
    ) throws(CaptureError) -> ByteRange? {
        var pieces = Self.pieces(of: range, size)[...]
        while let first = pieces.first, !isOver(deadline), try read(first, of: unit) { pieces.removeFirst() }
        while pieces.count > 1, let last = pieces.last, !isOver(deadline), try read(last, of: unit) {
            pieces.removeLast()
        }
        guard let first = pieces.first, let last = pieces.last else { return nil }
        return ByteRange(offset: first.offset, length: last.offset + last.length - first.offset)
    }

    private func isOver(_ deadline: ContinuousClock.Instant?) -> Bool {
        cancellation.isCancelled || deadline.map { ContinuousClock().now >= $0 } ?? false
    }

    /// Reads one piece into the image; false when it is bad.
    private func read(_ piece: ByteRange, of unit: DeferredUnit) throws(CaptureError) -> Bool {
        guard !cancellation.isCancelled else { throw .cancelled(folder: folder) }
        let bytes = buffer.prefix(Int(piece.length))
        do throws(BlockError) {
            try source.read(into: bytes, at: piece.offset)
        } catch {
            guard error.isUnreadableRange else { throw .io(error) }
            return false
        }
        do throws(ImageError) {
            try writer.rewrite(UnsafeRawBufferPointer(bytes), at: piece.offset, in: unit.place)
        } catch {
            throw .image(error)
        }
        progress.addRead(piece.length)
        return true
    }

    /// Cuts `range` at multiples of `size` on the disk.
    private static func pieces(of range: ByteRange, _ size: Int64) -> [ByteRange] {
        var pieces: [ByteRange] = []
        var position = range.offset
        let end = range.offset + range.length
        while position < end {
            let next = min((position / size + 1) * size, end)
            pieces.append(ByteRange(offset: position, length: next - position))
            position = next
        }
        return pieces
    }
}
