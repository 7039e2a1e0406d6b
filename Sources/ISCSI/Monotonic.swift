// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// A clock that nobody sets.
enum Monotonic {
    /// Seconds since some moment in the past: clock_gettime(2).
    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// Something that wakes a thread out of poll(2).
///
/// pipe(7).
final class WakeUp: Sendable {
    /// Readable from a signal on, until it is cleared.
    let descriptor: Int32
    private let writingEnd: Int32

    init() throws(ISCSIError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw ISCSIError("start a connection", .invalid("pipe: error number \(errno)"))
        }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (descriptor, writingEnd) = (ends[0], ends[1])
    }

    deinit {
        close(descriptor)
        close(writingEnd)
    }

    /// Ends the wait that is under way, or the next one.
    func signal() {
        var byte: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(writingEnd, &byte, 1)
    }

    /// Makes the next wait last again.
    func clear() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(descriptor, &bytes, bytes.count) == bytes.count {}
    }

    /// Waits for a signal, at most `seconds`.
    func wait(seconds: Double) {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&item, 1, Int32(min(max(seconds, 0), 3600) * 1000))
        clear()
    }
}
