// SPDX-License-Identifier: GPL-3.0-or-later

/// What a partition or volume lost.
public struct LossRecord: Sendable, Hashable, Codable {
    /// Most pieces that are listed for one volume.
    public static let maximumContent = 1000

    /// What messages call it; nil for what lies in none.
    public var volume: String?
    /// libblkid's TYPE; nil where its file system was not looked at.
    public var type: String?
    /// Bytes that could not be read.
    public var lengthInBytes: Int64
    /// What of the file system they held; nil where nobody can tell.
    public var content: [LostContentRecord]?

    /// Makes a record.
    public init(
        volume: String?, type: String? = nil, lengthInBytes: Int64, content: [LostContentRecord]? = nil
    ) {
        self.volume = volume
        self.type = type
        self.lengthInBytes = lengthInBytes
        self.content = content
    }
}

/// A file, or a part of a file system's own structures, that lost something.
public struct LostContentRecord: Sendable, Hashable, Codable {
    /// `file`, `directory`, `metadata`, `free` for what nothing used, or `unknown`.
    public var kind: String
    /// Path from the file system's root; nil where it is none, or has no name that was found.
    public var path: String?
    /// What else there is to say: `inode table of group 3`.
    public var detail: String?
    /// Bytes of it that could not be read.
    public var lengthInBytes: Int64

    /// Makes a record.
    public init(kind: String, path: String?, detail: String?, lengthInBytes: Int64) {
        self.kind = kind
        self.path = path
        self.detail = detail
        self.lengthInBytes = lengthInBytes
    }
}
