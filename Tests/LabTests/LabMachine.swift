// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport

/// A machine that QEMU emulates: Debian's stock kernel and an initramfs with the shipped agent, booted for one job.
///
/// Nothing of the host is shared but the images of its disks. Drivers are loaded by modalias, as on a real machine.
struct LabMachine: Sendable {
    /// An image behind a device, which names it `drive=<id>`.
    struct Drive: Sendable {
        enum Content: Sendable {
            /// A sparse file of this many MiB, made for the run; with a GPT of two partitions when asked for.
            case blank(mebibytes: Int, partitioned: Bool)
            /// This file, raw or qcow2 by its name. It is written to when the job does so.
            case file(String)
            /// What another drive holds, opened once more.
            case sameAs(String)
        }
        var id: String
        var content: Content
        /// Two devices may open it at once: two paths to one LUN.
        var isShared = false
    }

    /// Its DMI product name.
    var name: String
    /// Controllers and devices, each an argument of `-device`.
    var devices: [String]
    var drives: [Drive]
    /// How many whole disks the kernel is to show before the job begins.
    var diskCount: Int
    /// Modules that this machine's live system lacks.
    var withheldModules: [String] = []
    /// More arguments for QEMU, such as a network.
    var arguments: [String] = []
    var memoryInMiB = 512

    /// What a job left.
    struct Outcome: Sendable {
        /// The job's exit status; nil when the machine ended before the job did.
        var status: Int32?
        var output: String
        var errors: String
        /// What the kernel and the emulator said.
        var console: String
        /// Everything that the job left in its working folder.
        var files: TemporaryFolder
    }

    /// Every lab machine's DMI UUID.
    static let uuid = "1ab00000-0000-4000-8000-000000000001"

    /// The agent as it is shipped.
    static let agent: String = {
        if let value = getenv("COLDCLONE_AGENT") { return String(cString: value) }
        return "\(Fixtures.root)/.build/dist/coldclone"
    }()

    /// Whether machines can be booted here; for `.enabled(if:)`.
    static let isAvailable: Bool =
        Tool.isInstalled("qemu-system-x86_64", "busybox", "cpio", "depmod", "dpkg-deb", "xz")
        && access(agent, X_OK) == 0

    /// Whether the slow tier is wanted: Tests/run sets it.
    static let isSlowTier = getenv("COLDCLONE_SLOW") != nil

    /// Boots the machine, runs `job`, a script for busybox's shell, and returns what it left.
    ///
    /// The job starts in an empty folder, all of which is handed back: some megabytes at most, through a serial port.
    /// The agent is `coldclone` in its PATH; disks are linked as `/dev/lab/<serial number>`; `files` are put at the
    /// given absolute paths.
    func run(_ job: String, files: [String: String] = [:], in network: LabNetwork? = nil) throws -> Outcome {
        let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let kernel = try Fixtures.labKernel()
        try makeInitramfs(of: job, with: files, base: "\(kernel)/base.cpio", in: scratch)
        let run = network.map { network in { try network.run($0, $1) } } ?? { try Tool.run($0, $1) }
        let result = try run(
            "timeout",
            [
                "--kill-after=5", "30m", "qemu-system-x86_64", "-machine", "q35,hpet=off,sata=off",
                "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "\(memoryInMiB)", "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot",
                "-smbios",
                "type=1,manufacturer=coldclone,product=lab \(name),serial=LAB0001,uuid=\(Self.uuid)",
                "-kernel", "\(kernel)/vmlinux", "-initrd", scratch.file("initramfs"),
                "-append", "console=ttyS0 panic=-1 quiet loglevel=4",
                "-serial", "file:\(scratch.file("console"))", "-serial", "file:\(scratch.file("out.tar"))",
            ] + (try drives.flatMap { try arguments(for: $0, in: scratch) })
                + devices.flatMap { ["-device", $0] } + arguments)
        let console = try text(scratch.file("console")) + result.output + result.errors
        guard result.status == 0 else {
            throw ToolError("\(name): QEMU ended with \(result.status)\n\(console.suffix(4000))")
        }
        let left = try TemporaryFolder()
        guard try Tool.run("tar", ["-x", "-f", scratch.file("out.tar"), "-C", left.path]).status == 0 else {
            throw ToolError("\(name): the machine handed back no archive\n\(console.suffix(4000))")
        }
        if Folder.exists(left.file("trouble")) {
            throw ToolError("\(name): \(try text(left.file("trouble")))\(console.suffix(4000))")
        }
        let status = try text(left.file("status"))
        return Outcome(
            status: Int32(status.prefix { $0 != "\n" }), output: try text(left.file("stdout")),
            errors: try text(left.file("stderr")), console: console, files: left)
    }

    private func text(_ path: String) throws -> String {
        guard Folder.exists(path) else { return "" }
        return String(decoding: try SmallFile.read(path, limit: 64 << 20), as: UTF8.self)
    }

    /// The kernel unpacks one archive after the other: what is the same for all machines need not be packed again.
    private func makeInitramfs(
        of job: String, with files: [String: String], base: String, in scratch: TemporaryFolder
    ) throws {
        let tree = try scratch.folder("tree")
        try Folder.writeDurably(Array((job + "\n").utf8), to: "job", in: tree)
        let conf = "disks=\(diskCount)\nwithheld='\(withheldModules.joined(separator: " "))'\n"
        try Folder.writeDurably(Array(conf.utf8), to: "job.conf", in: tree)
        try Tool.output("install", ["-D", "-m", "755", Self.agent, "\(tree)/bin/coldclone"])
        for (place, file) in files { try Tool.output("install", ["-D", file, "\(tree)\(place)"]) }
        let pack = "cd \(tree) && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0 | cat \(base) - >../initramfs"
        try Tool.output("sh", ["-c", pack])
    }

    private func arguments(for drive: Drive, in scratch: TemporaryFolder) throws -> [String] {
        let path: String
        switch drive.content {
        case .file(let file): path = file
        case .sameAs(let id): path = scratch.file(id)
        case .blank(let mebibytes, let partitioned):
            path = scratch.file(drive.id)
            try Tool.output("truncate", ["-s", "\(mebibytes)M", path])
            if partitioned {
                let half = mebibytes / 2
                try Tool.output(
                    "sgdisk",
                    ["--new=1:1M:+\(half)M", "--new=2:0:0", "--disk-guid=1AB00000-0000-4000-8000-000000000002", path])
            }
        }
        let format = path.hasSuffix(".qcow2") ? "qcow2" : "raw"
        let locking = drive.isShared ? "file.locking=off," : ""
        return ["-blockdev", "driver=\(format),node-name=\(drive.id),\(locking)file.driver=file,file.filename=\(path)"]
    }
}
