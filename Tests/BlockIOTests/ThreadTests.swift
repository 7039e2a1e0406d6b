// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import Synchronization
internal import TestSupport
internal import Testing

/// Threads, their order and their end.
struct ThreadTests {
    @Test(arguments: [1, 2, 7, 32])
    func turnstileKeepsTheOrder(threads: Int) throws {
        let turnstile = Turnstile(lanes: threads)
        let order = Mutex<[Int]>([])
        let inside = Atomic(0)
        let collisions = Atomic(0)
        try ParallelWork.run(threads: threads) { thread in
            for ticket in stride(from: thread, to: 500, by: threads) {
                // Some come early, some late.
                if (ticket &* 2_654_435_761) % 7 == 0 { for _ in 0..<20 { sched_yield() } }
                guard turnstile.enter(ticket) else { return }
                if inside.add(1, ordering: .relaxed).oldValue != 0 { collisions.add(1, ordering: .relaxed) }
                order.withLock { $0.append(ticket) }
                inside.subtract(1, ordering: .relaxed)
                turnstile.leave()
            }
        }
        #expect(order.withLock { $0 } == Array(0..<500))
        #expect(collisions.load(ordering: .relaxed) == 0)
    }

    @Test func shuttingTheTurnstileReleasesEverybody() throws {
        let turnstile = Turnstile(lanes: 9)
        let refused = Atomic(0)
        let coming = try Event()
        // Ticket 0 never comes, so all wait until thread 0 shuts, once the others are at the door.
        try ParallelWork.run(threads: 9) { thread in
            guard thread > 0 else {
                for _ in 1...8 { _ = coming.wait() }
                return turnstile.shut()
            }
            coming.signal()
            if !turnstile.enter(thread) {
                refused.add(1, ordering: .relaxed)
            }
        }
        #expect(refused.load(ordering: .relaxed) == 8)
        #expect(!turnstile.enter(0))
    }

    @Test func everyThreadGetsItsNumberOnce() throws {
        let numbers = Mutex<[Int]>([])
        try ParallelWork.run(threads: 16) { number in numbers.withLock { $0.append(number) } }
        #expect(numbers.withLock { $0.sorted() } == Array(0..<16))
        try ParallelWork.run(threads: 0) { _ in Issue.record("nobody was asked for") }
        #expect(ParallelWork.processorCount >= 1)
    }

    @Test func workTakesTurns() throws {
        let policies = Mutex<[Int32]>([])
        let mine = sched_getscheduler(0)
        try ParallelWork.run(threads: 3) { _ in policies.withLock { $0.append(sched_getscheduler(0)) } }
        // SCHED_BATCH; who starts the work stays as it was.
        #expect(policies.withLock { $0 } == [3, 3, 3])
        #expect(sched_getscheduler(0) == mine)
    }

    @Test func whoChoseAnotherPolicyKeepsIt() throws {
        let policies = Mutex<[Int32]>([])
        try ParallelWork.run(threads: 2) { number in
            guard number == 0 else { return }
            // SCHED_IDLE, as chrt --idle gives it to all that is started from here.
            var none = sched_param()
            guard sched_setscheduler(0, 5, &none) == 0 else { return }
            try? ParallelWork.run(threads: 2) { number in
                if number == 0 { ParallelWork.takePrecedence() }
                policies.withLock { $0.append(sched_getscheduler(0)) }
            }
        }
        #expect(policies.withLock { $0 } == [5, 5])
    }

    @Test func precedenceIsTaken() throws {
        let policies = Mutex<[Int32]>([])
        try ParallelWork.run(threads: 2) { _ in
            ParallelWork.takePrecedence()
            policies.withLock { $0.append(sched_getscheduler(0)) }
        }
        // SCHED_OTHER.
        #expect(policies.withLock { $0 } == [0, 0])
    }

    @Test func cancellationIsSeenByAll() throws {
        let flag = CancellationFlag()
        #expect(!flag.isCancelled)
        try ParallelWork.run(threads: 4) { thread in
            if thread == 0 { flag.cancel() } else { while !flag.isCancelled { sched_yield() } }
        }
        #expect(flag.isCancelled)
        flag.cancel()
        #expect(flag.isCancelled)
    }

    /// Before or after: an action is called, once; one that was removed is not.
    @Test func cancellationCallsBack() throws {
        let flag = CancellationFlag()
        let calls = Atomic(0)
        _ = flag.onCancel { calls.add(1, ordering: .relaxed) }
        flag.removeAction(flag.onCancel { calls.add(100, ordering: .relaxed) })
        #expect(calls.load(ordering: .relaxed) == 0)
        try ParallelWork.run(threads: 4) { _ in flag.cancel() }
        #expect(calls.load(ordering: .relaxed) == 1)
        _ = flag.onCancel { calls.add(1, ordering: .relaxed) }
        #expect(calls.load(ordering: .relaxed) == 2)
    }

    @Test func aMonitorWakesThoseWhoWait() throws {
        let monitor = Monitor(0)
        let seen = Mutex<[Int]>([])
        // Each waits for its number, and makes the next one come.
        try ParallelWork.run(threads: 16) { thread in
            let number = monitor.wait { $0 == thread ? $0 : nil }
            seen.withLock { $0.append(number) }
            monitor.change { $0 += 1 }
        }
        #expect(seen.withLock { $0 } == Array(0..<16))
    }

    @Test func aMonitorIsWaitedForNoLongerThanSaid() {
        let monitor = Monitor(0)
        let clock = ContinuousClock()
        let start = clock.now
        #expect(monitor.wait(for: .milliseconds(20)) { $0 == 1 ? true : nil } == nil)
        #expect(clock.now - start >= .milliseconds(20))
        // What is so already is not waited for, and neither is what is long over.
        #expect(monitor.wait(for: .seconds(3600)) { $0 == 0 ? true : nil } == true)
        #expect(monitor.wait(for: .seconds(-5)) { $0 == 1 ? true : nil } == nil)
    }

    @Test func aChildIsCancelledWithItsParentAndNotTheOtherWayRound() {
        let parent = CancellationFlag()
        let (first, second) = (parent.makeChild(), parent.makeChild())
        first.cancel()
        #expect(first.isCancelled && !second.isCancelled && !parent.isCancelled)
        parent.cancel()
        #expect(second.isCancelled && parent.makeChild().isCancelled)
    }
}
