// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc

/// Runs a helper program, without a shell, and takes its standard output.
enum HelperProgram {
    private static let outputLimit = 4 << 20

    /// Returns what `program` wrote, whatever its exit status; nil when it cannot be run or takes too long.
    ///
    /// posix_spawn(3), poll(2). A program that hangs is killed; it is not waited for where even that does not end it.
    static func output(_ program: String, _ arguments: [String], secondsAtMost: Int) -> [UInt8]? {
        var ends: [Int32] = [-1, -1]
        guard cl_pipe(&ends) == 0 else { return nil }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        // Signals that this thread has blocked are not the program's business.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        defer { for pointer in argv { free(pointer) } }
        argv.append(nil)
        // The same words in every language.
        var environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("LC_ALL=C"), strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil,
        ]
        defer { for pointer in environment { free(pointer) } }
        var child: pid_t = 0
        let status = posix_spawn(&child, program, &actions, &attributes, &argv, &environment)
        close(ends[1])
        guard status == 0 else { return nil }
        let output = read(ends[0], ContinuousClock().now + .seconds(secondsAtMost))
        if output == nil { kill(child, SIGKILL) }
        reap(child)
        return output
    }

    /// Waits for the end of a program that has closed its output or was killed: at once, unless it goes on regardless,
    /// or hangs in a driver, where not even being killed ends it.
    private static func reap(_ child: pid_t) {
        var status: Int32 = 0
        let deadline = ContinuousClock().now + .seconds(1)
        while waitpid(child, &status, WNOHANG) == 0 {
            if ContinuousClock().now > deadline {
                kill(child, SIGKILL)
                waitpid(child, &status, WNOHANG)
                return
            }
            poll(nil, 0, 5)
        }
    }

    /// Reads to the end; nil when that does not come by `deadline`.
    private static func read(_ descriptor: Int32, _ deadline: ContinuousClock.Instant) -> [UInt8]? {
        var output: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while output.count <= outputLimit {
            let left = (deadline - ContinuousClock().now) / .milliseconds(1)
            guard left > 0 else { return nil }
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&request, 1, Int32(min(left, 60_000)))
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { return nil }
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? output : nil }
            output += piece[..<count]
        }
        return nil
    }
}
