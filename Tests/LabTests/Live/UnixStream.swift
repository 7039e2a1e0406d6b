// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport

/// One end of a connection to a Unix socket that QEMU listens on.
///
/// unix(7).
final class UnixStream: Sendable {
    private let descriptor: Int32

    /// Connects to the socket at `path`, which a program that was just started is still to make.
    ///
    /// inotify(7) tells when it comes.
    init(_ path: String, within seconds: Int = 300) throws {
        let parent = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let watch = inotify_init1(Int32(IN_CLOEXEC))
        defer { close(watch) }
        guard inotify_add_watch(watch, parent, UInt32(IN_CREATE)) >= 0 else {
            throw ToolError("cannot watch \(parent): errno \(errno)")
        }
        let deadline = Deadline(in: seconds)
        while true {
            if let descriptor = Self.connected(to: path) {
                self.descriptor = descriptor
                return
            }
            // Between the socket's name and its readiness nothing tells: a refused connection is tried again.
            var item = pollfd(fd: watch, events: Int16(POLLIN), revents: 0)
            guard deadline.milliseconds > 0 else { throw ToolError("nobody listens on \(path): errno \(errno)") }
            if poll(&item, 1, min(deadline.milliseconds, 200)) > 0 {
                var events = [UInt8](repeating: 0, count: 4096)
                _ = read(watch, &events, events.count)
            }
        }
    }

    deinit { close(descriptor) }

    private static func connected(to path: String) -> Int32? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1)) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
        }
        guard status != 0 else { return descriptor }
        let error = errno
        close(descriptor)
        errno = error
        return nil
    }

    /// Sends all of `bytes`.
    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 || errno == EINTR else { throw ToolError("cannot send to QEMU: errno \(errno)") }
            done += max(0, count)
        }
    }

    /// Returns what comes next: nothing when the other side closed; nil when nothing came before `deadline`.
    func receive(before deadline: Deadline) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&item, 1, deadline.milliseconds)
            if ready == 0 { return nil }
            if ready > 0 {
                let count = recv(descriptor, &bytes, bytes.count, 0)
                if count >= 0 { return Array(bytes[..<count]) }
                // QEMU that is killed leaves a reset.
                if errno == ECONNRESET { return [] }
            }
            guard errno == EINTR else { throw ToolError("cannot receive from QEMU: errno \(errno)") }
        }
    }
}

/// A moment after which nobody waits any longer.
struct Deadline: Sendable {
    private let end: ContinuousClock.Instant

    /// Makes the moment in so many seconds.
    init(in seconds: Int) { end = .now + .seconds(seconds) }

    /// The time left, for poll(2).
    var milliseconds: Int32 {
        let left = ContinuousClock.now.duration(to: end).components
        return left.seconds < 0 || left.attoseconds < 0
            ? 0 : Int32(clamping: left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1)
    }
}
