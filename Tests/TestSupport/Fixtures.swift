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

    private static let storageFolder = Result<String, any Error> {
        try made(by: "storage-fixtures", and: ["uml.sh"], in: "storage") { script, path in
            let console = try UMLMachine.run(script, [path])
            if !Folder.exists("\(path)/complete") {
                throw ToolError("\(script) failed:\n\(console.suffix(4000))")
            }
        }
    }

    /// Returns the folder of the lab's kernel and initramfs, which Tests/Fixtures/lab-kernel makes and describes.
    public static func labKernel() throws -> String { try labKernelFolder.get() }

    /// Names of the machines recorded in Tests/Fixtures/sysroots.
    public static func recordedMachines() throws -> [String] {
        try Folder.names(in: "\(folder)/sysroots").filter { $0.hasSuffix(".tar.gz") }.map { String($0.dropLast(7)) }
    }

    /// Unpacks the recording of the machine `name` into a folder's file `machine.tar`.
    public static func recording(of name: String) throws -> TemporaryFolder {
        let scratch = try TemporaryFolder()
        let packed = "\(folder)/sysroots/\(name).tar.gz"
        try Tool.output("sh", ["-c", "gzip -dc \(packed) >\(scratch.file("machine.tar"))"])
        return scratch
    }

    /// Returns the folder of the Debian systems that Tests/Fixtures/source-systems makes and describes.
    public static func sourceSystems() throws -> String { try sourceSystemsFolder.get() }

    private static let sourceSystemsFolder = Result<String, any Error> {
        try made(by: "source-systems", and: ["source-root", "uml.sh"], in: "systems") { script, path in
            try Tool.output("\(folder)/source-root", [path])
            let console = try UMLMachine.run(script, [path])
            if !Folder.exists("\(path)/complete") {
                throw ToolError("\(script) failed:\n\(console.suffix(4000))")
            }
            try Tool.output("rm", ["\(path)/root.tar"])
        }
    }

    private static let labKernelFolder = Result<String, any Error> {
        try made(by: "lab-kernel", and: ["lab-init"], in: "kernel") { script, path in
            try Tool.output(script, [path])
        }
    }

    /// Returns the folder that `make` fills, with a script of Tests/Fixtures, once for each version of its scripts.
    private static func made(
        by script: String, and others: [String], in kind: String,
        _ make: (_ script: String, _ path: String) throws -> Void
    ) throws -> String {
        let scripts = ([script] + others).map { "\(folder)/\($0)" }
        let sums = try Tool.output("sha256sum", scripts).split(separator: "\n").map { $0.prefix(8) }
        let parent = "\(root)/.build-fixtures/\(kind)"
        let path = "\(parent)/\(sums.joined())"
        try Tool.output("mkdir", ["-p", parent])

        // Held until this process has made it or seen it made; flock(2) lets go when a process dies.
        let lock = open("\(parent)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else { throw ToolError("cannot lock \(parent)/lock: errno \(errno)") }
        }
        if Folder.exists(path) { return path }

        // What older scripts made, or a process that was killed, is of no use to anybody.
        for name in try Folder.names(in: parent) where name != "lock" {
            try Tool.output("rm", ["-rf", "--", "\(parent)/\(name)"])
        }
        let scratch = try made(twiceAtMost: { try make(scripts[0], $0) }, in: parent)
        guard rename(scratch.path, path) == 0 else {
            throw ToolError("cannot rename \(scratch.path) to \(path): errno \(errno)")
        }
        return path
    }

    /// Returns a folder in `parent` that `make` has filled; a second one when the first failed, which is told.
    ///
    /// On a host that is very busy, a process in User Mode Linux may crash as it starts; nothing of that is under test.
    private static func made(twiceAtMost make: (_ path: String) throws -> Void, in parent: String) throws
        -> TemporaryFolder
    {
        do {
            let scratch = try TemporaryFolder(in: parent)
            try make(scratch.path)
            return scratch
        } catch {
            let text = Array("fixtures: \(error)\nfixtures: made once more\n".utf8)
            _ = Glibc.write(STDERR_FILENO, text, text.count)
        }
        let scratch = try TemporaryFolder(in: parent)
        try make(scratch.path)
        return scratch
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
