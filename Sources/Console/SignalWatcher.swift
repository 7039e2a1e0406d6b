// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// Turns SIGINT, SIGTERM and SIGHUP into a call on an ordinary thread, so that work ends cleanly.
///
/// A handler that writes to a pipe, not sigwait(3): libraries that unblock signals in threads of their own, as the one
/// that runs subprocesses does, would take a blocked signal away from the waiting thread and let it kill the program.
public enum SignalWatcher {
    /// Exit status of a program that a signal ended at once: 128 + SIGINT.
    private static let status: Int32 = 130

    // Touched by the handler, so atomic and initialised before there is one.
    private static let pipeEnd = Atomic<Int32>(-1)
    private static let count = Atomic<Int>(0)

    /// Calls `body` on the first of the signals; a second one ends the process at once with status 130.
    ///
    /// Call it once, early in `main`. Returns false when the kernel grants no pipe, thread or handler: the signals then
    /// do what they do by default. sigaction(2).
    @discardableResult
    public static func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return false }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let readingEnd = ends[0]
        pipeEnd.store(ends[1], ordering: .sequentiallyConsistent)
        count.store(0, ordering: .sequentiallyConsistent)
        let thread = BackgroundThread {
            var byte: UInt8 = 0
            while read(readingEnd, &byte, 1) == -1 && errno == EINTR {}
            body()
        }
        guard thread != nil else { return false }
        return [SIGINT, SIGTERM, SIGHUP].allSatisfy(handle)
    }

    private static func handle(_ signal: Int32) -> Bool {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            // Only async-signal-safe calls here, and errno as it was. signal-safety(7).
            let error = errno
            if SignalWatcher.count.add(1, ordering: .relaxed).oldValue > 0 { _exit(SignalWatcher.status) }
            var byte: UInt8 = 1
            _ = write(SignalWatcher.pipeEnd.load(ordering: .relaxed), &byte, 1)
            errno = error
        }
        action.sa_flags = SA_RESTART
        return sigaction(signal, &action, nil) == 0
    }
}
