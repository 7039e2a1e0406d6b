// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// A thread of its own for what waits on the clock or on a pipe.
struct BackgroundThread: @unchecked Sendable {
    // A pthread_t is a number here; Swift knows it as one on glibc.
    private let thread: pthread_t

    /// Starts `body`, or returns nil when the kernel has no thread left: pthread_create(3).
    init?(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Start>.fromOpaque(raw).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            return nil
        }
        self.thread = thread
    }

    /// Waits until the body has returned; once.
    func join() { pthread_join(thread, nil) }

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// Something that happens once, and that can be waited for with a limit: pthread_cond_timedwait(3).
final class OnceEvent: @unchecked Sendable {
    // Guarded by `mutex`.
    private var hasHappened = false
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        // The wall clock may be set while a live system runs; the monotonic one is not.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Lets it happen.
    func happen() {
        pthread_mutex_lock(mutex)
        hasHappened = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits at most `seconds`, and tells whether it has happened.
    func wait(seconds: Double) -> Bool {
        let deadline = Clock.seconds + seconds
        var time = timespec()
        time.tv_sec = Int(deadline)
        time.tv_nsec = Int((deadline - deadline.rounded(.down)) * 1e9)
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !hasHappened {
            if pthread_cond_timedwait(condition, mutex, &time) != 0 { break }
        }
        return hasHappened
    }
}

/// A clock that nobody sets.
enum Clock {
    /// Seconds since some moment before the program began: clock_gettime(2).
    static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
