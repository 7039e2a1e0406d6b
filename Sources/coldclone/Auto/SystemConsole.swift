// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc

/// A console of the live system, written to beside whoever else uses it.
struct SystemConsole: Sendable, Hashable {
    /// Path of the device.
    var path: String

    /// The first virtual terminal, all that the kernel writes its messages to, and both usual serial lines.
    ///
    /// sysfs, class/tty/console/active; tty0 stands for whichever terminal is in front. The kernel writes to one serial
    /// line only, and which one the machine's BMC forwards, nobody knows. A line that is not there has type 0.
    static var all: [SystemConsole] {
        let active = words("console/active").filter { $0 != "tty0" && $0 != "tty1" }
        let serial = ["ttyS0", "ttyS1"].filter { words("\($0)/type").first ?? "0" != "0" && !active.contains($0) }
        return (["tty1"] + active + serial).map { SystemConsole(path: "/dev/\($0)") }
    }

    private static func words(_ attribute: String) -> [String] {
        let text = (try? SmallFile.text("/sys/class/tty/\(attribute)", limit: 4096)) ?? ""
        return text.split(whereSeparator: \.isWhitespace).map { String($0) }
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
