// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import DiskImage

/// How disks are captured.
public struct CaptureOptions: Sendable, Hashable {
    /// Format of the images.
    public var format: ImageFormat
    /// Compression of qcow2 clusters.
    public var compression: ImageCompression
    /// The compressor's level; nil for the default.
    public var level: Int?
    /// Bytes a qcow2 cluster.
    public var clusterSize: Int
    /// Most memory for content in flight, in bytes.
    public var memoryLimit: Int
    /// Threads that read, hash, compress and write; nil for the number that suits the machine.
    public var jobs: Int?
    /// Whether images are written past the page cache, where the target grants that.
    public var writesDirect: Bool
    /// How often bad sectors are read again after all else.
    public var retries = 1
    /// Longest time that is spent on a disk's bad places; nil for as long as it takes.
    public var recoveryTimeLimit: Duration?

    /// Makes options; the defaults are an uncompressed qcow2 image with 64 KiB clusters and 256 MiB in flight.
    public init(
        format: ImageFormat = .qcow2, compression: ImageCompression = .none, level: Int? = nil,
        clusterSize: Int = 64 << 10, memoryLimit: Int = 256 << 20, jobs: Int? = nil,
        writesDirect: Bool = false
    ) {
        self.format = format
        self.compression = compression
        self.level = level
        self.clusterSize = clusterSize
        self.memoryLimit = memoryLimit
        self.jobs = jobs
        self.writesDirect = writesDirect
    }

    /// Returns the number of threads for units of `unitLength` bytes.
    ///
    /// Four a processor, so that as many requests are on their way to disk and target while others compute; each holds
    /// a unit and, compressing, as much again.
    func threadCount(unitLength: Int) -> Int {
        let perThread = unitLength * (compression == .none ? 1 : 2)
        let affordable = max(memoryLimit / perThread, 1)
        return min(jobs ?? min(max(ParallelWork.processorCount * 4, 8), 64), affordable)
    }
}

/// A disk to be captured.
public struct CaptureDisk: Sendable {
    /// Short name, unique in the clone: the base of its files' names.
    public var name: String
    /// What it is read from.
    public var source: any BlockSource

    /// Makes a disk to be captured.
    public init(name: String, source: any BlockSource) {
        self.name = name
        self.source = source
    }
}
