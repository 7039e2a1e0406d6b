// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// The shipped agent on real file systems that are shut down under it, log unwritten: what was not synchronised is lost,
/// as after a power cut.
///
/// The ioctl XFS_IOC_GOINGDOWN, which ext4 knows as well, by xfs_io(8).
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("xfs_io", "mkfs.xfs", "mkfs.ext4", "qemu-img"), "xfsprogs or qemu-utils is missing"),
    .enabled(if: LoopDevice.areAvailable && Mount.isPossible, "needs root and loop devices"), .serialized)
struct PowerLossTests {
    private static let length = 220 << 20

    /// A file system in a file.
    private final class Target {
        let folder: TemporaryFolder
        let device: LoopDevice
        private(set) var mount: Mount?
        var path: String { folder.file("mounted") }

        init(_ make: [String]) throws {
            folder = try TemporaryFolder(in: "/var/tmp")
            try Tool.output("truncate", ["-s", "2G", folder.file("system.img")])
            try Tool.output(make[0], Array(make.dropFirst()) + [folder.file("system.img")])
            device = try LoopDevice(folder.file("system.img"))
            mount = try Mount([device.path], at: try folder.folder("mounted"), keeping: folder)
        }

        /// Loses power, and comes back.
        func losePower() throws {
            try Tool.output("xfs_io", ["-x", "-c", "shutdown", path])
        }

        func comeBack() throws {
            mount = nil
            mount = try Mount([device.path], at: path, keeping: folder)
        }

        func clone(besides base: String?) throws -> String? {
            try Tool.output("ls", [path]).split(separator: "\n").map { "\(path)/\($0)" }
                .first { $0 != base && $0.contains("/host-") }
        }
    }

    /// Bytes that the file at `path` takes on its medium or will take.
    private static func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? max(Int(status.st_blocks) * 512, 1) : 0
    }

    @Test(arguments: [["mkfs.xfs", "-q"], ["mkfs.ext4", "-q", "-F"]])
    func whatIsLostIsCopiedAgain(make: [String]) throws {
        let seed = getenv("COLDCLONE_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let target = try Target(make)
        let disk = target.folder.file("sda.img")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=\(Self.length >> 20)"])
        #expect(try Programs.capture([disk], target: target.path).status == 0)
        let base = try #require(try target.clone(besides: nil))
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=90", "seek=60", "conv=notrunc"])
        try Tool.output("sync", ["-f", target.path])
        var interrupted = 0
        for number in 0..<8 {
            let variant =
                [
                    ["--format", "raw"], [], ["--compression", "zstd"], ["--base", base],
                    ["--format", "raw", "--base", base, "--base-copy"],
                ][number % 5]
            let moment: Comment = "COLDCLONE_SEED=\(seed), round \(number), \(variant)"
            // From its first byte to beyond its last one.
            let threshold = Int.random(in: 1...(variant.contains("--base") ? 92 : 225) << 20, using: &generator)
            let agent = try RunningTool(
                Programs.agent,
                ["capture", disk, "--target", "dir:\(target.path)", "--name", "host", "--rate-limit", "300MiB"]
                    + variant)
            let image = variant.contains("raw") ? "sda.raw" : "sda.qcow2"
            // There is no event for a file that grows; the process may also end by itself.
            while agent.isRunning, try target.clone(besides: base).map({ Self.size("\($0)/\(image)") }) ?? 0 < threshold
            {
                usleep(2000)
            }
            try target.losePower()
            let result = try agent.wait()
            try target.comeBack()
            guard let clone = try target.clone(besides: base) else { continue }
            let isComplete = access("\(clone)/manifest.json", F_OK) == 0
            if result.status != 0 {
                #expect(result.status == 1 && result.errors.contains("coldclone: cannot "), moment)
                #expect(result.errors.contains("coldclone capture --resume \(clone)"), "\(moment): \(result.errors)")
            } else {
                #expect(isComplete, moment)
            }
            if !isComplete {
                let resumed = try Tool.run(Programs.agent, ["capture", "--resume", clone])
                if access("\(clone)/journal", F_OK) == 0 {
                    #expect(resumed.status == 0, "\(moment): \(resumed.errors)")
                }
                guard resumed.status == 0 else {
                    #expect(resumed.errors.contains("it has no journal"), "\(moment): \(resumed.errors)")
                    try Tool.output("rm", ["-r", clone])
                    continue
                }
                interrupted += 1
            }
            let verification = try Tool.run(
                Programs.receiver, ["verify", "--no-receipt", "--file-digests", "never", clone])
            #expect(verification.status == 0, "\(moment): \(verification.output)")
            let format = variant.contains("raw") ? "raw" : "qcow2"
            let same = try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", format, disk, "\(clone)/\(image)"])
            #expect(same.status == 0, "\(moment): \(same.output)\(same.errors)")
            try Tool.output("rm", ["-r", clone])
            try Tool.output("sync", ["-f", target.path])
        }
        #expect(interrupted > 2, "COLDCLONE_SEED=\(seed): \(interrupted) went on")
    }

    /// A copy of the base's content on a file system that shares storage takes hardly any room.
    @Test func copiesShareStorageOnXFS() throws {
        let target = try Target(["mkfs.xfs", "-q", "-m", "reflink=1"])
        let disk = target.folder.file("sda.img")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=\(Self.length >> 20)"])
        for format in ["raw", "qcow2"] {
            #expect(try Programs.capture([disk], target: target.path, ["--format", format]).status == 0)
            let base = try #require(try target.clone(besides: nil))
            try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=3", "seek=100", "conv=notrunc"])
            let before = try used(target.path)
            let result = try Programs.capture(
                [disk], target: target.path, ["--format", format, "--base", base, "--base-copy", "--json"])
            #expect(result.status == 0, "\(result.errors)")
            let copy = try #require(try target.clone(besides: base))
            let grown = try used(target.path) - before
            #expect(grown < 16 << 20, "\(format): \(grown) bytes more")
            try Tool.output("rm", ["-r", base])
            #expect(try Tool.run(Programs.receiver, ["verify", copy]).status == 0)
            let image = "\(copy)/sda.\(format)"
            #expect(try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", format, disk, image]).status == 0)
            try Tool.output("rm", ["-r", copy])
        }
    }

    /// Bytes in use on the file system at `path`, once all of it is written.
    private func used(_ path: String) throws -> Int {
        try Tool.output("sync", ["-f", path])
        let line = try Tool.output("df", ["--output=used", "-B1", path]).split(separator: "\n").last ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }
}
