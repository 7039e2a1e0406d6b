// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Synchronization

/// Appends to a clone's `events.jsonl`.
final class EventLog: Sendable {
    private let sink: FileSink
    private let offset = Mutex<Int64>(0)

    init(folder: String) throws(BlockError) {
        sink = try FileSink(creating: "\(folder)/\(CloneEvent.fileName)")
    }

    /// Appends one event.
    ///
    /// The log must not be what makes a capture fail: errors are left to the files that matter.
    func append(_ event: CloneEvent) {
        guard let line = try? JSONText.encode(event, compact: true) else { return }
        offset.withLock { offset in
            guard (try? sink.write(line, at: offset)) != nil else { return }
            offset += Int64(line.count)
        }
    }

    /// Returns when all events are on stable storage.
    func synchronize() { try? sink.synchronize() }
}
