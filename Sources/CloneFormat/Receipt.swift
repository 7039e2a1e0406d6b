// SPDX-License-Identifier: GPL-3.0-or-later

/// The receiver's verdict on a clone, `receipt.json`.
public struct Receipt: Sendable, Hashable, Codable {
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 1, minor: 0)
    /// File name in the clone's folder.
    public static let fileName = "receipt.json"

    /// Always `coldclone-receipt`.
    public var format = "coldclone-receipt"
    /// Version of the format.
    public var version = Receipt.currentVersion
    /// The clone's folder, as its manifest names it.
    public var cloneId: String?
    /// The clone's random identity.
    public var cloneUuid: String?
    /// SHA-256 of `manifest.json` as it was found.
    public var manifestDigest: Digest?
    /// The program that verified.
    public var receiver: Program
    /// When the verification began, RFC 3339, UTC.
    public var startedAt: String
    /// When the verdict was reached, RFC 3339, UTC.
    public var finishedAt: String
    /// The verdict.
    public var verdict: Verdict
    /// Every image and chunk file, for `sha256sum -c` and image services.
    public var files: [FileDigests]
    /// What was checked of each disk.
    public var disks: [VerifiedDisk]
    /// What is wrong; the first `maximumProblems`.
    public var problems: [Problem]
    /// Number of problems found, listed or not.
    public var problemCount: Int
    /// Things to know that are no fault of the clone.
    public var warnings: [String]
    /// Clones that this one cannot be read without, the nearest first; nil when it stands alone.
    public var dependsOn: [BaseRecord]?

    /// Most problems that are listed.
    public static let maximumProblems = 1000

    /// Makes a receipt of the current version.
    public init(
        cloneId: String?, cloneUuid: String?, manifestDigest: Digest?, receiver: Program, startedAt: String,
        finishedAt: String, verdict: Verdict, files: [FileDigests], disks: [VerifiedDisk], problems: [Problem],
        problemCount: Int, warnings: [String]
    ) {
        self.cloneId = cloneId
        self.cloneUuid = cloneUuid
        self.manifestDigest = manifestDigest
        self.receiver = receiver
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.verdict = verdict
        self.files = files
        self.disks = disks
        self.problems = problems
        self.problemCount = problemCount
        self.warnings = warnings
    }
}

/// What a verification says of a clone.
public enum Verdict: String, Sendable, Hashable, Codable {
    /// Every byte is what the source held.
    case verified
    /// Every byte is as captured, but the source had ranges that could not be read.
    case degraded
    /// Something differs or is missing.
    case failed
}

/// Whole-file digests.
public struct FileDigests: Sendable, Hashable, Codable {
    /// File name in the clone's folder.
    public var file: String
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// SHA-256, hexadecimal; absent when it was left out, as a warning says.
    public var sha256: String?
    /// SHA-512, hexadecimal; absent when it was left out, as a warning says.
    public var sha512: String?

    /// Makes a file's digests.
    public init(file: String, lengthInBytes: Int64, sha256: String?, sha512: String?) {
        self.file = file
        self.lengthInBytes = lengthInBytes
        self.sha256 = sha256
        self.sha512 = sha512
    }
}

/// What was checked of one disk.
public struct VerifiedDisk: Sendable, Hashable, Codable {
    /// The disk's name.
    public var name: String
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// Content digest recomputed from the image.
    public var contentDigest: Digest?
    /// Chunks whose digest was recomputed.
    public var checkedChunks: Int
    /// Chunks that were found to be zeros, as promised.
    public var zeroChunks: Int
    /// What `qemu-img check` said: `clean`, `failed` or `not installed`; absent for raw images.
    public var qemuImgCheck: String?

    /// Makes a disk's result.
    public init(
        name: String, lengthInBytes: Int64, contentDigest: Digest?, checkedChunks: Int, zeroChunks: Int,
        qemuImgCheck: String? = nil
    ) {
        self.name = name
        self.lengthInBytes = lengthInBytes
        self.contentDigest = contentDigest
        self.checkedChunks = checkedChunks
        self.zeroChunks = zeroChunks
        self.qemuImgCheck = qemuImgCheck
    }
}

/// One thing that is wrong with a clone.
public struct Problem: Sendable, Hashable, Codable {
    /// The kinds of problem.
    public enum Kind: String, Sendable, Hashable, Codable {
        case manifest, missingFile = "missing_file", wrongLength = "wrong_length", chunkFile = "chunk_file"
        case image, structure, digestMismatch = "digest_mismatch", notZero = "not_zero", unreadable
        case qemuImgCheck = "qemu_img_check", domain
    }

    /// What kind of problem.
    public var kind: Kind
    /// What is wrong, in a sentence.
    public var message: String
    /// The disk, where it concerns one.
    public var disk: String?
    /// The file, where it concerns one.
    public var file: String?
    /// The chunk, where it concerns one.
    public var chunk: Int?
    /// First byte of the range on the disk.
    public var offset: Int64?
    /// Length of the range in bytes.
    public var length: Int64?
    /// Byte in the image file of the first qcow2 cluster concerned.
    public var clusterOffset: Int64?

    /// Makes a problem.
    public init(
        _ kind: Kind, _ message: String, disk: String? = nil, file: String? = nil, chunk: Int? = nil,
        offset: Int64? = nil, length: Int64? = nil, clusterOffset: Int64? = nil
    ) {
        self.kind = kind
        self.message = message
        self.disk = disk
        self.file = file
        self.chunk = chunk
        self.offset = offset
        self.length = length
        self.clusterOffset = clusterOffset
    }
}
