// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Lets threads through one at a time in the order of their tickets, which count up without gaps.
///
/// What happens between `enter` and `leave` is exclusive and in ticket order. pthread_cond_wait(3).
public final class Turnstile: @unchecked Sendable {
    // Guarded by `mutex`; a condition a ticket residue, so that leaving wakes the next in line and nobody else.
    private var next: Int
    private var isOpen = true
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let conditions: UnsafeMutablePointer<pthread_cond_t>
    private let lanes: Int

    /// Makes a turnstile for at most `lanes` threads at once, that admits `ticket` first.
    public init(lanes: Int, first ticket: Int = 0) {
        next = ticket
        self.lanes = max(lanes, 1)
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        conditions = .allocate(capacity: self.lanes)
        conditions.initialize(repeating: pthread_cond_t(), count: self.lanes)
        for lane in 0..<self.lanes { pthread_cond_init(conditions + lane, nil) }
    }

    deinit {
        for lane in 0..<lanes { pthread_cond_destroy(conditions + lane) }
        pthread_mutex_destroy(mutex)
        conditions.deallocate()
        mutex.deallocate()
    }

    /// Waits for `ticket`'s turn; false means that the turnstile was shut and nothing may be done.
    public func enter(_ ticket: Int) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while isOpen && next != ticket { pthread_cond_wait(conditions + ticket % lanes, mutex) }
        return isOpen
    }

    /// Ends the turn of the thread inside and admits the next ticket.
    public func leave() {
        pthread_mutex_lock(mutex)
        next += 1
        pthread_cond_broadcast(conditions + next % lanes)
        pthread_mutex_unlock(mutex)
    }

    /// Turns everybody away from now on: the work has failed or was cancelled.
    public func shut() {
        pthread_mutex_lock(mutex)
        isOpen = false
        for lane in 0..<lanes { pthread_cond_broadcast(conditions + lane) }
        pthread_mutex_unlock(mutex)
    }
}
