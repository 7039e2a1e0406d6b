// SPDX-License-Identifier: GPL-3.0-or-later

/// State of a running capture, `journal`: its presence means that the clone is not complete.
public struct Journal: Sendable, Hashable, Codable {
    /// File name in the clone's folder.
    public static let fileName = "journal"
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 2, minor: 0)
    /// The version of a capture without a base, which older releases can go on with.
    public static let baselessVersion = FormatVersion(major: 1, minor: 0)

    /// Always `coldclone-journal`.
    public var format = "coldclone-journal"
    /// Version of the format.
    public var version = Journal.baselessVersion
    /// Name of the clone's folder.
    public var cloneId: String
    /// Random identity of the clone, RFC 9562 text form.
    public var cloneUuid: String
    /// Start of the capture, RFC 3339, UTC.
    public var startedAt: String

    /// The source machine.
    public var machine: MachineIdentity
    /// `raw` or `qcow2`.
    public var imageFormat: String
    /// `none`, `zlib` or `zstd`.
    public var compression: String
    /// The compressor's level; nil for the default.
    public var level: Int?
    /// Whether clusters are compressed only while the target is what everything waits for; nil for always.
    public var adaptsCompression: Bool?
    /// Bytes a qcow2 cluster.
    public var clusterSizeInBytes: Int
    /// The disks, in the machine's order.
    public var disks: [JournalDisk]
    /// What becomes of free space; nil where nobody looked.
    public var freeSpace: FreeSpaceRecord?
    /// The earlier clone that the capture is made against; nil for none.
    public var base: BaseRecord? {
        didSet { version = base == nil ? Self.baselessVersion : Self.currentVersion }
    }
    /// Records of the disks that are finished, in the same order.
    public var finished: [DiskRecord] = []

    /// Makes the journal of a capture that begins.
    public init(
        cloneId: String, cloneUuid: String, startedAt: String, machine: MachineIdentity, imageFormat: String,
        compression: String, level: Int?, clusterSizeInBytes: Int, disks: [JournalDisk]
    ) {
        self.cloneId = cloneId
        self.cloneUuid = cloneUuid
        self.startedAt = startedAt
        self.machine = machine
        self.imageFormat = imageFormat
        self.compression = compression
        self.level = level
        self.clusterSizeInBytes = clusterSizeInBytes
        self.disks = disks
    }

    /// Returns the file's bytes.
    public func encoded() throws -> [UInt8] { try JSONText.encode(self) }

    /// Reads the file's bytes; `file` is what messages call it.
    ///
    /// - Throws: `FormatError` for damage, a newer major version, or names that no clone can have.
    public init(opening bytes: [UInt8], file: String) throws(FormatError) {
        self = try JSONText.decode(bytes, file: file)
        guard format == "coldclone-journal" else {
            throw .damaged(file: file, reason: "it is not a coldclone journal")
        }
        guard (Self.baselessVersion.major...Self.currentVersion.major).contains(version.major) else {
            throw .unsupportedVersion(file: file, version: version, supported: Self.currentVersion)
        }
        guard UUIDText.bytes(cloneUuid) != nil, disks.allSatisfy({ FileName.isSafe($0.name) }),
            finished.count <= disks.count
        else { throw .damaged(file: file, reason: "it has values that no clone can have") }
        try base?.checkPlausibility(file: file)
        try Manifest.checkPlausibility(of: finished, file: file)
        guard zip(disks, finished).allSatisfy({ $0.name == $1.name && $0.lengthInBytes == $1.lengthInBytes }) else {
            throw .damaged(file: file, reason: "its finished disks are not those it was begun with")
        }
    }
}

/// A disk of a running capture: enough to know it again.
public struct JournalDisk: Sendable, Hashable, Codable {
    /// Short name, the base of its files' names.
    public var name: String
    /// Path or URL that it is read from.
    public var source: String
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// SHA-256 over its length, its first and its last MiB: partition tables and boot code; nil when these cannot be read.
    public var identity: Digest?
    /// SHA-256 over offset and length, 8 bytes each, little-endian, of all ranges that are left out; nil for none.
    public var allocation: Digest?

    /// Makes a disk's entry.
    public init(name: String, source: String, lengthInBytes: Int64, identity: Digest?, allocation: Digest? = nil) {
        self.allocation = allocation
        self.name = name
        self.source = source
        self.lengthInBytes = lengthInBytes
        self.identity = identity
    }
}
