// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// A file as a block device, detached with the last reference.
///
/// Needs root. losetup(8).
public final class LoopDevice: Sendable {
    /// Path of the device.
    public let path: String

    /// Whether loop devices can be attached here; for `.enabled(if:)`.
    public static let areAvailable: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
        let file = folder.file("disk")
        guard (try? Tool.output("truncate", ["-s", "1M", file])) != nil else { return false }
        return (try? LoopDevice(file)) != nil
    }()

    /// Attaches `file` with sectors of `sectorSize` bytes; its partitions appear when `scanPartitions` asks for them.
    public init(_ file: String, sectorSize: Int = 512, scanPartitions: Bool = false) throws {
        var arguments = ["--find", "--show", "--sector-size", "\(sectorSize)"]
        if scanPartitions { arguments.append("--partscan") }
        path = String(try Tool.output("losetup", arguments + [file]).prefix { $0 != "\n" })
    }

    deinit { _ = try? Tool.run("losetup", ["--detach", path]) }
}

/// A mounted file system, unmounted with the last reference.
///
/// Needs root. mount(8).
public final class Mount: Sendable {
    /// Path of the mount point.
    public let path: String

    /// Whether this process may mount; for `.enabled(if:)`.
    public static let isPossible: Bool = {
        guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
        return (try? Mount("tmpfs", on: folder.path, options: ["-t", "tmpfs"])) != nil
    }()

    /// Mounts `source` on the folder `path` with `options` for mount(8).
    public init(_ source: String, on path: String, options: [String] = []) throws {
        self.path = path
        try Tool.output("mount", options + [source, path])
    }

    deinit { _ = try? Tool.run("umount", [path]) }
}

extension TemporaryFolder {
    /// A parent on a file system with a disk below, which tmpfs is not; nil when there is none.
    public static let parentOnDisk: String? = ["/tmp", "/var/tmp", "."].first { parent in
        let type = try? Tool.output("stat", ["--file-system", "--format=%T", parent])
        return type.map { !$0.contains("tmpfs") && !$0.contains("ramfs") } ?? false
    }
}
