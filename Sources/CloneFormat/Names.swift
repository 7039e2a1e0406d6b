// SPDX-License-Identifier: GPL-3.0-or-later

internal import FoundationEssentials

/// Names of files in a clone's folder, and of the folder itself.
public enum FileName {
    /// Tells whether `name` can only mean a plain file in its folder: no separator, no leading dot, nothing odd.
    public static func isSafe(_ name: String) -> Bool {
        guard (1...200).contains(name.utf8.count), !name.hasPrefix("."), !name.hasPrefix("-") else { return false }
        return name.utf8.allSatisfy(isPlain)
    }

    /// Returns `text` with everything odd replaced by `-`, or `fallback` when nothing is left.
    public static func sanitize(_ text: String, fallback: String) -> String {
        let trimmed = text.utf8.map { isPlain($0) ? $0 : UInt8(ascii: "-") }
        let name = String(decoding: trimmed.drop { ".-".utf8.contains($0) }.prefix(100), as: UTF8.self)
        return name.isEmpty ? fallback : name
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            return true
        default: return false
        }
    }
}

/// UUIDs in RFC 9562 text form.
public enum UUIDText {
    /// Returns a new random UUID, lower case.
    public static func random() -> String { UUID().uuidString.lowercased() }

    /// Returns the 16 bytes of `text`, or nil when it is no UUID.
    public static func bytes(_ text: String) -> [UInt8]? {
        guard let uuid = UUID(uuidString: text) else { return nil }
        return withUnsafeBytes(of: uuid.uuid) { Array($0) }
    }
}

/// Points in time, in UTC.
public struct Timestamp: Sendable {
    private let date: Date

    /// Takes the present moment.
    public init() { date = Date() }

    private init(_ date: Date) { self.date = date }

    /// Returns the time so many seconds later.
    public func adding(seconds: Int) -> Timestamp { Timestamp(date.addingTimeInterval(TimeInterval(seconds))) }

    /// RFC 3339 with seconds, `2026-11-22T10:30:00Z`.
    public var rfc3339: String { date.formatted(.iso8601) }

    /// The compact form of clone names, `20261122T103000Z`.
    public var compact: String {
        rfc3339.filter { $0 != "-" && $0 != ":" }
    }
}
