// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// How far a verification is; written by its threads, read by whoever shows it.
public final class VerificationProgress: Sendable {
    private let total = Atomic<Int64>(0)
    private let done = Atomic<Int64>(0)
    private let read = Atomic<Int64>(0)
    private let disk = Mutex("")

    /// Makes a progress of which nothing is done.
    public init() {}

    /// Sum of the disks' lengths in bytes; 0 until the manifest was read.
    public var bytesTotal: Int64 { total.load(ordering: .relaxed) }
    /// Bytes of disks that are dealt with: read, known to be holes, or given up.
    public var bytesDone: Int64 { done.load(ordering: .relaxed) }
    /// Bytes of disks that were read from images.
    public var bytesRead: Int64 { read.load(ordering: .relaxed) }
    /// Name of the disk that is being checked; empty before the first and after the last.
    public var currentDisk: String { disk.withLock { $0 } }

    func begin(total bytes: Int64) { total.store(bytes, ordering: .relaxed) }

    func startDisk(_ name: String) { disk.withLock { $0 = name } }

    func addRead(_ bytes: Int64) {
        read.wrappingAdd(bytes, ordering: .relaxed)
        done.wrappingAdd(bytes, ordering: .relaxed)
    }

    func addSkipped(_ bytes: Int64) { done.wrappingAdd(bytes, ordering: .relaxed) }

    /// Notes that everything up to `bytes` is dealt with, checked or not.
    func finishDisk(at bytes: Int64) { done.store(bytes, ordering: .relaxed) }
}
