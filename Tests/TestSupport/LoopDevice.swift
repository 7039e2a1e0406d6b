// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// A file as a block device, detached with the last reference.
///
/// Needs root. losetup(8).
public final class LoopDevice: Sendable {
    /// Path of the device.
    public let path: String
    private let hasPartitions: Bool

    /// Whether loop devices can be attached here; for `.enabled(if:)`.
    public static let areAvailable: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
        let file = folder.file("disk")
        guard (try? Tool.output("truncate", ["-s", "1M", file])) != nil else { return false }
        return (try? LoopDevice(file)) != nil
    }()

    /// Attaches `file` with sectors of `sectorSize` bytes; its partitions appear when `scanPartitions` asks for them.
    ///
    /// partx(8) reads the table, which not every kernel knows how to.
    public init(_ file: String, sectorSize: Int = 512, scanPartitions: Bool = false) throws {
        let arguments = ["--find", "--show", "--sector-size", "\(sectorSize)", file]
        path = String(try Tool.output("losetup", arguments).prefix { $0 != "\n" })
        hasPartitions = scanPartitions
        // The read-only flag stays with the device when it is detached: an earlier test may have left it.
        try Tool.output("blockdev", ["--setrw", path])
        if scanPartitions { try Tool.output("partx", ["--update", path]) }
    }

    deinit {
        if hasPartitions { _ = try? Tool.run("partx", ["--delete", path]) }
        // Others on this machine get the device next.
        _ = try? Tool.run("blockdev", ["--setrw", path])
        _ = try? Tool.run("losetup", ["--detach", path])
    }
}

/// A mounted file system, unmounted with the last reference.
///
/// Needs root. mount(8).
public final class Mount: Sendable {
    /// The mount point.
    public let folder: String

    /// Whether this process may mount; for `.enabled(if:)`.
    public static let isPossible: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
        return (try? Mount(["-t", "tmpfs", "tmpfs"], at: folder.path)) != nil
    }()

    private let kept: [any Sendable]

    /// Mounts what `arguments` for mount(8) say on `folder`, and keeps `kept`, what lies below, until it is unmounted.
    public init(_ arguments: [String], at folder: String, keeping kept: any Sendable...) throws {
        self.folder = folder
        self.kept = kept
        try Tool.output("mount", arguments + [folder])
    }

    deinit {
        guard (try? Tool.output("umount", [folder])) == nil else { return }
        _ = try? Tool.run("umount", ["--lazy", folder])
    }
}

extension TemporaryFolder {
    /// A parent on a file system with a disk below, which tmpfs is not; nil when there is none.
    public static let parentOnDisk: String? = ["/tmp", "/var/tmp", "."].first { parent in
        let type = try? Tool.output("stat", ["--file-system", "--format=%T", parent])
        return type.map { !$0.contains("tmpfs") && !$0.contains("ramfs") } ?? false
    }
}
