// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// A command that somebody waits for, with all its attempts.
///
/// It belongs to one thread at a time: to who made it, to the lane that carries it out, at last to who waits.
final class Request: @unchecked Sendable {
    /// The command.
    let command: SCSICommand
    /// Where a READ's content goes; the caller keeps it alive until the batch is over.
    let memory: UnsafeMutableRawBufferPointer?
    /// The others that are waited for at the same time.
    let batch: Batch
    /// The answer, where there is no memory for it.
    var answer: [UInt8] = []
    /// Attempts that the unit refused with something that passes.
    var refusals = 0
    /// Connections that broke under it.
    var losses = 0
    /// Not to be sent again before this moment.
    var notBefore = 0.0
    /// Since when it waits for its first answer.
    let since = Monotonic.now

    private var mark: UInt64 = 0

    init(_ command: SCSICommand, into memory: UnsafeMutableRawBufferPointer? = nil, _ batch: Batch) {
        self.command = command
        self.memory = memory
        self.batch = batch
    }

    // A target that says GOOD without having sent everything is not found out by the library: what the memory held
    // before would pass for the disk's content. So a random mark is put where each piece of 4 KiB must change it.
    private static let markDistance = 4096

    /// Marks the memory before an attempt.
    func placeMarks() {
        guard let memory else { return }
        mark = .random(in: .min ... .max)
        forEachMark(in: memory) { memory.storeBytes(of: mark, toByteOffset: $0, as: UInt64.self) }
    }

    /// Tells whether a mark is left: content has not arrived there.
    func hasMarks() -> Bool {
        guard let memory else { return false }
        var isLeft = false
        forEachMark(in: memory) { offset in
            if memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == mark { isLeft = true }
        }
        return isLeft
    }

    private func forEachMark(in memory: UnsafeMutableRawBufferPointer, _ body: (Int) -> Void) {
        var end = min(Self.markDistance, memory.count)
        while end >= 8 {
            body(end - 8)
            guard end < memory.count else { return }
            end = min(end + Self.markDistance, memory.count)
        }
    }
}

/// Requests that one call waits for.
final class Batch: Sendable {
    private struct State {
        var open = 0
        var failure: BlockError?
    }

    private let state = Monitor(State())

    /// Counts `count` requests in.
    func add(_ count: Int) { state.change { $0.open += count } }

    /// Counts one request out; the error of the lowest offset is kept.
    func finish(_ error: BlockError?) {
        state.update { state in
            state.open -= 1
            if let error, (state.failure?.offset ?? .max) > (error.offset ?? .max - 1) { state.failure = error }
            return state.open <= 0
        }
    }

    /// Waits until all are out, and throws what went wrong.
    func wait() throws(BlockError) {
        try state.wait { state -> Result<Void, BlockError>? in
            guard state.open <= 0 else { return nil }
            return state.failure.map { .failure($0) } ?? .success(())
        }.get()
    }
}
