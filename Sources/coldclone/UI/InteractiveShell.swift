// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc

/// The terminal that this process stands at, and a root shell on it.
enum InteractiveShell {
    /// Whether standard input is a terminal: isatty(3).
    static var isAtTerminal: Bool { isatty(0) == 1 }

    /// Path of the terminal at standard input; nil where it is none: ttyname_r(3).
    static var terminal: String? {
        var name = [CChar](repeating: 0, count: 256)
        guard ttyname_r(0, &name, name.count) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Runs a login shell until it ends; false when none could be started.
    ///
    /// A serial line knows neither its size nor what stands at its other end: 80 by 24 and `vt220` fit all.
    /// posix_spawn(3), tty_ioctl(4).
    static func run() -> Bool {
        var size = winsize()
        if ioctl(0, UInt(TIOCGWINSZ), &size) == 0, size.ws_row == 0 || size.ws_col == 0 {
            (size.ws_row, size.ws_col) = (24, 80)
            _ = ioctl(0, UInt(TIOCSWINSZ), &size)
        }
        // The shell and what it runs get the terminal's signals; this process only waits.
        let signals = [SIGINT, SIGQUIT, SIGTSTP]
        var earlier: [Int32: sigaction] = [:]
        for number in signals {
            var ignore = sigaction()
            ignore.__sigaction_handler.sa_handler = SIG_IGN
            var old = sigaction()
            sigaction(number, &ignore, &old)
            earlier[number] = old
        }
        defer { for (number, action) in earlier { var action = action; sigaction(number, &action, nil) } }
        var child: pid_t?
        for shell in ["/bin/bash", "/bin/sh"] where child == nil { child = spawn(shell, signals) }
        guard let child else { return false }
        var status: Int32 = 0
        while waitpid(child, &status, 0) == -1, errno == EINTR {}
        return true
    }

    private static func spawn(_ shell: String, _ signals: [Int32]) -> pid_t? {
        guard access(shell, X_OK) == 0 else { return nil }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in signals { sigaddset(&defaults, number) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        let arguments = [shell, "-l"]
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        words.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = environment().map { strdup($0) }
        variables.append(nil)
        defer { for pointer in words + variables { free(pointer) } }
        var child: pid_t = 0
        return posix_spawn(&child, shell, nil, &attributes, &words, &variables) == 0 ? child : nil
    }

    /// This process's variables, with those that a login shell needs.
    private static func environment() -> [String] {
        var variables: [String] = []
        var entry = environ
        while let text = entry.pointee {
            variables.append(String(cString: text))
            entry += 1
        }
        func add(_ name: String, _ value: String) {
            if !variables.contains(where: { $0.hasPrefix("\(name)=") }) { variables.append("\(name)=\(value)") }
        }
        variables.removeAll { ["TERM=", "TERM=dumb", "TERM=unknown"].contains($0) }
        add("TERM", isVirtualTerminal ? "linux" : "vt220")
        add("HOME", "/root")
        add("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        return variables
    }

    /// Whether the terminal is one of the kernel's own, on the machine's screen.
    static var isVirtualTerminal: Bool {
        guard let name = terminal?.dropFirst("/dev/tty".count), terminal?.hasPrefix("/dev/tty") == true else {
            return false
        }
        return !name.isEmpty && name.allSatisfy { $0.isASCII && $0.isNumber }
    }
}
