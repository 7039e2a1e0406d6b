// SPDX-License-Identifier: GPL-3.0-or-later

/// How an unattended run ended, `outcome.json`.
public struct RunOutcome: Sendable, Hashable, Codable {
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 1, minor: 0)
    /// Where the live system keeps it.
    public static let path = "/run/coldclone/outcome.json"
    /// Longest that is read, in bytes.
    public static let maximumLength = 256 << 10

    /// How it ended.
    public enum State: String, Sendable, Hashable, Codable {
        case done, degraded, failed, cancelled
    }

    /// Always `coldclone-outcome`.
    public var format = "coldclone-outcome"
    /// Version of the format.
    public var version = RunOutcome.currentVersion
    /// How it ended.
    public var state: State
    /// The exit code.
    public var exitCode: Int32
    /// The clone's name, when there is one.
    public var clone: String?
    /// The receiver's verdict, or the clone's own state where no receiver was asked.
    public var verdict: String?
    /// Why it failed.
    public var reason: String?
    /// What can be done about it.
    public var hint: String?
    /// When it began, RFC 3339, UTC.
    public var startedAt: String
    /// When it ended, RFC 3339, UTC.
    public var finishedAt: String

    /// Makes an outcome of the present moment.
    public init(state: State, exitCode: ExitCode, startedAt: String) {
        self.state = state
        self.exitCode = exitCode.rawValue
        self.startedAt = startedAt
        finishedAt = Timestamp().rfc3339
    }

    /// Returns the file's bytes.
    public func encoded() throws -> [UInt8] { try JSONText.encode(self) }

    /// Reads the file's bytes.
    public init(opening bytes: [UInt8]) throws(FormatError) {
        self = try JSONText.decode(bytes, file: Self.path)
        guard format == "coldclone-outcome", version.major == Self.currentVersion.major else {
            throw .unsupportedVersion(file: Self.path, version: version, supported: Self.currentVersion)
        }
    }

    /// The line that says it, without the program's name.
    public var line: String {
        switch state {
        case .done, .degraded: "done: \(clone ?? "") \(verdict ?? state.rawValue)"
        case .failed: "failed: \(reason ?? "")"
        case .cancelled: "cancelled: \(reason ?? "")"
        }
    }
}
