// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// Counters that a running capture moves and anybody may read.
public final class CaptureProgress: Sendable {
    private let total = Atomic<Int64>(0)
    private let read = Atomic<Int64>(0)
    private let skipped = Atomic<Int64>(0)
    private let disks = Mutex<[String]>([])

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
