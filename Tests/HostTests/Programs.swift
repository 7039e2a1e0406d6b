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
