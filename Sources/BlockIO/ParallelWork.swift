// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Asks work on other threads to stop; set once, read by all.
public final class CancellationFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    private let actions = Mutex<[Int: @Sendable () -> Void]>([:])
    private let nextAction = Atomic<Int>(0)

    /// Makes a flag that is not set.
    public init() {}

    /// Whether somebody asked to stop.
    public var isCancelled: Bool { flag.load(ordering: .acquiring) }

    /// Asks to stop.
    public func cancel() {
        flag.store(true, ordering: .releasing)
        let waiting = actions.withLock { actions in
            defer { actions = [:] }
            return actions.values.map(\.self)
        }
        for action in waiting { action() }
    }

    /// Calls `action` once somebody asks to stop, at once where somebody has; returns what `removeAction` takes.
    public func onCancel(_ action: @escaping @Sendable () -> Void) -> Int {
        let number = nextAction.add(1, ordering: .relaxed).newValue
        let isLate = actions.withLock { actions in
            // Behind the lock, so that an action is either seen by `cancel` or sees the flag.
            guard !isCancelled else { return true }
            actions[number] = action
            return false
        }
        if isLate { action() }
        return number
    }

    /// Makes a flag that is set when this one is, or by itself.
    public func makeChild() -> CancellationFlag {
        let child = CancellationFlag()
        _ = onCancel { [weak child] in child?.cancel() }
        return child
    }

    /// Forgets an action that is not wanted any more.
    public func removeAction(_ number: Int) { actions.withLock { $0[number] = nil } }
}

/// Runs blocking work on threads of its own: the cooperative pool of Swift's tasks must never wait for a disk.
public enum ParallelWork {
    /// Number of processors this process may run on.
    ///
    /// sched_getaffinity(2).
    public static var processorCount: Int {
        max(Int(cl_processor_count()), 1)
    }

    /// Calls `body` with 0 ..< `count`, each on its own thread, and returns when all have returned.
    ///
    /// A single one runs on the thread that calls; others take turns, see `takeTurns`.
    ///
    /// - Throws: `BlockError` when not a single thread could be started; with fewer than asked the work goes on.
    public static func run(threads count: Int, _ body: @escaping @Sendable (Int) -> Void) throws(BlockError) {
        guard count != 1 else { return body(0) }
        var started: [pthread_t] = []
        var lastError: Int32 = 0
        for index in 0..<count {
            let box = Unmanaged.passRetained(Start(index: index, body: body))
            var thread = pthread_t()
            lastError = pthread_create(
                &thread, nil,
                { raw in
                    guard let raw else { return nil }
                    let start = Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
                    ParallelWork.takeTurns()
                    start.body(start.index)
                    return nil
                }, box.toOpaque())
            guard lastError == 0 else {
                box.release()
                break
            }
            started.append(thread)
        }
        guard count == 0 || !started.isEmpty else {
            throw BlockError(.startThread, "the work", .system(Errno(rawValue: lastError)))
        }
        for thread in started { pthread_join(thread, nil) }
    }

    /// Lets the calling thread, when it is woken, wait for its turn: whoever brings content brings more of it, and is not
    /// interrupted for each piece.
    ///
    /// Where that is refused, it is scheduled as others are. sched(7), `SCHED_BATCH`.
    public static func takeTurns() { _ = cl_schedule_as_batch(1) }

    /// Lets the calling thread, when it is woken, interrupt those that take turns.
    ///
    /// sched(7), `SCHED_OTHER`.
    public static func takePrecedence() { _ = cl_schedule_as_batch(0) }

    private final class Start: Sendable {
        let index: Int
        let body: @Sendable (Int) -> Void
        init(index: Int, body: @escaping @Sendable (Int) -> Void) {
            self.index = index
            self.body = body
        }
    }
}
