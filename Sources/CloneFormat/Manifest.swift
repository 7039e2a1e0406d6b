// SPDX-License-Identifier: GPL-3.0-or-later

/// The clone's description, `manifest.json`: written last, its presence means that the clone is complete.
public struct Manifest: Sendable, Hashable, Codable {
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 1, minor: 1)
    /// File name in the clone's folder.
    public static let fileName = "manifest.json"
    /// Longest manifest that is read, in bytes.
    public static let maximumLength = 64 << 20
    /// Most skipped or unreadable ranges that are listed one by one; the totals count all.
    public static let maximumListedExtents = 10_000

    /// Always `coldclone-manifest`.
    public var format = "coldclone-manifest"
    /// Version of the format.
    public var version = Manifest.currentVersion
    /// SHA-256 over the file's bytes with this value's 64 digits as zeros.
    public var selfDigest = Digest.placeholder
    /// Name of the clone's folder.
    public var cloneId: String
    /// Random identity that ties the clone's files together, in RFC 9562 text form.
    public var cloneUuid: String
    /// The source machine.
    public var machine: MachineIdentity
    /// The program that made the clone.
    public var agent: Program
    /// Start of the capture, RFC 3339, UTC.
    public var startedAt: String
    /// End of the capture, RFC 3339, UTC.
    public var finishedAt: String
    /// Whether everything could be read.
    public var state: CloneState
    /// Length of a chunk in bytes.
    public var chunkSizeInBytes = Chunk.size
    /// The disks, in the machine's order.
    public var disks: [DiskRecord]
    /// SHA-256 of `domain.xml`; nil where there is none.
    public var domainDigest: Digest?
    /// What became of free space, volume by volume; nil where nobody looked.
    public var freeSpace: FreeSpaceRecord?
    /// The earlier clone that this one was made against; nil for none.
    public var base: BaseRecord?

    /// Makes a manifest of the current version, not yet sealed.
    public init(
        cloneId: String, cloneUuid: String, machine: MachineIdentity, agent: Program, startedAt: String,
        finishedAt: String, disks: [DiskRecord]
    ) {
        self.cloneId = cloneId
        self.cloneUuid = cloneUuid
        self.machine = machine
        self.agent = agent
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.disks = disks
        state = disks.contains { $0.chunks.lost > 0 } ? .degraded : .complete
    }
}

/// Whether a clone holds everything that its machine had.
public enum CloneState: Sendable, Hashable {
    /// Every byte that was to be read was read.
    case complete
    /// Some ranges could not be read.
    case degraded
    /// A word of a later release.
    case unknown(String)
}

extension CloneState: RawRepresentable, Codable {
    /// Reads the word of the format.
    public init(rawValue: String) {
        switch rawValue {
        case "complete": self = .complete
        case "degraded": self = .degraded
        default: self = .unknown(rawValue)
        }
    }

    /// The word of the format.
    public var rawValue: String {
        switch self {
        case .complete: return "complete"
        case .degraded: return "degraded"
        case .unknown(let word): return word
        }
    }
}

/// The source machine: its name, and what it has.
public struct MachineIdentity: Sendable, Hashable, Codable {
    /// DMI serial number or the job's name.
    public var name: String
    /// What `coldclone probe` found; nil where nobody looked, as for image files of a machine elsewhere.
    public var inventory: Machine?

    /// Makes an identity.
    public init(name: String, inventory: Machine? = nil) {
        self.name = name
        self.inventory = inventory
    }
}

/// A program and its release.
public struct Program: Sendable, Hashable, Codable {
    /// Name of the executable.
    public var name: String
    /// Release.
    public var version: String

    /// Makes a program's name and release.
    public init(name: String, version: String) {
        self.name = name
        self.version = version
    }
}

/// One captured disk.
public struct DiskRecord: Sendable, Hashable, Codable {
    /// Short name, unique in the clone: the base of its files' names.
    public var name: String
    /// Place in the machine's order, from 0.
    public var order: Int
    /// Path or URL that it was read from.
    public var source: String
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// Smallest addressable unit in bytes.
    public var logicalSectorSizeInBytes: Int
    /// Sector size of the medium in bytes.
    public var physicalSectorSizeInBytes: Int
    /// Root over length and chunk digests.
    public var contentDigest: Digest
    /// The image file.
    public var image: ImageRecord
    /// The chunk file.
    public var chunks: ChunkRecord
    /// Bytes by what became of them; the three add up to the length.
    public var bytes: ByteTotals
    /// What was skipped, by reason.
    public var skipped: [SkippedTotal]
    /// Skipped ranges of more than 1 MiB, ascending, at most `Manifest.maximumListedExtents`.
    public var skippedExtents: [SkippedExtent]
    /// Ranges that could not be read, ascending.
    public var unreadable: [ByteRange]
    /// Partitions and volumes that lost something, and how much; nil where nothing was lost or nobody knows.
    public var losses: [LossRecord]?
    /// What is the same in the clone's base; nil without one, or when that does not have the disk.
    public var base: DiskBaseRecord?

    /// Makes a disk's record.
    public init(
        name: String, order: Int, source: String, lengthInBytes: Int64, logicalSectorSizeInBytes: Int,
        physicalSectorSizeInBytes: Int, contentDigest: Digest, image: ImageRecord, chunks: ChunkRecord,
        bytes: ByteTotals, skipped: [SkippedTotal], skippedExtents: [SkippedExtent], unreadable: [ByteRange] = []
    ) {
        self.name = name
        self.order = order
        self.source = source
        self.lengthInBytes = lengthInBytes
        self.logicalSectorSizeInBytes = logicalSectorSizeInBytes
        self.physicalSectorSizeInBytes = physicalSectorSizeInBytes
        self.contentDigest = contentDigest
        self.image = image
        self.chunks = chunks
        self.bytes = bytes
        self.skipped = skipped
        self.skippedExtents = skippedExtents
        self.unreadable = unreadable
    }
}

/// The image file of a disk.
public struct ImageRecord: Sendable, Hashable, Codable {
    /// File name in the clone's folder.
    public var file: String
    /// `raw` or `qcow2`.
    public var format: String
    /// `none`, `zlib` or `zstd`.
    public var compression: String
    /// Cluster size of a qcow2 image in bytes.
    public var clusterSizeInBytes: Int?
    /// SHA-256 of a qcow2 image's first cluster, its header.
    public var headerDigest: Digest?
    /// Length of the file in bytes.
    public var lengthInBytes: Int64

    /// Makes an image's record.
    public init(
        file: String, format: String, compression: String, clusterSizeInBytes: Int?, headerDigest: Digest?,
        lengthInBytes: Int64
    ) {
        self.file = file
        self.format = format
        self.compression = compression
        self.clusterSizeInBytes = clusterSizeInBytes
        self.headerDigest = headerDigest
        self.lengthInBytes = lengthInBytes
    }
}

/// The chunk file of a disk.
public struct ChunkRecord: Sendable, Hashable, Codable {
    /// File name in the clone's folder.
    public var file: String
    /// Length of the file in bytes.
    public var lengthInBytes: Int64
    /// SHA-256 of the file.
    public var digest: Digest
    /// Number of chunks that are all zero.
    public var zero: Int
    /// Number of chunks that hold content.
    public var data: Int
    /// Number of chunks of which something could not be read.
    public var lost: Int

    /// Makes a chunk file's record.
    public init(file: String, lengthInBytes: Int64, digest: Digest, zero: Int, data: Int, lost: Int) {
        self.file = file
        self.lengthInBytes = lengthInBytes
        self.digest = digest
        self.zero = zero
        self.data = data
        self.lost = lost
    }
}

/// Bytes of a disk by what became of them.
public struct ByteTotals: Sendable, Hashable, Codable {
    /// Read from the source.
    public var read: Int64
    /// Not read, because they are known to be unused.
    public var skipped: Int64
    /// Not readable.
    public var unreadable: Int64

    /// Makes totals.
    public init(read: Int64, skipped: Int64, unreadable: Int64) {
        self.read = read
        self.skipped = skipped
        self.unreadable = unreadable
    }
}

/// Sum of the ranges that were skipped for one reason.
public struct SkippedTotal: Sendable, Hashable, Codable {
    /// Why.
    public var reason: String
    /// Sum of the lengths in bytes.
    public var lengthInBytes: Int64
    /// Number of ranges.
    public var extents: Int

    /// Makes a sum.
    public init(reason: String, lengthInBytes: Int64, extents: Int) {
        self.reason = reason
        self.lengthInBytes = lengthInBytes
        self.extents = extents
    }
}

/// A range that was skipped.
public struct SkippedExtent: Sendable, Hashable, Codable {
    /// First byte.
    public var offset: Int64
    /// Length in bytes.
    public var length: Int64
    /// Why.
    public var reason: String

    /// Makes a skipped range.
    public init(offset: Int64, length: Int64, reason: String) {
        self.offset = offset
        self.length = length
        self.reason = reason
    }
}

/// A range of bytes.
public struct ByteRange: Sendable, Hashable, Codable {
    /// First byte.
    public var offset: Int64
    /// Length in bytes.
    public var length: Int64

    /// Makes a range.
    public init(offset: Int64, length: Int64) {
        self.offset = offset
        self.length = length
    }
}
