// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import SystemPackage

/// Operations on directories and small files of the target, each with its error.
public enum Folder {
    /// Creates the directory `path`; one that exists is refused.
    ///
    /// mkdir(2).
    public static func create(_ path: String) throws(BlockError) {
        if mkdir(path, 0o755) != 0 { throw BlockError(.create, path, .system(.current)) }
    }

    /// Returns the names in `path`, sorted, without `.` and `..`.
    ///
    /// readdir(3).
    public static func names(in path: String) throws(BlockError) -> [String] {
        guard let stream = opendir(path) else { throw BlockError(.open, path, .system(.current)) }
        defer { closedir(stream) }
        return try names(stream, path)
    }

    /// Reads the open directory `stream` to its end.
    static func names(_ stream: OpaquePointer, _ path: String) throws(BlockError) -> [String] {
        var names: [String] = []
        while true {
            Glibc.errno = 0
            guard let entry = readdir(stream) else {
                let error = Errno.current
                if error.rawValue != 0 { throw BlockError(.read, path, .system(error)) }
                break
            }
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Returns when the directory's entries are on stable storage.
    ///
    /// fsync(2).
    public static func synchronize(_ path: String) throws(BlockError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BlockError(.open, path, .system(.current)) }
        defer { close(descriptor) }
        // Some network file systems cannot fsync a directory and say so: their servers commit names themselves.
        if fsync(descriptor) != 0, Errno.current != .invalidArgument {
            throw BlockError(.synchronize, path, .system(.current))
        }
    }

    /// Writes `bytes` durably to `folder/name`: to a temporary name, synchronised, renamed, folder synchronised.
    ///
    /// A reader sees the whole file or none. An existing file is replaced only when `replacing` says so.
    public static func writeDurably(
        _ bytes: [UInt8], to name: String, in folder: String, replacing: Bool = false
    ) throws(BlockError) {
        let temporary = "\(folder)/.\(name).tmp"
        let path = "\(folder)/\(name)"
        if unlink(temporary) != 0, Errno.current != .noSuchFileOrDirectory {
            throw BlockError(.remove, temporary, .system(.current))
        }
        let sink = try FileSink(creating: temporary)
        do throws(BlockError) {
            try sink.write(bytes, at: 0)
            try sink.synchronize()
            try sink.close()
            if !replacing, exists(path) { throw BlockError(.create, path, .system(.fileExists)) }
            if rename(temporary, path) != 0 { throw BlockError(.rename, temporary, .system(.current)) }
        } catch {
            unlink(temporary)
            throw error
        }
        try synchronize(folder)
    }

    /// Removes the file `path`; one that is gone already is fine.
    ///
    /// unlink(2).
    public static func remove(_ path: String) throws(BlockError) {
        if unlink(path) != 0, Errno.current != .noSuchFileOrDirectory {
            throw BlockError(.remove, path, .system(.current))
        }
    }

    /// Tells whether anything stands at `path`, without following a symbolic link.
    ///
    /// lstat(2).
    public static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Tells whether a directory stands at `path` itself, not behind a symbolic link.
    ///
    /// lstat(2).
    public static func isDirectory(_ path: String) -> Bool { fileType(path) == S_IFDIR }

    /// Tells whether a plain file stands at `path` itself, not behind a symbolic link.
    ///
    /// lstat(2).
    public static func isPlainFile(_ path: String) -> Bool { fileType(path) == S_IFREG }

    private static func fileType(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    /// Tells whether two paths lead to one directory.
    ///
    /// stat(2).
    public static func isSame(_ path: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        return stat(path, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
    }

    /// Returns the number of the device that the file system of `path` is on.
    ///
    /// stat(2).
    public static func deviceNumber(of path: String) throws(BlockError) -> UInt64 {
        var status = stat()
        if stat(path, &status) != 0 { throw BlockError(.query, path, .system(.current)) }
        return UInt64(status.st_dev)
    }

    /// Tells whether `path` is on a local file system that grants direct I/O and may gain from it: ext2/3/4 or XFS.
    ///
    /// statfs(2).
    public static func isOnPlainDiskFileSystem(_ path: String) throws(BlockError) -> Bool {
        let magic = cl_file_system_magic(path)
        guard magic >= 0 else { throw BlockError(.query, path, .system(.current)) }
        return [0xef53, 0x5846_5342].contains(magic)
    }

    /// Returns the path of `path` without symbolic links and dots.
    ///
    /// realpath(3).
    public static func realPath(_ path: String) throws(BlockError) -> String {
        guard let resolved = realpath(path, nil) else { throw BlockError(.query, path, .system(.current)) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Returns the bytes that an unprivileged writer can still store in `path`.
    ///
    /// statvfs(3).
    public static func freeSpace(in path: String) throws(BlockError) -> Int64 {
        var status = statvfs()
        if statvfs(path, &status) != 0 { throw BlockError(.query, path, .system(.current)) }
        let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return overflow ? .max : Int64(clamping: bytes)
    }
}
