// SPDX-License-Identifier: GPL-3.0-or-later

/// State of a running capture, `journal`: its presence means that the clone is not complete.
public struct Journal: Sendable, Hashable, Codable {
    /// File name in the clone's folder.
    public static let fileName = "journal"
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 1, minor: 0)

    /// Always `coldclone-journal`.
    public var format = "coldclone-journal"
    /// Version of the format.
    public var version = Journal.currentVersion
    /// Name of the clone's folder.
    public var cloneId: String
    /// Random identity of the clone, RFC 9562 text form.
    public var cloneUuid: String
    /// Start of the capture, RFC 3339, UTC.
    public var startedAt: String

    /// Makes the journal of a capture that begins.
    public init(cloneId: String, cloneUuid: String, startedAt: String) {
        self.cloneId = cloneId
        self.cloneUuid = cloneUuid
        self.startedAt = startedAt
    }

    /// Returns the file's bytes.
    public func encoded() throws -> [UInt8] { try JSONText.encode(self) }
}
