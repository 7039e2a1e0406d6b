// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// `coldclone auto` as it is shipped, on image files and loop devices; one at a time, as there is one place for targets.
@Suite(
    .serialized,
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"))
struct AutoTests {
    private func auto(_ settings: [String], _ options: [String] = []) throws -> Tool.Result {
        try Tool.run(
            Programs.agent, ["auto", "--cmdline", "/dev/null"] + options + settings.flatMap { ["--set", $0] })
    }

    private func sample(_ folder: TemporaryFolder, mebibytes: Int = 12) throws -> String {
        try SampleContent.write(SampleContent.bytes(.mixed, length: mebibytes << 20), to: folder.file("disk.img"))
    }

    @Test func capturesAsItIsTold() throws {
        let folder = try TemporaryFolder()
        let target = try folder.folder("target")
        let result = try auto(
            ["disks=\(sample(folder))", "target=dir:\(target)", "name=host", "compression=zstd"])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let clone = try Programs.clone(in: target)
        let name = clone.split(separator: "/").last ?? ""
        let lines = result.output.split(separator: "\n")
        #expect(lines.suffix(2) == ["coldclone auto: done: \(name) complete", "coldclone auto: exit 0"])
        #expect(lines.allSatisfy { $0.hasPrefix("coldclone auto: ") })
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        let events = try Tool.output("cat", ["\(clone)/events.jsonl"])
        for word in ["\"event\":\"step\"", "looking at the machine", "captured and durable", "capture_finished"] {
            #expect(events.contains(word))
        }
    }

    @Test func configurationIsPrintedWithoutSecrets() throws {
        let folder = try TemporaryFolder()
        let job = try SampleContent.write(
            Array(
                """
                token: hunter2
                receiver: http://127.0.0.1:1
                target: nfs://server/export
                iscsi: {portal: 10.0.0.9, user: u, secret: hunter2hunter2}

                """.utf8), to: folder.file("job.yaml"))
        let line = try SampleContent.write(
            Array("quiet coldclone.on_done=poweroff coldclone.format=raw".utf8), to: folder.file("cmdline"))
        let options = ["auto", "--print-config", "--job", job, "--cmdline", line, "--set", "retries=9"]
        for output in [
            try Tool.output(Programs.agent, options), try Tool.output(Programs.agent, options + ["--json"]),
        ] {
            #expect(!output.contains("hunter2"))
            for word in ["<secret>", "nfs://server/export", "kernel command line", job, "--set", "poweroff"] {
                #expect(output.contains(word), "\(word)")
            }
        }
    }

    @Test(
        arguments: [
            (["target=/mnt"], "is no target"), (["traget=dir:/mnt"], "did you mean target?"),
            (["token=hunter2"], "--job"), ([], "no job says where the clone goes"),
            (["target=dir:/does/not/exist", "disks=/dev/null"], "cannot open"),
            (["target=dir:/tmp", "disks=serial:none-such"], "no disk of this machine is serial:none-such"),
        ] as [([String], String)])
    func whatIsWrongIsSaidLast(settings: [String], message: String) throws {
        // What the machine of the test lacks is not asked for here.
        let result = try auto(settings + ["force=on"])
        #expect(result.status == 1)
        #expect(result.output.contains(message), "\(result.output)")
        #expect(!result.output.contains("hunter2"))
        let lines = result.output.split(separator: "\n")
        #expect(lines.dropLast().last?.hasPrefix("coldclone auto: failed: ") == true)
        #expect(lines.last == "coldclone auto: exit 1")
    }

    @Test func anotherModeEndsSilentlyAtBoot() throws {
        let result = try Tool.run(Programs.agent, ["auto", "--at-boot", "--cmdline", "/dev/null"])
        #expect(result.status == 0 && result.output.isEmpty && result.errors.isEmpty)
    }

    @Test(.enabled(if: Mount.isPossible, "mounting needs root"))
    func aTargetThatIsTooSmallIsRefusedUntouched() throws {
        let folder = try TemporaryFolder()
        let target = try folder.folder("small")
        let mount = try Mount(["-t", "tmpfs", "-o", "size=8M", "tmpfs"], at: target)
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 24 << 20), to: folder.file("disk.img"))
        let result = try auto(["disks=\(file)", "target=dir:\(mount.folder)", "name=host"])
        #expect(result.status == 1)
        #expect(result.output.contains("the target is too small"))
        #expect(try Tool.output("ls", ["-A", target]).isEmpty)
        let forced = try auto(["disks=\(file)", "target=dir:\(mount.folder)", "name=host", "force=on"])
        #expect(forced.status == 1 && forced.output.contains("No space left on device"))
    }

    /// The second pass before a cut-over: only what changed is stored, and the first clone is needed.
    @Test func theLatestCloneIsTheBase() throws {
        let folder = try TemporaryFolder()
        let target = try folder.folder("target")
        let disk = try SampleContent.write(SampleContent.bytes(.random, length: 24 << 20), to: folder.file("disk.img"))
        let settings = ["disks=\(disk)", "target=dir:\(target)", "name=host", "bench=off", "base=latest"]
        let first = try auto(settings)
        #expect(first.status == 0 && first.output.contains("capturing everything: the target has no complete clone"))
        let base = try Programs.clone(in: target)
        let name = base.split(separator: "/").last ?? ""
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=1", "seek=7", "conv=notrunc"])
        let second = try auto(settings)
        #expect(second.status == 0 && second.output.contains("storing what changed since \(name)"), "\(second.output)")
        let clones = try Tool.output("ls", [target]).split(separator: "\n").filter { $0 != name }
        let clone = "\(target)/\(try #require(clones.first))"
        #expect(clones.count == 1)
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        let files = try Tool.output("ls", [clone]).split(separator: "\n")
        let image = "\(clone)/\(try #require(files.first { $0.hasSuffix(".qcow2") }))"
        #expect(try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", disk, image]).status == 0)
        #expect(Int(try Tool.output("stat", ["-c", "%s", image]).dropLast()) ?? .max < 4 << 20)
        // A disk of another length has no base: everything is captured then, but a base by its name is insisted on.
        try Tool.output("truncate", ["-s", "25M", disk])
        let third = try auto(settings)
        #expect(third.status == 0 && third.output.contains("capturing everything: "), "\(third.output)")
        #expect(!third.output.contains("storing what changed") && third.output.contains(" bytes, and disk "))
        let named = try auto(settings.dropLast() + ["base=\(name)"])
        #expect(named.status == 1 && named.output.contains("cannot be the base"), "\(named.output)")
        let missing = try auto(settings.dropLast() + ["base=host-20200101T000000Z"])
        #expect(missing.status == 1 && missing.output.contains("cannot be the base"), "\(missing.output)")
        // What is refused is refused before anything is begun: one clone for each run that ended well.
        #expect(try Tool.output("ls", [target]).split(separator: "\n").count == 3)
    }

    @Test(.enabled(if: Tool.isInstalled("strace"), "strace is not installed"))
    func anInterruptedCloneIsGoneOnWith() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let target = try folder.folder("target")
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 96 << 20), to: folder.file("disk.img"))
        let settings = ["disks=\(file)", "target=dir:\(target)", "name=host", "bench=off"]
        let arguments = ["auto", "--cmdline", "/dev/null"] + settings.flatMap { ["--set", $0] }
        let stopped = try Tool.run(
            "strace",
            [
                "-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=TERM:when=3",
                Programs.agent,
            ] + arguments)
        #expect(stopped.status == 130, "\(stopped.output)\(stopped.errors)")
        #expect(stopped.output.contains("coldclone auto: cancelled: ") && stopped.output.contains("exit 130"))
        let clone = try Programs.clone(in: target)
        let resumed = try auto(settings)
        #expect(resumed.status == 0, "\(resumed.output)")
        #expect(resumed.output.contains("going on with the interrupted clone \(clone)"))
        #expect(try Programs.clone(in: target) == clone)
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        // Of another disk, it is left alone.
        try Tool.output("rm", ["\(clone)/manifest.json"])
        try Tool.output("sh", ["-c", "echo '{}' > '\(clone)/journal'"])
        let anew = try auto(settings)
        #expect(anew.status == 0 && anew.output.contains("not going on with \(clone)"))
    }

    @Test(
        .enabled(if: Programs.isRoot && Mount.isPossible && LoopDevice.areAvailable, "loop devices need root"),
        .enabled(if: Tool.isInstalled("mkfs.ext4", "mkfs.vfat"), "e2fsprogs and dosfstools are not installed"))
    func aDiskIsFoundByItsLabel() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let image = folder.file("stick.img")
        try Tool.output("truncate", ["-s", "96M", image])
        let label = "CLONES\(getpid())"
        try Tool.output("mkfs.ext4", ["-q", "-L", label, image])
        let device = try LoopDevice(image)
        try Tool.output("blockdev", ["--setro", device.path])
        let file = try sample(folder)
        // On the target's own disk nothing is captured.
        let refused = try auto(["disks=\(device.path)", "target=usb:\(label)", "name=host", "force=on"])
        #expect(refused.status == 1 && refused.output.contains("lies on the source"), "\(refused.output)")
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "1\n")
        let result = try auto(["disks=\(file)", "target=usb:\(label)", "name=host"])
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("unmounted usb:\(label)"))
        // It is as it was: nobody may write.
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "1\n")
        let mount = try Mount(["-o", "ro", device.path], at: folder.folder("look"), keeping: device)
        #expect(
            try Tool.run(Programs.receiver, ["verify", "--no-receipt", Programs.clone(in: mount.folder)]).status == 0)
    }

    @Test(.enabled(if: LoopDevice.areAvailable, "loop devices need root"))
    func nothingIsFormattedOrGuessed() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let image = folder.file("stick.img")
        try Tool.output("truncate", ["-s", "16M", image])
        let label = "FAT\(getpid())"
        try Tool.output("mkfs.vfat", ["-n", label, image])
        let device = try LoopDevice(image)
        let file = try sample(folder)
        let foreign = try auto(["disks=\(file)", "target=usb:\(label)", "wait_network=0"])
        #expect(foreign.status == 1 && foreign.output.contains("holds vfat"), "\(foreign.output)")
        let other = try LoopDevice(image)
        let twice = try auto(["disks=\(file)", "target=usb:\(label)", "wait_network=0"])
        #expect(twice.output.contains("are both called \(label)"), "\(twice.output) \(device.path) \(other.path)")
        let missing = try auto(["disks=\(file)", "target=usb:none-such", "wait_network=0"])
        #expect(missing.status == 1 && missing.output.contains("there is no disk with the label or UUID none-such"))
    }

    /// A server that dies in the middle and comes back not knowing its files: Tests/Fixtures/stale-target.
    @Test(
        .enabled(if: Programs.isRoot && Tool.isInstalled("linux.uml", "ganesha.nfsd", "mount.nfs"), "no NFS to be had"))
    func aTargetGoneStaleIsMountedAgain() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let disk = folder.file("disk.img")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=400"])
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let result = try Tool.run("/\(root)/Tests/Fixtures/stale-target", [Programs.agent, disk, folder.path])
        let log = try Tool.output("cat", [folder.file("agent.log")])
        #expect(result.status == 0, "\(log)\(result.errors)")
        let clone = try Programs.clone(in: folder.file("export"))
        #expect(log.contains("the target failed, trying again (1 of 3)"), "\(log)")
        #expect(log.contains("going on with the interrupted clone"), "\(log)")
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        let digest = try Tool.output("sha256sum", [disk]).prefix(64)
        let raw = folder.file("raw")
        try Tool.output("qemu-img", ["convert", "-O", "raw", "\(clone)/disk.qcow2", raw])
        #expect(try Tool.output("sha256sum", [raw]).prefix(64) == digest)
    }
}
