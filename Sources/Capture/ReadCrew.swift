// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import DiskImage
internal import Glibc
internal import Synchronization

/// Threads that do nothing but fill units for others, one after the other in the order of the disk.
///
/// Whoever wants a unit filled waits in a queue: the next read begins when one has ended, and not when a thread that
/// would read next finds a processor free of those that compute.
final class ReadCrew: Sendable {
    /// A unit to be filled; it belongs to who ordered it, but while it is being filled.
    final class Order: @unchecked Sendable {
        /// What is filled.
        let unit: ImageUnit
        /// What came of it; nil at the disk's end.
        var answer: Swift.Result<(next: UnitCursor.Unit, missing: [ByteRange])?, CaptureError> = .success(nil)
        fileprivate let isDone = Semaphore(0)

        init(_ unit: ImageUnit) { self.unit = unit }
    }

    private let orders = Mutex<[Order]>([])
    private let hasOrder = Semaphore(0)
    /// Reads that may still begin.
    private let room: Semaphore
    /// Threads that serve, or did.
    private let serving = Atomic<Int>(0)

    /// Makes a crew that reads in `width` places at the same time at most, at least one.
    init(width: Int) { room = Semaphore(max(width, 1)) }

    /// Has `order` filled by one of those that serve; by the caller while there are none.
    func fill(_ order: Order, _ body: (Order) -> Void) {
        guard serving.load(ordering: .acquiring) > 0 else { return read(order, body) }
        orders.withLock { $0.append(order) }
        hasOrder.post()
        order.isDone.wait()
    }

    /// Fills what is ordered, until the crew is dismissed.
    func serve(_ body: (Order) -> Void) {
        serving.add(1, ordering: .releasing)
        while true {
            hasOrder.wait()
            guard let order = orders.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return }
            read(order, body)
            order.isDone.post()
        }
    }

    /// Lets `count` threads go that serve, or that are only about to; nobody orders any more.
    func dismiss(_ count: Int) {
        for _ in 0..<count { hasOrder.post() }
    }

    private func read(_ order: Order, _ body: (Order) -> Void) {
        room.wait()
        defer { room.post() }
        body(order)
    }
}

/// Counts what there is, and lets threads wait for it.
///
/// sem_wait(3).
private final class Semaphore: @unchecked Sendable {
    private let state: UnsafeMutablePointer<sem_t>

    init(_ count: Int) {
        state = .allocate(capacity: 1)
        state.initialize(to: sem_t())
        sem_init(state, 0, UInt32(clamping: count))
    }

    deinit {
        sem_destroy(state)
        state.deallocate()
    }

    func post() { sem_post(state) }

    /// Nothing but a signal ends the wait early.
    func wait() {
        while sem_wait(state) != 0 {}
    }
}
