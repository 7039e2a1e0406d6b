// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CloneFormat
internal import DiskImage
internal import DiskLayout
internal import Synchronization

/// Bytes and the time they took.
public struct Throughput: Sendable, Hashable {
    /// Bytes moved.
    public var bytes: Int64
    /// Time from the first to the last.
    public var duration: Duration

    /// Makes a measured value.
    public init(bytes: Int64, duration: Duration) {
        self.bytes = bytes
        self.duration = duration
    }

    /// Bytes a second; nil when nothing was moved.
    public var bytesPerSecond: Double? {
        bytes > 0 && duration > .zero ? Double(bytes) / (duration / .seconds(1)) : nil
    }
}

/// Measures what a capture depends on: reading the source, hashing and compressing, writing to the target.
///
/// Each measurement stops after its time, so that slow media cost seconds and fast ones are measured long enough.
public struct ThroughputMeasurement: Sendable {
    private let timeLimit: Duration
    private let cancellation: CancellationFlag

    /// Prepares measurements of about `timeLimit` each.
    public init(timeLimit: Duration = .seconds(3), cancellation: CancellationFlag = CancellationFlag()) {
        self.timeLimit = timeLimit
        self.cancellation = cancellation
    }

    private static let blockLength = 1 << 20

    /// Reads what is in use of `disk`, in stretches at its begin, middle and end, and keeps samples of its content.
    ///
    /// - Returns: the rate over all stretches, and up to 32 MiB of content, evenly from what was read.
    /// - Throws: `CaptureError` for a read that fails.
    public func read(
        _ disk: CaptureDisk
    ) throws(CaptureError) -> (throughput: Throughput, sample: [UInt8]) {
        let stretches: Int64 = 3
        let stretchLength = disk.source.lengthInBytes / stretches
        var total = Throughput(bytes: 0, duration: .zero)
        let samples = Mutex<[UInt8]>([])
        for index in 0..<stretches {
            let start = stretchLength * index / Int64(Self.blockLength) * Int64(Self.blockLength)
            let limit = min(stretchLength, 2 << 30)
            let part = try readStretch(disk, start, limit, samples)
            total.bytes += part.bytes
            total.duration += part.duration
        }
        return (total, samples.withLock { $0 })
    }

    private func readStretch(
        _ disk: CaptureDisk, _ start: Int64, _ limit: Int64, _ samples: borrowing Mutex<[UInt8]>
    ) throws(CaptureError) -> Throughput {
        let source = disk.source
        // As a capture reads: so many, and so much at once.
        let length = disk.access.requestLength
        let clock = ContinuousClock()
        let begin = clock.now
        let deadline = begin + timeLimit / 3
        let next = Atomic<Int64>(start)
        let done = Atomic<Int64>(0)
        let failure = Mutex<BlockError?>(nil)
        let collected = Mutex<[UInt8]>([])
        try Self.parallel(min(disk.access.parallelReads ?? 8, 8)) {
            let buffer = AlignedBuffer(count: length)
            // One read each, however late a busy machine lets it begin.
            var hasRead = false
            while !cancellation.isCancelled, !hasRead || clock.now < deadline {
                let offset = next.add(Int64(length), ordering: .relaxed).oldValue
                let count = min(Int64(length), min(start + limit, source.lengthInBytes) - offset)
                guard count > 0 else { return }
                if let gap = disk.map?.gap(atOrBehind: offset), gap.offset <= offset, gap.end >= offset + count {
                    continue
                }
                do throws(BlockError) {
                    try source.read(into: buffer.prefix(Int(count)), at: offset)
                } catch {
                    failure.withLock { if $0 == nil { $0 = error } }
                    return
                }
                hasRead = true
                done.add(count, ordering: .relaxed)
                // Zeros say nothing of how content compresses.
                guard !UnsafeRawBufferPointer(buffer.prefix(Int(count))).isAllZero else { continue }
                collected.withLock { if $0.count < 10 << 20 { $0 += buffer.prefix(min(Int(count), 1 << 20)) } }
            }
        }
        if let error = failure.withLock({ $0 }) { throw .io(error) }
        if cancellation.isCancelled { throw .cancelled(folder: "the measurement") }
        samples.withLock { $0 += collected.withLock { $0 } }
        return Throughput(bytes: done.load(ordering: .relaxed), duration: clock.now - begin)
    }

    /// Runs the capture's own pipeline over `sample`, again and again, into nothing.
    ///
    /// - Returns: the rate, and the length of the image as a share of the content's.
    public func compute(
        _ sample: [UInt8], _ options: CaptureOptions
    ) throws(CaptureError) -> (throughput: Throughput, ratio: Double) {
        var length = Int64(sample.count)
        guard length > 0 else { return (Throughput(bytes: 0, duration: .zero), 1) }
        let clock = ContinuousClock()
        while true {
            let source = RepeatedSample(sample, length: length)
            let writer: any ImageWriter
            do throws(ImageError) {
                writer = try Qcow2Writer(
                    NullSink(), diskLength: length,
                    options: .init(
                        clusterSize: options.clusterSize, compression: options.compression, level: options.level),
                    unitLength: AccessPattern.paired.requestLength)
            } catch {
                throw .image(error)
            }
            let start = clock.now
            let result = try DiskCapture(
                disk: DiskExtents(source: source), writer: writer,
                chunkFile: ChunkFileWriter(
                    NullSink(), cloneUUID: [UInt8](repeating: 0, count: 16), diskLength: length),
                options: options, folder: "the measurement", progress: CaptureProgress(), cancellation: cancellation
            ).run()
            let duration = clock.now - start
            if duration * 3 >= timeLimit || length >= 64 << 30 {
                return (
                    Throughput(bytes: length, duration: duration), Double(result.summary.fileLength) / Double(length)
                )
            }
            length *= 4
        }
    }

    /// Writes random content to a new file in `folder`, synchronised step by step, and removes it.
    ///
    /// - Throws: `CaptureError` when the target refuses, or has less than 64 MiB free.
    public func write(to folder: String, direct: Bool) throws(CaptureError) -> Throughput {
        do throws(BlockError) {
            let free = try Folder.freeSpace(in: folder)
            guard free >= 64 << 20 else {
                throw BlockError(.create, folder, .invalid("only \(free) bytes are free there"))
            }
            let path = "\(folder)/.coldclone-bench-\(UUIDText.random())"
            let sink = try FileSink(creating: path, direct: direct)
            defer { try? Folder.remove(path) }
            let buffer = AlignedBuffer(count: 8 << 20)
            var generator = SystemRandomNumberGenerator()
            for place in stride(from: 0, to: 8 << 20, by: 8) {
                buffer.bytes.storeBytes(of: generator.next(), toByteOffset: place, as: UInt64.self)
            }
            let clock = ContinuousClock()
            let start = clock.now
            var written: Int64 = 0
            var step: Int64 = 8 << 20
            let limit = min(free / 4, 4 << 30)
            repeat {
                let end = min(written + step, limit)
                while written < end {
                    try sink.write(UnsafeRawBufferPointer(buffer.bytes), at: written)
                    written += 8 << 20
                }
                // Each step until it is durable: a slow target then costs seconds, however much the cache takes.
                try sink.synchronize()
                step = min(step * 2, 256 << 20)
            } while clock.now - start < timeLimit && written < limit && !cancellation.isCancelled
            return Throughput(bytes: written, duration: clock.now - start)
        } catch {
            throw .io(error)
        }
    }

    private static func parallel(_ threads: Int, _ body: @Sendable () -> Void) throws(CaptureError) {
        do throws(BlockError) {
            try withoutActuallyEscaping(body) { (body) throws(BlockError) in
                try ParallelWork.run(threads: threads) { _ in body() }
            }
        } catch {
            throw .io(error)
        }
    }
}

/// Content that repeats, as long as one likes.
private struct RepeatedSample: BlockSource {
    private let sample: [UInt8]
    let lengthInBytes: Int64
    var name: String { "sample" }
    var logicalSectorSize: Int { 512 }
    var physicalSectorSize: Int { 512 }

    init(_ sample: [UInt8], length: Int64) {
        self.sample = sample
        lengthInBytes = length
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        sample.withUnsafeBytes { sample in
            var filled = 0
            while filled < buffer.count {
                let place = Int((offset + Int64(filled)) % Int64(sample.count))
                let count = min(sample.count - place, buffer.count - filled)
                buffer.part(filled, count).copyMemory(from: sample.part(place, count))
                filled += count
            }
        }
    }
}

/// A sink that keeps nothing.
private struct NullSink: BlockSink {
    var name: String { "nothing" }
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) {}
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) { buffer.clear() }
    func setLength(_ lengthInBytes: Int64) {}
    func synchronize() {}
    func close() {}
}
