// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat
internal import Glibc

/// The folder that agents write their clones to, as the receiver serves it.
///
/// Everything below it may have been written by a machine that nobody trusts yet: names are checked before they become
/// paths, and a symbolic link in a clone's place is no clone.
public struct CloneStore: Sendable {
    /// What is known of a clone without reading its images.
    public struct Entry: Sendable, Hashable, Codable {
        /// Name of the clone's folder.
        public var cloneId: String
        /// Whether it has a manifest: what has none is still being written, or was interrupted.
        public var isComplete: Bool
        /// The receiver's own verdict; nil where it has come to none.
        public var verdict: Verdict?
        /// When that verdict was reached, RFC 3339, UTC.
        public var verifiedAt: String?
    }

    /// Path of the folder.
    public let folder: String

    /// Takes `folder`, which must exist.
    ///
    /// - Throws: `ReceiverError` when it is no folder that can be read.
    public init(folder: String) throws(ReceiverError) {
        do throws(BlockError) { _ = try Folder.names(in: folder) } catch { throw .io(error) }
        self.folder = folder
    }

    /// Returns the path of the clone `id`, or nil when there is none of that name.
    ///
    /// lstat(2).
    public func path(of id: String) -> String? {
        let path = "\(folder)/\(id)"
        var status = stat()
        guard FileName.isSafe(id), lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        guard Self.isComplete(path) || Folder.exists("\(path)/\(Journal.fileName)") else { return nil }
        return path
    }

    /// Tells whether the clone in the folder `path` has its manifest.
    static func isComplete(_ path: String) -> Bool { Folder.exists("\(path)/\(Manifest.fileName)") }

    /// Returns the names of all clones, sorted.
    ///
    /// - Throws: `ReceiverError` when the folder cannot be read.
    public func names() throws(ReceiverError) -> [String] {
        do throws(BlockError) {
            return try Folder.names(in: folder).filter { path(of: $0) != nil }.sorted()
        } catch {
            throw .io(error)
        }
    }
}
