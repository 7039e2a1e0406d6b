// SPDX-License-Identifier: GPL-3.0-or-later

/// A file system that is read in place: nothing is mounted, replayed or written.
///
/// All members may be called from several threads at once. Everything read is hostile: sizes are bounded, and a
/// contradiction is an error.
public protocol FileSystemReader: Sendable {
    /// Which file system it is.
    var kind: FileSystemKind { get }
    /// What messages call the volume: a path or URL.
    var volume: String { get }
    /// UUID or serial number as libblkid prints it.
    var uuid: String? { get }
    /// Label.
    var label: String? { get }
    /// Whether what is on the disk is all there is to it.
    var state: FileSystemState { get }
    /// The directory that `/` names.
    var root: FileID { get }

    /// Returns type and size of `file`.
    func status(of file: FileID) throws(FileSystemError) -> FileStatus
    /// Returns what `directory` holds, without `.` and `..`, in the order of the disk.
    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry]
    /// Returns what `name` stands for in `directory`; nil when there is nothing of that name.
    ///
    /// Case is ignored where the file system ignores it.
    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID?
    /// Returns up to `count` bytes of a plain file from `offset`, fewer at its end; holes are zeros.
    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8]
    /// Returns where a symbolic link leads.
    func linkTarget(of link: FileID) throws(FileSystemError) -> String

    /// Returns which bytes of the volume hold nothing, as far as that is certain.
    ///
    /// What contradicts itself - counts, checksums, a used block that is called free - is an error of cause `damaged`.
    /// Whether the file system is clean is not asked here: see `state`.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse

    /// Returns the bytes of the volume that the contents of the plain files `paths` lie in, those that exist.
    ///
    /// For files whose content nobody wants, such as those that Windows pages to: no byte of another file is among
    /// them. Empty where the file system cannot tell.
    func ranges(ofFiles paths: [String]) throws(FileSystemError) -> FreeRuns
}

/// A file's number in its file system.
public struct FileID: Sendable, Hashable {
    /// The subvolume that the number is valid in; 0 where there are none.
    public var tree: UInt64
    /// Inode number, MFT record number, or first cluster.
    public var number: UInt64

    /// Makes a file's number.
    public init(tree: UInt64 = 0, _ number: UInt64) {
        self.tree = tree
        self.number = number
    }
}

/// What a file is.
public enum FileType: Sendable, Hashable {
    case file, directory, symbolicLink
    /// A device, a socket, a pipe, a reparse point that is no link.
    case other

    /// Decodes the type bits of a Unix mode.
    ///
    /// inode(7).
    init(mode: UInt16) {
        switch mode & 0xf000 {
        case 0x8000: self = .file
        case 0x4000: self = .directory
        case 0xa000: self = .symbolicLink
        default: self = .other
        }
    }
}

/// Type and size of a file.
public struct FileStatus: Sendable, Hashable {
    /// Its number.
    public var id: FileID
    /// What it is.
    public var type: FileType
    /// Length of its content in bytes.
    public var sizeInBytes: Int64

    /// Makes a file's status.
    public init(id: FileID, type: FileType, sizeInBytes: Int64) {
        self.id = id
        self.type = type
        self.sizeInBytes = sizeInBytes
    }
}

/// A name in a directory.
public struct DirectoryEntry: Sendable, Hashable {
    /// The name, invalid UTF-8 replaced.
    public var name: String
    /// What it stands for.
    public var id: FileID
    /// Whether it may stand for a directory; true where the entry itself does not say.
    public var mayBeDirectory: Bool

    /// Makes an entry.
    public init(name: String, id: FileID, mayBeDirectory: Bool = true) {
        self.name = name
        self.id = id
        self.mayBeDirectory = mayBeDirectory
    }
}

/// Whether a file system can be taken at its word.
public enum FileSystemState: Sendable, Hashable {
    /// It was unmounted properly.
    case clean
    /// Its journal or log holds changes that are not in place yet.
    case needsRecovery
    /// It says of itself that it may be damaged, or it has no journal and was not unmounted.
    case dirty
    /// An operating system sleeps on it.
    case hibernated
    /// It could not be told, for the reason given.
    case unknown(String)
}

extension FileSystemReader {
    /// Knows nothing of free space.
    public func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        throw FileSystemError(volume, .unsupported("its free space"))
    }

    /// Knows not where files lie.
    public func ranges(ofFiles paths: [String]) throws(FileSystemError) -> FreeRuns { FreeRuns() }

    /// Most entries of a directory that are returned.
    static var maximumEntries: Int { 1 << 20 }
    /// Most bytes that one call returns.
    static var maximumContent: Int { 256 << 20 }

    /// Makes an error of this volume.
    func error(_ file: FileID, _ cause: FileSystemError.Cause) -> FileSystemError {
        FileSystemError(volume, file: "inode \(file.number)", cause)
    }

    /// Returns what `path` names, symbolic links followed within the file system; nil when there is nothing.
    ///
    /// The last one is followed only when `following` says so. Absolute links begin at this file system's root, and
    /// `..` does not leave it: what is mounted on the way in a running system is not seen. path_resolution(7).
    public func locate(_ path: String, following: Bool = true) throws(FileSystemError) -> FileID? {
        // What is still to be walked, last name first.
        var names = Array(path.split(separator: "/").map(String.init).reversed())
        var way: [FileID] = []
        var links = 0
        while let name = names.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = way.popLast()
                continue
            }
            do throws(FileSystemError) {
                guard let next = try find(name, in: way.last ?? root) else { return nil }
                if following || !names.isEmpty, try status(of: next).type == .symbolicLink {
                    links += 1
                    let target = try linkTarget(of: next)
                    guard links <= 40, target.utf8.count <= 4096, names.count <= 4096 else {
                        throw FileSystemError(volume, file: path, .tooManyLinks)
                    }
                    if target.hasPrefix("/") { way = [] }
                    names += target.split(separator: "/").map(String.init).reversed()
                } else {
                    way.append(next)
                }
            } catch {
                throw error.naming(path)
            }
        }
        return way.last ?? root
    }

    /// Returns type and size of what `path` names.
    public func status(_ path: String, following: Bool = true) throws(FileSystemError) -> FileStatus {
        try status(of: try existing(path, following: following))
    }

    /// Returns the names in the directory `path`, sorted.
    public func names(in path: String) throws(FileSystemError) -> [String] {
        try entries(in: path).map(\.name).sorted()
    }

    /// Returns what the directory `path` holds, in the order of the disk.
    public func entries(in path: String) throws(FileSystemError) -> [DirectoryEntry] {
        let directory = try existing(path, following: true)
        do throws(FileSystemError) { return try entries(of: directory) } catch { throw error.naming(path) }
    }

    /// Returns the content of the plain file `path`, refusing more than `limit` bytes.
    public func read(_ path: String, limit: Int) throws(FileSystemError) -> [UInt8] {
        let file = try existing(path, following: true)
        do throws(FileSystemError) {
            let status = try status(of: file)
            guard status.type == .file else { throw FileSystemError(volume, .notFile) }
            guard status.sizeInBytes <= Int64(limit) else { throw FileSystemError(volume, .tooLarge(limit: limit)) }
            return try content(of: file, at: 0, count: Int(clamping: max(status.sizeInBytes, 0)))
        } catch { throw error.naming(path) }
    }

    /// Returns the content of the plain file `path` as UTF-8 text, invalid bytes replaced.
    public func text(_ path: String, limit: Int = 1 << 20) throws(FileSystemError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Returns where the symbolic link `path` leads.
    public func linkTarget(_ path: String) throws(FileSystemError) -> String {
        try linkTarget(of: try existing(path, following: false))
    }

    private func existing(_ path: String, following: Bool) throws(FileSystemError) -> FileID {
        guard let file = try locate(path, following: following) else {
            throw FileSystemError(volume, file: path, .notFound)
        }
        return file
    }
}

/// A directory of a file system, taken for a root: a btrfs subvolume that an operating system boots from.
public struct RootedReader: FileSystemReader {
    private let base: any FileSystemReader
    /// The directory that `/` names.
    public let root: FileID

    /// Takes the directory `root` of `base` for the root.
    public init(_ base: any FileSystemReader, root: FileID) {
        self.base = base
        self.root = root
    }

    /// Takes the directory `path` of `base` for the root; nil when there is none.
    public init?(_ base: any FileSystemReader, at path: String) throws(FileSystemError) {
        guard let root = try base.locate(path), try base.status(of: root).type == .directory else { return nil }
        self.base = base
        self.root = root
    }

    /// Which file system it is.
    public var kind: FileSystemKind { base.kind }
    /// What messages call the volume.
    public var volume: String { base.volume }
    /// UUID as libblkid prints it.
    public var uuid: String? { base.uuid }
    /// Label.
    public var label: String? { base.label }
    /// The state of the whole file system.
    public var state: FileSystemState { base.state }

    /// Returns type and size of `file`.
    public func status(of file: FileID) throws(FileSystemError) -> FileStatus { try base.status(of: file) }
    /// Returns what `directory` holds.
    public func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        try base.entries(of: directory)
    }
    /// Returns what `name` stands for in `directory`.
    public func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        try base.find(name, in: directory)
    }
    /// Returns bytes of a plain file.
    public func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        try base.content(of: file, at: offset, count: count)
    }
    /// Returns where a symbolic link leads.
    public func linkTarget(of link: FileID) throws(FileSystemError) -> String { try base.linkTarget(of: link) }
    /// Returns which bytes of the whole volume hold nothing.
    public func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse { try base.spaceUse(options) }
}
