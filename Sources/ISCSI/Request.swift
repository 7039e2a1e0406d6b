// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
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
final class Batch: @unchecked Sendable {
    // Guarded by `mutex`.
    private var open = 0
    private var failure: BlockError?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Counts `count` requests in.
    func add(_ count: Int) {
        pthread_mutex_lock(mutex)
        open += count
        pthread_mutex_unlock(mutex)
    }

    /// Counts one request out; the error of the lowest offset is kept.
    func finish(_ error: BlockError?) {
        pthread_mutex_lock(mutex)
        open -= 1
        if let error, (failure?.offset ?? .max) > (error.offset ?? .max - 1) { failure = error }
        if open == 0 { pthread_cond_broadcast(condition) }
        pthread_mutex_unlock(mutex)
    }

    /// Waits until all are out, and throws what went wrong.
    func wait() throws(BlockError) {
        pthread_mutex_lock(mutex)
        while open > 0 { pthread_cond_wait(condition, mutex) }
        let failure = failure
        pthread_mutex_unlock(mutex)
        if let failure { throw failure }
    }
}
