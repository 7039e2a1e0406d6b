// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// Keeps a disk's journal: which units are on stable storage, in order and without gaps.
///
/// Threads finish units in any order. Whenever enough of them in a row are written, one thread makes the image durable
/// and then says so in the journal, while the others go on; they wait only when they are too far ahead of it, so that
/// what an interruption costs is bounded.
final class CheckpointLog: Sendable {
    private struct State {
        var finished: [Int: (unit: DiskJournal.Unit, count: Int)] = [:]
        /// Ticket of the first unit that is not durable.
        var durableTicket: Int
        /// Bytes of content that are written and not durable, those in a row that is being made so included.
        var lag: Int64 = 0
        var isBusy = false
        var isShut = false
        var journalEnd: Int64
    }

    /// Units in a row, to be made durable.
    private struct Row {
        var first: Int
        var units: [DiskJournal.Unit] = []
        var byteCount: Int64 = 0
        var journalEnd: Int64
    }

    private enum Turn {
        case goOn, makeDurable(Row)
    }

    private let journal: FileSink
    private let image: any BlockSink
    /// Bytes of content that may be written and not yet durable.
    private let maximumLag: Int64
    private let state: Monitor<State>

    /// Continues `journal`, of which `journalEnd` bytes are good, behind the unit with ticket `firstTicket` - 1.
    ///
    /// - Parameters:
    ///   - maximumLoss: bytes of content that an interruption may cost: half of it in flight, half written and not yet
    ///     durable.
    ///   - inFlight: bytes of units that threads hold at most.
    ///   - sharers: captures that are interrupted together.
    init(
        journal: FileSink, journalEnd: Int64, firstTicket: Int, image: any BlockSink, maximumLoss: Int,
        inFlight: Int64, sharers: Int = 1
    ) {
        let share = Int64(maximumLoss / max(sharers, 1))
        maximumLag = max(share - inFlight, share / 2)
        self.journal = journal
        self.image = image
        state = Monitor(State(durableTicket: firstTicket, journalEnd: journalEnd))
    }

    /// Notes that a unit of `count` bytes is written, and makes a checkpoint when one is due.
    ///
    /// - Throws: `BlockError` when image or journal cannot be made durable.
    func finish(_ unit: DiskJournal.Unit, ticket: Int, count: Int) throws(BlockError) {
        state.change { state in
            state.finished[ticket] = (unit, count)
            state.lag += Int64(count)
        }
        while case .makeDurable(let row) = state.wait(turn) {
            let end: Int64
            do throws(BlockError) {
                end = try makeDurable(row)
            } catch {
                shut()
                throw error
            }
            state.change { state in
                state.durableTicket += row.units.count
                state.lag -= row.byteCount
                state.journalEnd = end
                state.isBusy = false
            }
        }
    }

    /// Lets everybody go: the work has failed or was cancelled.
    func shut() { state.change { $0.isShut = true } }

    /// Decides what a thread is to do; nil to wait.
    private func turn(_ state: inout State) -> Turn? {
        guard !state.isShut else { return .goOn }
        if !state.isBusy, state.lag >= maximumLag / 2, let row = Self.takeRow(&state) {
            state.isBusy = true
            return .makeDurable(row)
        }
        // Too far ahead of what is durable, or of a unit that is still on its way: whoever holds it comes by here.
        return state.lag >= maximumLag ? nil : .goOn
    }

    /// Removes and returns the finished units from the first that is not durable, as far as there is no gap.
    private static func takeRow(_ state: inout State) -> Row? {
        var row = Row(first: state.durableTicket, journalEnd: state.journalEnd)
        while let next = state.finished.removeValue(forKey: row.first + row.units.count) {
            row.units.append(next.unit)
            row.byteCount += Int64(next.count)
        }
        return row.units.isEmpty ? nil : row
    }

    /// Makes the image durable, then the journal that says so, and returns the journal's new end.
    private func makeDurable(_ row: Row) throws(BlockError) -> Int64 {
        try image.synchronize()
        let bytes = DiskJournal.encodedCheckpoint(first: row.first, units: row.units)
        try journal.write(bytes, at: row.journalEnd)
        try journal.synchronize()
        return row.journalEnd + Int64(bytes.count)
    }
}
