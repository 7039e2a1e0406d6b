// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc

/// User Mode Linux: a kernel with md and device-mapper, whatever the host's kernel has, as an ordinary process.
///
/// Its root is the host's, read-only; what it writes goes to a folder that its script mounts by hostfs.
public enum UMLMachine {
    /// Whether the kernel is installed; for `.enabled(if:)`.
    public static let isAvailable: Bool = Tool.isInstalled("linux.uml")

    /// Boots with `script` as init, waits until it powers off, and returns what came on the console.
    ///
    /// A machine that takes longer than half an hour is killed with its processes. Exit status says nothing:
    /// a script tells of its success by what it leaves.
    public static func run(
        _ script: String, _ arguments: [String] = [], memoryInMiB: Int = 768
    ) throws -> String {
        let words = [script] + arguments
        guard words.allSatisfy({ !$0.contains { $0.isWhitespace || $0 == "," } }) else {
            throw ToolError("the kernel's command line has no way to say \(words)")
        }
        let result = try Tool.run(
            "timeout",
            [
                "--kill-after=5", "30m", "env", "TMPDIR=\(memoryFolder(memoryInMiB))", "linux.uml",
                "mem=\(memoryInMiB)M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "init=\(script)",
                "con0=null,fd:1", "con=null", "--",
            ] + arguments)
        guard result.status != 124, result.status != 128 + SIGKILL else {
            throw ToolError("\(script): still running after half an hour\n\(result.output.suffix(4000))")
        }
        return result.output
    }

    /// Its memory is a file, which on a disk would be written back again and again.
    private static func memoryFolder(_ memoryInMiB: Int) -> String {
        let free = (try? Folder.freeSpace(in: "/dev/shm")) ?? 0
        return free > Int64(memoryInMiB + 256) << 20 ? "/dev/shm" : "/tmp"
    }
}
