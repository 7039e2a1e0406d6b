// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization

/// Finds out whether writing past the page cache pays on a target: it saves memory and copying, but not every disk and
/// file system takes it as fast.
///
/// Compressed images are written at no alignment, network file systems and those of other systems (NFS, CIFS, exFAT,
/// NTFS, FAT) gain nothing: they are written through the cache. On ext4 and XFS both ways are tried for a second.
struct DirectWriteTrial {
    /// Captures below this are over before a trial has paid.
    private static let worthwhile: Int64 = 8 << 30
    private static let blockLength = 1 << 20
    private static let blocks = 64
    private static let timeLimit = Duration.seconds(1)

    /// The clone's folder.
    let folder: String
    let cancellation: CancellationFlag

    /// Tells whether images of `options` are to be written past the page cache.
    func pays(bytesToRead: Int64, _ options: CaptureOptions) -> Bool {
        guard bytesToRead >= Self.worthwhile, options.compression == .none, !options.adaptsCompression,
            (try? Folder.isOnPlainDiskFileSystem(folder)) == true,
            let free = try? Folder.freeSpace(in: folder), free >= Int64(4 * Self.blocks * Self.blockLength),
            let cached = rate(direct: false), let direct = rate(direct: true)
        else { return false }
        return direct >= cached * 0.9
    }

    /// What the threads of a trial share.
    private final class Tally: Sendable {
        let next = Atomic<Int>(0)
        let written = Atomic<Int64>(0)
        let hasFailed = Atomic<Bool>(false)
    }

    /// Returns the bytes a second that a new file takes, durable at the end; nil where it cannot be said.
    private func rate(direct: Bool) -> Double? {
        let path = "\(folder)/.trial-\(UUIDText.random())"
        guard let sink = try? FileSink(creating: path, direct: direct) else { return nil }
        defer { try? Folder.remove(path) }
        guard sink.isDirect == direct else { return nil }
        let tally = Tally()
        let cancellation = cancellation
        let start = ContinuousClock.now
        // As a capture writes: several blocks at the same time, at the file's growing end.
        let work: @Sendable (Int) -> Void = { _ in
            let buffer = AlignedBuffer(count: Self.blockLength)
            var generator = SystemRandomNumberGenerator()
            for place in stride(from: 0, to: Self.blockLength, by: 8) {
                buffer.bytes.storeBytes(of: generator.next(), toByteOffset: place, as: UInt64.self)
            }
            let block = UnsafeRawBufferPointer(buffer.bytes.part(0, Self.blockLength))
            while ContinuousClock.now - start < Self.timeLimit, !cancellation.isCancelled {
                let number = tally.next.add(1, ordering: .relaxed).oldValue
                guard number < Self.blocks else { return }
                guard (try? sink.write(block, at: Int64(number * Self.blockLength))) != nil else {
                    return tally.hasFailed.store(true, ordering: .relaxed)
                }
                tally.written.add(Int64(Self.blockLength), ordering: .relaxed)
            }
        }
        guard (try? ParallelWork.run(threads: 4, work)) != nil, (try? sink.synchronize()) != nil,
            !tally.hasFailed.load(ordering: .relaxed), !cancellation.isCancelled
        else { return nil }
        let duration = ContinuousClock.now - start
        return Throughput(bytes: tally.written.load(ordering: .relaxed), duration: duration).bytesPerSecond
    }
}
