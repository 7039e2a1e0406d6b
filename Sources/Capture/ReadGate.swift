// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Lets so many threads read at the same time, and no more: the next one in the disk's order waits for its turn.
///
/// sem_wait(3).
final class ReadGate: @unchecked Sendable {
    private let room: UnsafeMutablePointer<sem_t>

    /// Makes a gate for `count` of all threads, at least one.
    init(_ count: Int) {
        room = .allocate(capacity: 1)
        room.initialize(to: sem_t())
        sem_init(room, 0, UInt32(clamping: max(count, 1)))
    }

    deinit {
        sem_destroy(room)
        room.deallocate()
    }

    /// Runs `body` once there is room for it.
    func pass<Value>(_ body: () throws(CaptureError) -> Value) throws(CaptureError) -> Value {
        // Nothing but a signal ends the wait early.
        while sem_wait(room) != 0 {}
        defer { sem_post(room) }
        return try body()
    }
}
