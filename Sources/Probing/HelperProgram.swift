// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CLinux
internal import Glibc

/// Runs a helper program, without a shell.
public enum HelperProgram {
    private static let outputLimit = 4 << 20

    /// What a finished program left.
    public struct Result: Sendable {
        /// Exit status; 128 + the number of the signal that ended it.
        public var status: Int32
        /// Standard output.
        public var output: [UInt8]
        /// Standard error.
        public var errors: [UInt8]

        /// The last line of standard error that says something, for messages.
        public var lastError: String? {
            String(decoding: errors.suffix(4096), as: UTF8.self).split(whereSeparator: \.isNewline)
                .last { $0.contains { !$0.isWhitespace } }.map(String.init)
        }
    }

    /// Why a program left nothing.
    public enum Failure: Error, Sendable, Hashable {
        /// There is none of that name.
        case notFound
        /// It could not be started, for this errno.
        case notStarted(Int32)
        /// It took too long, or wrote too much, and was killed.
        case tookTooLong
        /// Somebody asked to stop.
        case cancelled
    }

    /// Returns what `program` wrote to standard output, whatever its exit status; nil when it cannot be run or takes too
    /// long.
    static func output(_ program: String, _ arguments: [String], secondsAtMost: Int) -> [UInt8]? {
        try? run(program, arguments, secondsAtMost: secondsAtMost).output
    }

    /// Returns the path of `name` in the absolute folders of PATH, else in the usual ones; nil when it is in none.
    public static func find(_ name: String) -> String? {
        if name.hasPrefix("/") { return access(name, X_OK) == 0 ? name : nil }
        let variable = getenv("PATH").map { String(cString: $0) } ?? ""
        let folders = variable.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return folders.filter { $0.hasPrefix("/") }.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Runs `program` to its end, with `input` on its standard input.
    ///
    /// It gets a process group of its own, so that what it starts is killed with it: after `secondsAtMost`, when it
    /// writes more than 4 MiB, or when `goesOn` says no. It is not waited for where even that does not end it.
    /// posix_spawn(3), poll(2).
    public static func run(
        _ program: String, _ arguments: [String], input: [UInt8] = [], secondsAtMost: Int,
        goesOn: () -> Bool = { true }
    ) throws(Failure) -> Result {
        guard let path = find(program) else { throw .notFound }
        let inputFile: RawFile?
        do throws(BlockError) { inputFile = try file(holding: input) } catch { throw .notStarted(ENOMEM) }
        var output: [Int32] = [-1, -1]
        var errors: [Int32] = [-1, -1]
        guard cl_pipe(&output) == 0 else { throw .notStarted(errno) }
        defer { close(output[0]) }
        guard cl_pipe(&errors) == 0 else {
            close(output[1])
            throw .notStarted(errno)
        }
        defer { close(errors[0]) }
        let started = spawn(path, [program] + arguments, inputFile?.descriptor, output[1], errors[1])
        close(output[1])
        close(errors[1])
        let child = try started.get()
        var result = Result(status: 0, output: [], errors: [])
        let failure = take(
            from: (output[0], errors[0]), &result, ContinuousClock().now + .seconds(secondsAtMost), goesOn)
        if failure != nil { kill(-child, SIGKILL) }
        result.status = reap(child)
        if let failure { throw failure }
        drain(errors[0], &result.errors)
        return result
    }

    /// Returns a file in memory with `input`, which nobody else can open; nil for none.
    private static func file(holding input: [UInt8]) throws(BlockError) -> RawFile? {
        guard !input.isEmpty else { return nil }
        let file = try RawFile(inMemory: "a program's input", length: 0)
        try file.write(input, at: 0)
        return file
    }

    private static func spawn(
        _ path: String, _ words: [String], _ input: Int32?, _ output: Int32, _ errors: Int32
    ) -> Swift.Result<pid_t, Failure> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        // Signals that this thread has blocked are not the program's business.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        defer { for pointer in argv { free(pointer) } }
        argv.append(nil)
        // The same words in every language.
        var environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("LC_ALL=C"), strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil,
        ]
        defer { for pointer in environment { free(pointer) } }
        var child: pid_t = 0
        let status = posix_spawn(&child, path, &actions, &attributes, &argv, &environment)
        return status == 0 ? .success(child) : .failure(.notStarted(status))
    }

    /// Takes what the program writes until it closes its standard output; returns why that did not come.
    private static func take(
        from pipes: (output: Int32, errors: Int32), _ result: inout Result, _ deadline: ContinuousClock.Instant,
        _ goesOn: () -> Bool
    ) -> Failure? {
        var hasErrors = true
        while true {
            guard goesOn() else { return .cancelled }
            let left = (deadline - ContinuousClock().now) / .milliseconds(1)
            guard left > 0, result.output.count + result.errors.count <= outputLimit else { return .tookTooLong }
            var requests = [
                pollfd(fd: pipes.output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: hasErrors ? pipes.errors : -1, events: Int16(POLLIN), revents: 0),
            ]
            // Now and then somebody must ask whether to go on.
            let ready = poll(&requests, 2, Int32(min(left, 200)))
            if ready < 0, errno != EINTR { return .tookTooLong }
            guard ready > 0 else { continue }
            if requests[1].revents != 0 { hasErrors = takePiece(pipes.errors, &result.errors) }
            if requests[0].revents != 0, !takePiece(pipes.output, &result.output) { return nil }
        }
    }

    /// Appends what there is to read; false at the end.
    private static func takePiece(_ descriptor: Int32, _ bytes: inout [UInt8]) -> Bool {
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        let count = read(descriptor, &piece, piece.count)
        if count < 0 { return errno == EINTR }
        bytes += piece[..<count]
        return count > 0
    }

    /// Appends what is left in the pipe, without waiting for more.
    private static func drain(_ descriptor: Int32, _ bytes: inout [UInt8]) {
        while bytes.count <= outputLimit {
            var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, 0) > 0, takePiece(descriptor, &bytes) else { return }
        }
    }

    /// Waits for the end of a program that has closed its output or was killed, and returns its status as a shell has it.
    ///
    /// It is there at once, unless the program goes on regardless, or hangs in a driver, where not even being killed
    /// ends it.
    private static func reap(_ child: pid_t) -> Int32 {
        var status: Int32 = 0
        let deadline = ContinuousClock().now + .seconds(1)
        while waitpid(child, &status, WNOHANG) == 0 {
            if ContinuousClock().now > deadline {
                kill(-child, SIGKILL)
                waitpid(child, &status, WNOHANG)
                return 128 + SIGKILL
            }
            poll(nil, 0, 5)
        }
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }
}
