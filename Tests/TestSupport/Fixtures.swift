// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc

/// What Tests/Fixtures holds, and what its scripts make.
public enum Fixtures {
    /// The package's root folder.
    public static let root: String = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// The folder Tests/Fixtures.
    public static let folder = "\(root)/Tests/Fixtures"

    /// Returns the folder of disks that Tests/Fixtures/storage-fixtures makes, which says what lies in it.
    ///
    /// Made once a machine and version of the script, in `.build-fixtures`: others wait meanwhile.
    public static func storage() throws -> String { try storageFolder.get() }

    private static let storageFolder: Result<String, ToolError> = {
        do {
            return .success(try makeStorage())
        } catch {
            return .failure(error as? ToolError ?? ToolError("\(error)"))
        }
    }()

    private static func makeStorage() throws -> String {
        let script = "\(folder)/storage-fixtures"
        let version = try Tool.output("sha256sum", [script]).prefix(16)
        let parent = "\(root)/.build-fixtures"
        let path = "\(parent)/\(version)"
        try Tool.output("mkdir", ["-p", parent])

        // Held until this process has made them or seen them made; flock(2) lets go when a process dies.
        let lock = open("\(parent)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else { throw ToolError("cannot lock \(parent)/lock: errno \(errno)") }
        }
        if Folder.exists(path) { return path }

        let scratch = try TemporaryFolder(in: parent)
        let console = try UMLMachine.run(script, [scratch.path])
        guard Folder.exists(scratch.file("complete")) else {
            throw ToolError("\(script) failed:\n\(console.suffix(4000))")
        }
        guard rename(scratch.path, path) == 0 else {
            throw ToolError("cannot rename \(scratch.path) to \(path): errno \(errno)")
        }
        return path
    }
}

/// Disks that belong together, with what the tools said of them.
public struct StorageSet: Sendable {
    /// Its name, such as `raid5-1.2`.
    public let name: String
    /// Its folder.
    public let folder: String
    /// Names of its disks in the folder, `disk0` first.
    public let disks: [String]
    /// SHA-256 in hexadecimal of the content of each array or logical volume, by name.
    public let digests: [String: String]

    /// Returns the sets of `kind`: `md`, `firmware` or `lvm`.
    public static func all(_ kind: String) throws -> [StorageSet] {
        let parent = "\(try Fixtures.storage())/\(kind)"
        return try Folder.names(in: parent).map { try StorageSet("\(parent)/\($0)", name: $0) }
    }

    /// Returns one set, such as `named("md", "raid5-1.2")`.
    public static func named(_ kind: String, _ name: String) throws -> StorageSet {
        try StorageSet("\(try Fixtures.storage())/\(kind)/\(name)", name: name)
    }

    private init(_ folder: String, name: String) throws {
        self.name = name
        self.folder = folder
        let files = try Folder.names(in: folder)
        disks = files.filter { $0.hasPrefix("disk") && !$0.contains(".") }
        var digests: [String: String] = [:]
        for file in files where file.hasSuffix(".sha256") {
            let text = String(decoding: try SmallFile.read("\(folder)/\(file)", limit: 1 << 10), as: UTF8.self)
            digests[String(file.dropLast(7))] = String(text.prefix { $0 != "\n" })
        }
        self.digests = digests
    }

    /// Returns the path of a disk or of what was said of it.
    public func path(_ file: String) -> String { "\(folder)/\(file)" }

    /// Returns the text of `file`, such as `disk0.examine`; nil when there is none.
    public func text(_ file: String) throws -> String? {
        guard Folder.exists(path(file)) else { return nil }
        return String(decoding: try SmallFile.read(path(file), limit: 16 << 20), as: UTF8.self)
    }
}
