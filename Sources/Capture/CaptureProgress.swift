// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// Counters that a running capture moves and anybody may read.
public final class CaptureProgress: Sendable {
    private let total = Atomic<Int64>(0)
    private let read = Atomic<Int64>(0)
    private let skipped = Atomic<Int64>(0)
    private let disks = Mutex<[String]>([])

    private let target = Mutex(TargetWait())

    private struct TargetWait {
        var writers = 0
        var lastAnswer = ContinuousClock.now
    }

    /// Time for which the target has been asked and has not answered; nil while it does.
    ///
    /// An NFS server that hangs says nothing at all, however long: nfs(5), hard mounts.
    public var targetSilence: Duration? {
        target.withLock { $0.writers > 0 ? ContinuousClock.now - $0.lastAnswer : nil }
    }

    func beginWrite() {
        target.withLock { target in
            if target.writers == 0 { target.lastAnswer = .now }
            target.writers += 1
        }
    }

    func endWrite() {
        target.withLock { target in
            target.writers -= 1
            target.lastAnswer = .now
        }
    }

    /// Makes counters at zero.
    public init() {}

    /// Bytes there are to read from all disks.
    public var bytesToRead: Int64 { total.load(ordering: .relaxed) }
    /// Bytes read from the sources so far.
    public var bytesRead: Int64 { read.load(ordering: .relaxed) }
    /// Bytes passed over so far because they are known to be unused.
    public var bytesSkipped: Int64 { skipped.load(ordering: .relaxed) }
    /// Names of the disks that are being captured.
    public var currentDisks: [String] { disks.withLock { $0 } }

    func begin(bytesToRead: Int64) { total.store(bytesToRead, ordering: .relaxed) }
    func enter(disk name: String) { disks.withLock { $0.append(name) } }
    func leave(disk name: String) { disks.withLock { $0.removeAll { $0 == name } } }
    func addRead(_ count: Int64) { read.add(count, ordering: .relaxed) }
    func addSkipped(_ count: Int64) { skipped.add(count, ordering: .relaxed) }
}
