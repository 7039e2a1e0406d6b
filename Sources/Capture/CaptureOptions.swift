// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CloneFormat
public import DiskImage
public import DiskLayout

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
    /// Units in work at the same time, half of them being read; nil for the number that suits the machine.
    public var jobs: Int?
    /// Whether images are written past the page cache, where the target grants that.
    public var writesDirect: Bool
    /// Whether it is found out at the begin of a long capture if `writesDirect` pays.
    public var choosesDirect = false
    /// How often bad sectors are read again after all else.
    public var retries = 1
    /// Longest time that is spent on a disk's bad places; nil for as long as it takes.
    public var recoveryTimeLimit: Duration?
    /// Most bytes that are read a second from all disks together; nil for as many as there come.
    public var rateLimit: Int?
    /// Whether clusters are compressed only while the target is what everything waits for.
    public var adaptsCompression = false
    /// Most disks that are captured at the same time, each of another lane.
    public var parallelDisks = 4
    /// Most bytes of content that an interruption may cost, of all disks together: 64 MiB.
    public var interruptionCost = 64 << 20
    /// Threads that a disk gets for each processor, where nobody says how many.
    var threadsPerProcessor = 4
    /// Number of captures that share memory and what an interruption may cost.
    var sharers = 1

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
    /// Several a processor, so that as many requests are on their way to disk and target while others compute; each
    /// holds a unit and, compressing, as much again. What is in flight is done again after an interruption, and is bounded.
    func threadCount(unitLength: Int) -> Int {
        let perThread = unitLength * (compression == .none ? 1 : 2)
        let affordable = max(min(memoryLimit / perThread, interruptionCost / 2 / unitLength) / sharers, 1)
        return min(jobs ?? min(max(ParallelWork.processorCount * threadsPerProcessor, 8), 64), affordable)
    }

    /// Returns the options for a disk that is read by `access`.
    func fitted(to access: AccessPattern) -> CaptureOptions {
        var options = self
        options.threadsPerProcessor = access.threadsPerProcessor
        return options
    }
}

/// A disk to be captured.
public struct CaptureDisk: Sendable {
    /// Short name, unique in the clone: the base of its files' names.
    public var name: String
    /// What it is read from.
    public var source: any BlockSource
    /// What of it is in use; nil for all.
    public var map: AllocationMap?
    /// What it shares with others, such as a spindle or a controller's link.
    ///
    /// Disks of one lane are captured one after the other.
    public var lane: String
    /// What lies where, for telling what a loss means; empty where nobody looked.
    public var places: [VolumePlace] = []
    /// How it is read best.
    public var access = AccessPattern.parallel
    /// What an earlier clone has of it.
    var base: BaseDisk?

    /// Makes a disk to be captured.
    public init(name: String, source: any BlockSource, map: AllocationMap? = nil, lane: String = "") {
        self.name = name
        self.source = source
        self.map = map
        self.lane = lane
    }
}

extension CaptureOptions {
    /// Checks that `disks` can be captured so, before anything is created.
    func check(_ disks: [CaptureDisk]) throws(CaptureError) {
        guard !disks.isEmpty else { throw .invalid("there is no disk to capture", hint: nil) }
        if format == .raw, compression != .none {
            throw .invalid("a raw image cannot be compressed", hint: "use --format qcow2, or --compression none")
        }
        var names = Set<String>()
        for disk in disks {
            guard FileName.isSafe(disk.name), names.insert(disk.name).inserted else {
                throw .invalid("\(disk.name.debugDescription) is no name for a disk, or stands twice", hint: nil)
            }
            guard disk.source.lengthInBytes <= ChunkFileHeader.maximumDiskLength else {
                throw .invalid("\(disk.source.name) is longer than 2^53 bytes", hint: nil)
            }
            guard format == .qcow2 else { continue }
            do throws(ImageError) {
                try Qcow2Writer.check(qcow2Options(of: disk), diskLength: disk.source.lengthInBytes)
            } catch {
                throw .image(error)
            }
        }
    }

    /// The options of the qcow2 image of `disk`.
    func qcow2Options(of disk: CaptureDisk) -> Qcow2Writer.Options {
        .init(clusterSize: clusterSize, compression: compression, level: level, backing: disk.overlaid?.backing)
    }
}

extension CaptureDisk {
    /// The earlier clone's disk that an overlay leaves content to; nil when the image is to hold everything.
    var overlaid: BaseDisk? { base?.kind == .overlay ? base : nil }
}
