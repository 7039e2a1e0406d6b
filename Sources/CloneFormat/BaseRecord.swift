// SPDX-License-Identifier: GPL-3.0-or-later

/// The earlier clone of the same machine that a clone was made against: what did not change since is not stored again.
public struct BaseRecord: Sendable, Hashable, Codable {
    /// How a clone relates to its base.
    public enum Kind: String, Sendable, Hashable, Codable {
        /// Images are qcow2 overlays: what did not change is read from the base, in the folder beside.
        case overlay
        /// Images hold everything; the base may go.
        case copy
    }

    /// Longest chain of clones, this one included, that are each needed to read the next.
    public static let maximumDepth = 8

    /// How the clone relates to it.
    public var kind: Kind
    /// Name of the base's folder, beside the clone's.
    public var cloneId: String
    /// The base's random identity.
    public var cloneUuid: String
    /// SHA-256 of the base's `manifest.json`.
    public var manifestDigest: Digest
    /// Number of clones that are needed beside this one: the base, its base, and so on.
    public var depth: Int

    /// Makes a record.
    public init(kind: Kind, cloneId: String, cloneUuid: String, manifestDigest: Digest, depth: Int) {
        self.kind = kind
        self.cloneId = cloneId
        self.cloneUuid = cloneUuid
        self.manifestDigest = manifestDigest
        self.depth = depth
    }

    /// Checks that the record can only mean a folder beside the clone's, and a chain of a length that is read.
    ///
    /// - Throws: `FormatError`; `file` is what messages call the text it stands in.
    func checkPlausibility(file: String) throws(FormatError) {
        guard FileName.isSafe(cloneId), UUIDText.bytes(cloneUuid) != nil else {
            throw .damaged(file: file, reason: "its base has an impossible name or UUID")
        }
        guard (kind == .copy ? 0...0 : 1...Self.maximumDepth - 1).contains(depth) else {
            throw .damaged(file: file, reason: "its base is \(depth) clones deep, which cannot be")
        }
    }
}

/// What of a disk's base its clone makes use of.
public struct DiskBaseRecord: Sendable, Hashable, Codable {
    /// File name of the disk's image in the base's folder.
    public var imageFile: String
    /// Format of that image, `raw` or `qcow2`.
    public var imageFormat: String
    /// The disk's content digest in the base.
    public var contentDigest: Digest
    /// Bytes with content that are the same in the base.
    public var equalBytes: Int64

    /// Makes a record.
    public init(imageFile: String, imageFormat: String, contentDigest: Digest, equalBytes: Int64) {
        self.imageFile = imageFile
        self.imageFormat = imageFormat
        self.contentDigest = contentDigest
        self.equalBytes = equalBytes
    }
}
