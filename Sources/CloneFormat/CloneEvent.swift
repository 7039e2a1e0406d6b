// SPDX-License-Identifier: GPL-3.0-or-later

/// One line of `events.jsonl`: what happened when.
public struct CloneEvent: Sendable, Hashable, Codable {
    /// The kinds of event.
    public enum Kind: String, Sendable, Hashable, Codable {
        case captureStarted = "capture_started"
        case captureResumed = "capture_resumed"
        case diskStarted = "disk_started"
        case diskResumed = "disk_resumed"
        case diskFinished = "disk_finished"
        case captureFinished = "capture_finished"
        case captureFailed = "capture_failed"
        case captureCancelled = "capture_cancelled"
        /// A step of an unattended run.
        case step
    }

    /// File name in the clone's folder.
    public static let fileName = "events.jsonl"

    /// When, RFC 3339, UTC.
    public var time: String
    /// What.
    public var event: Kind
    /// The disk, where it concerns one.
    public var disk: String?
    /// Details for people.
    public var message: String?
    /// Bytes read from the source so far.
    public var bytesRead: Int64?
    /// Seconds since the capture, or the disk, began.
    public var seconds: Double?

    /// Makes an event of the present moment.
    public init(
        _ event: Kind, disk: String? = nil, message: String? = nil, bytesRead: Int64? = nil, seconds: Double? = nil
    ) {
        time = Timestamp().rfc3339
        self.event = event
        self.disk = disk
        self.message = message
        self.bytesRead = bytesRead
        self.seconds = seconds
    }
}
