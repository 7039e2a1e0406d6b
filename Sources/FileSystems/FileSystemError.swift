// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Why a file system, or a file in it, could not be read: what, where, and why.
public struct FileSystemError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why it failed.
    public enum Cause: Sendable, Hashable {
        /// There is nothing of that name.
        case notFound
        /// A part of the path is no directory.
        case notDirectory
        /// It is no plain file.
        case notFile
        /// It is no symbolic link.
        case notLink
        /// The path leads through more symbolic links than anything sane.
        case tooManyLinks
        /// It is larger than the bytes or entries that the caller allows.
        case tooLarge(limit: Int)
        /// What is on the disk contradicts itself or its checksum, as the text says.
        case damaged(String)
        /// A feature of the file system that is not read.
        case unsupported(String)
        /// The caller wanted no more.
        case stopped
        /// The volume itself could not be read.
        case volume(BlockError)
    }

    /// The volume: a path or URL.
    public var volume: String
    /// The file in it, where there is one: a path, or `inode 5`.
    public var file: String?
    /// Why it failed.
    public var cause: Cause

    /// Makes an error.
    public init(_ volume: String, file: String? = nil, _ cause: Cause) {
        self.volume = volume
        self.file = file
        self.cause = cause
    }

    /// The message: `cannot read etc/fstab on /dev/sda1: there is no such file`.
    public var description: String {
        let text = "cannot read " + (file.map { "\($0) on \(volume)" } ?? "the file system on \(volume)")
        switch cause {
        case .notFound: return text + ": there is no such file"
        case .notDirectory: return text + ": it is no directory"
        case .notFile: return text + ": it is no plain file"
        case .notLink: return text + ": it is no symbolic link"
        case .tooManyLinks: return text + ": too many symbolic links"
        case .tooLarge(let limit): return text + ": it is larger than the \(limit) that are allowed"
        case .damaged(let what): return text + ": damaged: \(what)"
        case .unsupported(let what): return text + ": \(what) is not supported"
        case .stopped: return text + ": stopped"
        case .volume(let error): return text + ": \(error)"
        }
    }

    /// Why, without the volume's name: `journal needs recovery` stands like this in a plan.
    public var reason: String {
        let text = FileSystemError("", cause).description
        let start = "cannot read the file system on : "
        let where_ = file.map { "\($0): " } ?? ""
        return where_ + text.dropFirst(start.count)
    }

    /// Returns the same error, told of `file` where it names none yet or only an inode.
    func naming(_ file: String) -> FileSystemError {
        var error = self
        error.file = file
        return error
    }
}
