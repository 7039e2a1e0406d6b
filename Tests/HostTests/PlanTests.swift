// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// `coldclone plan` as it is shipped, and captures that leave free space out.
@Suite(.enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"))
struct PlanTests {
    /// A disk image that is one ext4 file system, with files, and with the remains of deleted ones.
    private func image(in folder: TemporaryFolder, isDirty: Bool = false) throws -> String {
        let file = folder.file("disk.img")
        try Tool.output("truncate", ["-s", "256M", file])
        try Tool.output("mkfs.ext4", ["-q", "-F", file])
        let commands = folder.file("commands")
        let big = try SampleContent.write(SampleContent.bytes(.random, length: 96 << 20), to: folder.file("big"))
        let small = try SampleContent.write(SampleContent.bytes(.random, length: 3 << 20), to: folder.file("small"))
        try Tool.output("bash", ["-c", "printf 'write \(big) big\\nwrite \(small) small\\nrm big\\n' >\(commands)"])
        try Tool.output("debugfs", ["-w", "-f", commands, file])
        // What debugfs leaves undone; then, to be dirty, the flag that a journal must be replayed first.
        _ = try Tool.run("e2fsck", ["-f", "-y", file])
        if isDirty { try Tool.output("debugfs", ["-w", "-R", "feature needs_recovery", file]) }
        return file
    }

    private func run(_ arguments: [String]) throws -> Tool.Result { try Tool.run(Programs.agent, arguments) }

    @Test func tellsWhatIsLeftOut() throws {
        let folder = try TemporaryFolder()
        let file = try image(in: folder)
        let plan = try run(["plan", file, "--json"])
        #expect(plan.status == 0, "\(plan.errors)")
        for part in [
            "\"reason\":\"ext4 free space\"", "\"mode\":\"skip\"", "\"type\":\"ext4\"", "\"checked_extents\":",
        ] { #expect(plan.output.contains(part), "\(plan.output)") }
        #expect(!plan.output.contains("copied_whole") && plan.output.split(separator: "\n").count == 1)
        let table = try run(["plan", file])
        #expect(table.output.contains("ext4 free space") && table.output.contains("TO READ"), "\(table.output)")
        let kept = try run(["plan", file, "--free-space", "keep", "--json"])
        #expect(kept.output.contains("\"mode\":\"keep\"") && !kept.output.contains("ext4 free space"))
        let trusted = try run(["plan", file, "--trust-bitmaps", "--json"])
        #expect(trusted.output.contains("\"trusts_bitmaps\":true") && !trusted.output.contains("checked_extents"))
    }

    @Test func saysWhyAVolumeIsCopiedWhole() throws {
        let folder = try TemporaryFolder()
        let file = try image(in: folder, isDirty: true)
        let plan = try run(["plan", file, "--json"])
        #expect(plan.status == 0)
        #expect(plan.output.contains("\"copied_whole\":\"journal needs recovery\""), "\(plan.output)")
        let target = try folder.folder("target")
        #expect(try Programs.capture([file], target: target, ["--format", "raw"]).status == 0)
        try Tool.output("cmp", [file, "\(try Programs.clone(in: target))/disk.raw"])
    }

    @Test func leavesOutAndKeepsTheRest() throws {
        let folder = try TemporaryFolder()
        let file = try image(in: folder)
        let target = try folder.folder("target")
        let captured = try Programs.capture([file], target: target, ["--format", "raw", "--json"])
        #expect(captured.status == 0, "\(captured.errors)")
        let clone = try Programs.clone(in: target)
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        try Tool.output("e2fsck", ["-f", "-n", "\(clone)/disk.raw"])
        try Tool.output("debugfs", ["-R", "dump small \(folder.file("out"))", "\(clone)/disk.raw"])
        try Tool.output("cmp", [folder.file("small"), folder.file("out")])
        // The deleted file's bytes are in the disk and not in the image.
        let stored = try Tool.output("du", ["-sm", "\(clone)/disk.raw"]).prefix { $0.isNumber }
        #expect((Int(stored) ?? 1000) < 32)
        let manifest = try Tool.output("cat", ["\(clone)/manifest.json"])
        #expect(manifest.contains("\"free_space\"") && manifest.contains("\"ext4 free space\""))
    }

    @Test(.enabled(if: Mount.isPossible)) func saysThatATargetIsTooSmall() throws {
        let folder = try TemporaryFolder()
        let file = try image(in: folder, isDirty: true)
        let mount = try Mount(["-t", "tmpfs", "-o", "size=8M", "tmpfs"], at: try folder.folder("target"))
        let plan = try run(["plan", file, "--target", "dir:\(mount.folder)", "--skip-bench", "--json"])
        #expect(plan.status == 1 && plan.output.contains("\"fits\":false"), "\(plan.output)")
        let roomy = try run(["plan", file, "--target", "dir:\(folder.path)", "--seconds", "1"])
        #expect(roomy.status == 0, "\(roomy.errors)")
        for part in ["this capture", "needed on target", "free on target"] {
            #expect(roomy.output.contains(part), "\(roomy.output)")
        }
        // Nothing is left of the measurement.
        #expect(try Tool.output("ls", ["-A", mount.folder]).isEmpty)
    }

    @Test(
        arguments: [
            (["plan"], 64), (["plan", "/does/not/exist"], 1),
            (["plan", "x", "--format", "raw", "--compression", "zstd"], 64),
            (["plan", "x", "--free-space", "keep", "--trust-bitmaps"], 64),
            (["plan", "x", "--free-space", "some"], 64),
            (["capture", "x", "--target", "dir:/tmp", "--parallel-disks", "0"], 64), (["plan", "--help"], 0),
        ] as [([String], Int32)])
    func exitCodes(arguments: [String], status: Int32) throws {
        #expect(try run(arguments).status == status)
    }
}
