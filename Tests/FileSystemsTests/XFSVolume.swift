// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// An image of XFS made by mkfs.xfs(8), filled through the kernel's own driver.
struct XFSVolume {
    let folder: TemporaryFolder
    let file: String
    let sectorSize: Int

    static var isPossible: Bool {
        Tool.isInstalled("mkfs.xfs", "xfs_logprint", "xfs_io", "xfs_db", "xfs_repair", "setfattr")
            && LoopDevice.areAvailable && Mount.isPossible
    }

    /// A folder for images: in memory where there is much of it, as the log's many small writes are slow on a disk.
    static func folder() throws -> TemporaryFolder {
        let memory = (try? Folder.freeSpace(in: "/dev/shm")) ?? 0
        return try TemporaryFolder(in: memory > 6 << 30 ? "/dev/shm" : try #require(TemporaryFolder.parentOnDisk))
    }

    /// Makes an image of `arguments`, which may be smaller than mkfs.xfs(8) likes it.
    init(
        in folder: TemporaryFolder, _ arguments: [String], named name: String = "image", sectorSize: Int = 512,
        megabytes: Int = 96
    ) throws {
        self.folder = folder
        self.sectorSize = sectorSize
        file = folder.file(name)
        try Tool.output("truncate", ["--size", "0", file])
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        let result = try Tool.run(
            "mkfs.xfs", ["-q", "-f", "-s", "size=\(sectorSize)"] + arguments + [file],
            environment: ["TEST_DIR=/", "TEST_DEV=/", "QA_CHECK_FS=/"])
        if result.status != 0 { throw ToolError("mkfs.xfs \(arguments): \(result.errors)") }
    }

    /// mkfs.xfs before 6.10 writes links that do not fit the inode without their blocks' header.
    static func isUnwritable(_ path: String) -> Bool { path.hasSuffix("/longest") }

    /// Mounts the image, or `other` instead of it, while `body` runs.
    func mounted(_ other: String? = nil, options: String = "rw", _ body: (String) throws -> Void) throws {
        let point = access(folder.file("mnt"), F_OK) == 0 ? folder.file("mnt") : try folder.folder("mnt")
        try inScope {
            let loop = try LoopDevice(other ?? file, sectorSize: sectorSize)
            let mount = try Mount(["-t", "xfs", "-o", options, loop.path], at: point, keeping: loop)
            try withExtendedLifetime(mount) { try body(point) }
        }
        // Mounts are copied into namespaces that others make: the last one to go unmounts the file system.
        for _ in 0..<1000 where try !Tool.output("losetup", ["--associated", other ?? file]).isEmpty {}
        let left = try Tool.output("losetup", ["--associated", other ?? file])
        guard left.isEmpty else { throw ToolError("somebody keeps what was mounted: \(left)") }
    }

    /// Runs `body` in a scope of its own, with which all it made has gone.
    private func inScope(_ body: () throws -> Void) throws { try body() }

    func reader() throws -> any FileSystemReader { try #require(try FileSystemKind.open(FileSource(file))) }

    /// What xfsprogs says of the log of `file`.
    static func isCleanForXfsprogs(_ file: String) throws -> Bool {
        let text = try Tool.run("xfs_logprint", ["-t", file]).output
        #expect(text.contains("<CLEAN>") || text.contains("<DIRTY>"))
        return text.contains("<CLEAN>")
    }

    /// Returns what xfs_db(8) prints for `commands`.
    func database(_ commands: [String]) throws -> String {
        try Tool.output("xfs_db", ["-r"] + commands.flatMap { ["-c", $0] } + [file])
    }

    /// What xfs_db(8) finds free, the lists for the trees' own use, which it counts as well, taken off.
    func freeBytes() throws -> Int64 {
        func number(_ text: String, _ name: String) throws -> Int64 {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name) }, "\(name) in \(text)")
            return try #require(line.split(separator: " ").last.flatMap { Int64($0) })
        }
        let superblock = try database(["sb 0", "p blocksize agcount"])
        var blocks = try number(try database(["freesp -s"]), "total free blocks")
        for group in 0..<(try number(superblock, "agcount")) {
            blocks -= try number(try database(["agf \(group)", "p flcount"]), "flcount")
        }
        return try blocks * number(superblock, "blocksize")
    }

    /// Makes, changes, shares and removes files below `folder`, so that what is free lies scattered.
    static func age(_ folder: String, seed: UInt64, files count: Int = 700) throws {
        var generator = SeededGenerator(seed: seed)
        var files: [String] = []
        for index in 0..<count {
            if index % 40 == 0 { try Trees.directory("\(folder)/aged\(index / 40)") }
            let path = "\(folder)/aged\(index / 40)/file\(index)"
            if index % 11 == 5, let other = files.randomElement(using: &generator) {
                try share(other, with: path)
            } else {
                let size = [7, 900, 4096, 9000, 30_000, 150_000][Int(generator.next() % 6)]
                let sink = try FileSink(creating: path)
                try sink.write(generator.bytes(size), at: Int64(generator.next() % 3) * 70_000)
                try sink.close()
            }
            files.append(path)
        }
        try Trees.directory("\(folder)/blocks")
        for index in 0..<2 * count { try Trees.write("\(index)", to: "\(folder)/blocks/\(index)") }
        let fragmented = try FileSink(creating: "\(folder)/fragmented")
        for block in 0..<900 { try fragmented.write(generator.bytes(4096), at: Int64(block) * 8192) }
        try fragmented.close()
        let doomed = Set(files.filter { _ in generator.next() % 3 == 0 })
        try attribute(files.filter { !doomed.contains($0) }, folder, &generator)
        // Only what was allocated leaves a gap; what is written later would fill it.
        try Tool.output("sync", ["-f", folder])
        for index in 0..<2 * count where index % 2 == 0 { unlink("\(folder)/blocks/\(index)") }
        for file in doomed { unlink(file) }
    }

    /// Gives some of `files` attributes, up to more than fit a block.
    ///
    /// setfattr(1).
    private static func attribute(
        _ files: [String], _ folder: String, _ generator: inout SeededGenerator
    ) throws {
        var text = ""
        for file in files {
            let count = [0, 0, 1, 20, 60][Int(generator.next() % 5)]
            guard count > 0 else { continue }
            let size = [10, 200, 3000][Int(generator.next() % 3)]
            text += "# file: \(file.dropFirst(folder.utf8.count + 1))\n"
            for name in 0..<count { text += "user.name\(name)=\"\(String(repeating: "v", count: size))\"\n" }
            text += "\n"
        }
        try Trees.write(text, to: "\(folder)/attributes")
        try Tool.output("sh", ["-c", "cd '\(folder)' && exec setfattr --restore=attributes"])
    }

    /// Makes `copy` share the blocks of `file` where it can, and changes one of them.
    ///
    /// ioctl_ficlone(2).
    private static func share(_ file: String, with copy: String) throws {
        let source = open(file, O_RDONLY | O_CLOEXEC)
        let target = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        defer {
            close(source)
            close(target)
        }
        _ = ioctl(target, 0x4004_9409, source)
        guard pwrite(target, "changed", 7, 5000) == 7 else { throw ToolError("write \(copy): errno \(errno)") }
    }
}
