// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc

/// A console of the live system, written to beside whoever else uses it.
struct SystemConsole: Sendable, Hashable {
    /// Path of the device.
    var path: String

    /// The first virtual terminal, and all that the kernel writes its messages to.
    ///
    /// sysfs, class/tty/console/active; tty0 stands for whichever terminal is in front.
    static var all: [SystemConsole] {
        let active = (try? SmallFile.text("/sys/class/tty/console/active", limit: 4096)) ?? ""
        let names = active.split(whereSeparator: \.isWhitespace).filter { $0 != "tty0" && $0 != "tty1" }
        return (["tty1"] + names).map { SystemConsole(path: "/dev/\($0)") }
    }

    /// Whether what is on the other end may know Japanese: a virtual terminal has no letters for it.
    var drawsJapanese: Bool {
        let name = path.dropFirst("/dev/".count)
        return !(name.hasPrefix("tty") && name.dropFirst(3).allSatisfy { $0.isASCII && $0.isNumber })
    }

    /// Writes `line`, and gives up on a console that takes nothing for a second: a serial line may be held up.
    ///
    /// open(2) with O_NONBLOCK does not wait for a modem's carrier.
    func write(_ line: String) {
        let descriptor = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var bytes = Array((line + "\r\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
                continue
            }
            guard count < 0, errno == EAGAIN || errno == EINTR else { return }
            var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&request, 1, 1000) > 0 else { return }
        }
    }
}
