// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Where a daemon tells that it is ready: sd_notify(3).
public final class ReadySocket {
    private let folder: TemporaryFolder
    private let descriptor: Int32
    /// For the variable NOTIFY_SOCKET of the daemon.
    public var path: String { folder.file("notify") }

    /// Makes a socket that only this test knows.
    public init() throws {
        folder = try TemporaryFolder()
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1)) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard status == 0 else { throw ToolError("cannot bind \(path): errno \(errno)") }
    }

    deinit { close(descriptor) }

    /// Waits for READY=1; false when it does not come.
    public func wait() -> Bool {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var text = [UInt8](repeating: 0, count: 4096)
        while poll(&item, 1, 300_000) > 0 {
            let count = recv(descriptor, &text, text.count, 0)
            guard count > 0 else { return false }
            if String(decoding: text[..<count], as: UTF8.self).contains("READY=1") { return true }
        }
        return false
    }
}
