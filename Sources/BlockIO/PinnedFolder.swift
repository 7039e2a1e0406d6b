// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import SystemPackage

/// A directory held open, so that what is read below it cannot be led elsewhere.
///
/// Files and folders are opened by a single name each and never through a symbolic link: whoever may write there, while
/// it is read too, can neither swap the folder nor make a link to what the reader alone may see. openat(2).
public final class PinnedFolder: Sendable {
    /// The path that messages show.
    public let path: String
    private let descriptor: Int32

    /// Opens the directory `path`; with `followingLink` off, one that is a symbolic link is refused.
    ///
    /// - Throws: `BlockError` with the kernel's answer.
    public init(_ path: String, followingLink: Bool = true) throws(BlockError) {
        self.path = path
        descriptor = try Self.open(AT_FDCWD, path, isFolder: true, flags: followingLink ? 0 : O_NOFOLLOW, as: path)
    }

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Opens the directory `name` that stands beside this one.
    ///
    /// - Throws: `BlockError` with the kernel's answer, also for a symbolic link.
    public func sibling(_ name: String) throws(BlockError) -> PinnedFolder {
        let path = "\(path)/../\(name)"
        let parent = try Self.open(descriptor, "..", isFolder: true, flags: 0, as: "\(self.path)/..")
        defer { close(parent) }
        try Self.check(name, path)
        return PinnedFolder(
            path: path, descriptor: try Self.open(parent, name, isFolder: true, flags: O_NOFOLLOW, as: path))
    }

    /// Returns the names in the folder, sorted, without `.` and `..`.
    ///
    /// readdir(3).
    public func names() throws(BlockError) -> [String] {
        // Of its own: reading moves the position that all copies of a descriptor share.
        let own = try Self.open(descriptor, ".", isFolder: true, flags: 0, as: path)
        guard let stream = fdopendir(own) else {
            let error = Errno.current
            close(own)
            throw BlockError(.open, path, .system(error))
        }
        defer { closedir(stream) }
        return try Folder.names(stream, path)
    }

    /// Tells whether anything stands at `name`, a dangling symbolic link too.
    ///
    /// fstatat(2).
    public func contains(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0
    }

    /// Writes `bytes` durably to `name`; see `Folder.writeDurably`.
    ///
    /// proc(5), `/proc/self/fd`: a way to the very folder, wherever its name leads by now.
    public func writeDurably(_ bytes: [UInt8], to name: String, replacing: Bool = false) throws(BlockError) {
        let place = "/proc/self/fd/\(descriptor)"
        do throws(BlockError) {
            try Folder.writeDurably(bytes, to: name, in: place, replacing: replacing)
        } catch {
            var error = error
            if error.path.hasPrefix(place) { error.path = path + error.path.dropFirst(place.count) }
            throw error
        }
    }

    /// Returns the descriptor of the file `name`, which becomes the caller's.
    func open(file name: String, flags: Int32 = 0) throws(BlockError) -> Int32 {
        let path = "\(path)/\(name)"
        try Self.check(name, path)
        return try Self.open(descriptor, name, isFolder: false, flags: O_NOFOLLOW | flags, as: path)
    }

    private static func check(_ name: String, _ path: String) throws(BlockError) {
        guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/")) else {
            throw BlockError(.open, path, .invalid("it is no name in the folder"))
        }
    }

    private static func open(
        _ folder: Int32, _ name: String, isFolder: Bool, flags: Int32, as path: String
    ) throws(BlockError) -> Int32 {
        let all = O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags | (isFolder ? O_DIRECTORY : 0)
        switch retryingOnInterrupt({ openat(folder, name, all) }) {
        case .success(let descriptor): return descriptor
        case .failure(.tooManySymbolicLinkLevels),
            .failure(.notDirectory) where isLink(folder, name):
            throw BlockError(.open, path, .invalid("it is a symbolic link"))
        case .failure(let errno): throw BlockError(.open, path, .system(errno))
        }
    }

    private static func isLink(_ folder: Int32, _ name: String) -> Bool {
        var status = stat()
        return fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}
