// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// A test's own surroundings failed, with the reason.
public struct ToolError: Error, CustomStringConvertible {
    /// The reason.
    public let description: String
    /// Makes an error.
    public init(_ description: String) { self.description = description }
}

/// Programs that tests run: oracles, and our own.
public enum Tool {
    /// What a finished program left.
    public struct Result: Sendable {
        /// Exit status; 128 + the number of the signal that ended it.
        public var status: Int32
        /// Standard output.
        public var output: String
        /// Standard error.
        public var errors: String
    }

    /// Whether every program in `names` is installed; for `.enabled(if:)`.
    ///
    /// Under CI nothing may be missing.
    public static func isInstalled(_ names: String...) -> Bool {
        if getenv("CI") != nil { return true }
        return names.allSatisfy { path(of: $0) != nil }
    }

    /// Returns the path of a program, which may be in sbin though the user's PATH leaves that out.
    static func path(of program: String) -> String? {
        if program.contains("/") { return program }
        // Types are spelled out: left to inference, the sum is an array of Any, and no program is ever found.
        let variable: String = getenv("PATH").map { String(cString: $0) } ?? ""
        let folders: [Substring] = variable.split(separator: ":") + ["/usr/sbin", "/sbin"]
        return folders.map { folder -> String in "\(folder)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// Runs a program to its end and returns what it left.
    public static func run(
        _ program: String, _ arguments: [String] = [], environment: [String] = []
    ) throws -> Result {
        try RunningTool(program, arguments, environment: environment).wait()
    }

    /// Runs a program that must succeed and returns its standard output.
    @discardableResult
    public static func output(_ program: String, _ arguments: [String] = []) throws -> String {
        let result = try run(program, arguments)
        guard result.status == 0 else {
            throw ToolError(
                "\(program) \(arguments.joined(separator: " ")): \(result.status) \(result.errors)\(result.output)")
        }
        return result.output
    }
}

/// A program that runs beside the test.
public final class RunningTool: Sendable {
    /// Its process id.
    public let processID: Int32
    private let output: Int32
    private let errors: Int32
    private let result = Mutex<Tool.Result?>(nil)

    /// Starts `program`; its output goes to files without a name, so that no pipe can fill up.
    ///
    /// posix_spawn(3).
    public init(_ program: String, _ arguments: [String] = [], environment: [String] = []) throws {
        output = try Self.unnamedFile()
        errors = try Self.unnamedFile()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        // Threads of the test runner have signals blocked, which a program would inherit.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var variables: [String] = []
        var entry = environ
        while let text = entry.pointee {
            variables.append(String(cString: text))
            entry += 1
        }
        guard let path = Tool.path(of: program) else { throw ToolError("\(program) is not installed") }
        var pid: pid_t = 0
        let status = Self.withCStrings([program] + arguments) { argv in
            Self.withCStrings(variables + environment) { envp in
                posix_spawn(&pid, path, &actions, &attributes, argv, envp)
            }
        }
        guard status == 0 else { throw ToolError("cannot start \(program): errno \(status)") }
        processID = pid
    }

    deinit {
        if result.withLock({ $0 == nil }) {
            kill(processID, SIGKILL)
            var status: Int32 = 0
            waitpid(processID, &status, 0)
        }
        close(output)
        close(errors)
    }

    /// Sends `signal` to the program.
    public func send(_ signal: Int32) { kill(processID, signal) }

    /// Whether the program has not ended yet.
    ///
    /// waitid(2), which leaves the status for `wait`.
    public var isRunning: Bool {
        var information = siginfo_t()
        guard result.withLock({ $0 == nil }),
            waitid(P_PID, id_t(processID), &information, WEXITED | WNOHANG | WNOWAIT) == 0
        else { return false }
        return information.si_signo == 0
    }

    /// Waits for the end and returns what the program left.
    public func wait() throws -> Tool.Result {
        try result.withLock { result in
            if let result { return result }
            var status: Int32 = 0
            while waitpid(processID, &status, 0) == -1 {
                guard errno == EINTR else { throw ToolError("waitpid: errno \(errno)") }
            }
            let signal = status & 0x7f
            let finished = Tool.Result(
                status: signal == 0 ? status >> 8 & 0xff : 128 + signal, output: Self.content(of: output),
                errors: Self.content(of: errors))
            result = finished
            return finished
        }
    }

    private static func unnamedFile() throws -> Int32 {
        var template = Array("/tmp/coldclone-output.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw ToolError("mkstemp: errno \(errno)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(template)
        return descriptor
    }

    private static func content(of descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = pread(descriptor, &piece, piece.count, off_t(bytes.count))
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece[..<count]
        }
    }

    private static func withCStrings<Value>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
    ) -> Value {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}
