// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat
internal import Synchronization

/// Appends to a clone's `events.jsonl`.
final class EventLog: Sendable {
    private let sink: FileSink
    private let offset = Mutex<Int64>(0)

    init(folder: String) throws(BlockError) {
        sink = try FileSink(creating: "\(folder)/\(CloneEvent.fileName)")
        _ = sink.lock()
    }

    /// Goes on with the log of an earlier run; nobody else may be at it.
    ///
    /// - Throws: `BlockError` when another process holds it.
    init(resuming folder: String) throws(BlockError) {
        let path = "\(folder)/\(CloneEvent.fileName)"
        sink = Folder.exists(path) ? try FileSink(resuming: path) : try FileSink(creating: path)
        guard sink.lock() else { throw BlockError(.open, folder, .invalid("another capture is at work there")) }
        let end = try sink.length()
        offset.withLock { $0 = end }
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

extension CloneEvent {
    /// Appends `events` to the log of the clone in `folder`, on which nobody is at work.
    ///
    /// The log must not be what makes a run fail: where it cannot be written, it is left as it is.
    public static func append(_ events: [CloneEvent], to folder: String) {
        guard !events.isEmpty, let log = try? EventLog(resuming: folder) else { return }
        for event in events { log.append(event) }
        log.synchronize()
    }
}
