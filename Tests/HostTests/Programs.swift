// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport

/// The two programs as they are shipped.
enum Programs {
    /// Path of the agent: `COLDCLONE_AGENT`, else where image-build/agent puts it.
    static var agent: String { path("COLDCLONE_AGENT", "coldclone") }
    /// Path of the receiver: `COLDCLONE_RECEIVER`, else where image-build/receiver puts it.
    static var receiver: String { path("COLDCLONE_RECEIVER", "coldclone-receiver") }

    /// Whether both are built; Tests/run builds them first.
    static var areBuilt: Bool { access(agent, X_OK) == 0 && access(receiver, X_OK) == 0 }

    /// Whether tests may mount and make loop devices.
    static var isRoot: Bool { geteuid() == 0 && access("/dev/loop-control", F_OK) == 0 }

    /// Captures and returns the result with the clone's folder, which is the only one in `target`.
    static func capture(_ sources: [String], target: String, _ options: [String] = []) throws -> Tool.Result {
        try Tool.run(agent, ["capture"] + sources + ["--target", "dir:\(target)", "--name", "host"] + options)
    }

    /// Returns the one clone in `target`.
    static func clone(in target: String) throws -> String {
        let names = try Tool.output("ls", [target]).split(separator: "\n").filter { $0.hasPrefix("host-") }
        guard names.count == 1 else { throw ToolError("\(target) holds \(names)") }
        return "\(target)/\(names[0])"
    }

    private static func path(_ variable: String, _ name: String) -> String {
        if let value = getenv(variable) { return String(cString: value) }
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return "/\(root)/.build/dist/\(name)"
    }
}

/// A loop device on a file, detached with the last reference.
final class LoopDevice: Sendable {
    let path: String

    init(_ file: String, sectorSize: Int = 512) throws {
        path =
            try Tool.output(
                "losetup", ["--find", "--show", "--sector-size", "\(sectorSize)", file]
            ).split(separator: "\n").map(String.init).first ?? ""
        // The read-only flag stays with the device when it is detached: an earlier test may have left it.
        try Tool.output("blockdev", ["--setrw", path])
    }

    deinit {
        // Others on this machine get the device next.
        _ = try? Tool.run("blockdev", ["--setrw", path])
        _ = try? Tool.run("losetup", ["-d", path])
    }
}

/// A mounted file system, unmounted with the last reference.
final class Mount: Sendable {
    let folder: String

    init(_ arguments: [String], at folder: String) throws {
        self.folder = folder
        try Tool.output("mount", arguments + [folder])
    }

    deinit { _ = try? Tool.run("umount", ["-l", folder]) }
}
