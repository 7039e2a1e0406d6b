// SPDX-License-Identifier: GPL-3.0-or-later

/// How much a program tells of its work on standard error.
public enum LogLevel: String, Sendable, Hashable, CaseIterable, Comparable {
    case error, warning, info, debug

    /// Orders by how much is told.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// Writes what a program does to standard error, a line a message: `warning: …`.
public struct Log: Sendable {
    private let level: LogLevel

    /// Makes a log that leaves out what is more detailed than `level`.
    public init(level: LogLevel) { self.level = level }

    /// Writes `message` when the log's level takes it; what it contains cannot steer a terminal.
    public func write(_ level: LogLevel, _ message: @autoclosure () -> String) {
        guard level <= self.level else { return }
        Terminal.standardError.write("\(level.rawValue): \(Terminal.visible(message()))\n")
    }
}
