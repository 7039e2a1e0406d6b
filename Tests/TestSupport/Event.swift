// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Something that happens on another thread, for a test to wait for; each signal lets one wait through.
///
/// A pipe: what was signalled before the wait is not lost. pipe(2), poll(2).
public final class Event: Sendable {
    private let reading: Int32
    private let writing: Int32

    /// Makes an event that has not happened.
    public init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ToolError("cannot make a pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (reading, writing) = (ends[0], ends[1])
    }

    deinit {
        close(reading)
        close(writing)
    }

    /// Tells that it happened.
    public func signal() {
        var byte: UInt8 = 1
        while write(writing, &byte, 1) == -1, errno == EINTR {}
    }

    /// Waits until it happens; false when it does not within `seconds`.
    public func wait(seconds: Int = 300) -> Bool {
        var item = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        return poll(&item, 1, Int32(seconds) * 1000) > 0 && read(reading, &byte, 1) == 1
    }
}
