// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The shipped programs on block devices.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Programs.isRoot, "loop devices need root"))
struct DeviceTests {
    @Test(arguments: [512, 4096])
    func clonesADevice(sectorSize: Int) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let content = SampleContent.bytes(.mixed, length: 40 << 20 | 4096 * 3, seed: 9)
        let file = try SampleContent.write(content, to: folder.file("disk.img"))
        let before = try Tool.output("sha256sum", [file])
        let device = try LoopDevice(file, sectorSize: sectorSize)
        for format in ["raw", "qcow2"] {
            let target = try folder.folder(format)
            let result = try Programs.capture([device.path], target: target, ["--format", format])
            #expect(result.status == 0, "\(result.errors)")
            let clone = try Programs.clone(in: target)
            let name = device.path.split(separator: "/").last ?? ""
            try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", format, file, "\(clone)/\(name).\(format)"])
            #expect(
                try Tool.output("cat", ["\(clone)/manifest.json"]).contains(
                    "\"logical_sector_size_in_bytes\" : \(sectorSize)"))
            #expect(try Tool.run(Programs.agent, ["verify", clone]).status == 0)
            #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        }
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "1\n")
        #expect(try Tool.output("sha256sum", [file]) == before)
    }

    /// Rule 1 of the design, seen from outside: no system call opens the source for writing.
    @Test(.enabled(if: Tool.isInstalled("strace"), "strace is not installed"))
    func neverOpensTheSourceForWriting() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let content = SampleContent.bytes(.mixed, length: 8 << 20)
        let device = try LoopDevice(SampleContent.write(content, to: folder.file("disk.img")))
        let target = try folder.folder("target")
        let trace = folder.file("trace")
        let result = try Tool.run(
            "strace",
            [
                "-f", "-o", trace, "-e", "trace=open,openat,openat2,creat,execve", Programs.agent, "capture",
                device.path, "--target", "dir:\(target)",
            ])
        #expect(result.status == 0, "\(result.errors)")
        let opens = try Tool.output("cat", [trace]).split(separator: "\n").filter { $0.contains("open") }
        #expect(opens.contains { $0.contains(device.path) })
        // And nobody else is asked to do anything.
        #expect(try Tool.output("cat", [trace]).split(separator: "\n").filter { $0.contains("execve(") }.count == 1)
        for line in opens where line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT") {
            #expect(line.contains("\"\(target)/"), "\(line)")
        }
    }

    @Test func refusesATargetOnItsSource() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = folder.file("disk.img")
        try Tool.output("truncate", ["-s", "64M", file])
        try Tool.output("mkfs.ext4", ["-q", "-F", file])
        let device = try LoopDevice(file)
        let mount = try Mount([device.path], at: folder.folder("mount"))
        for source in [device.path, file] {
            let result = try Programs.capture([source], target: mount.folder)
            #expect(result.status == 1)
            #expect(result.errors.contains("the target \(mount.folder) lies on the source \(source)"))
        }
        let elsewhere = try Programs.capture([device.path], target: folder.path)
        #expect(elsewhere.status == 1)
        #expect(elsewhere.errors.contains("in use: mounted at \(mount.folder)"))
        // Nobody made it read-only under its user.
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "0\n")
    }

    @Test func saysThatATargetIsFull() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 32 << 20), to: folder.file("disk.img"))
        let mount = try Mount(["-t", "tmpfs", "-o", "size=16m", "tmpfs"], at: folder.folder("mount"))
        for format in ["raw", "qcow2"] {
            let target = "\(mount.folder)/\(format)"
            try Tool.output("mkdir", [target])
            let result = try Programs.capture([file], target: target, ["--format", format])
            #expect(result.status == 1)
            #expect(result.errors.contains("No space left on device"))
            #expect(result.errors.contains("hint: free space on the target"))
            let clone = try Programs.clone(in: target)
            #expect(try Tool.run("test", ["-e", "\(clone)/manifest.json"]).status == 1)
            #expect(try Tool.run(Programs.receiver, ["verify", "--no-receipt", clone]).status == 4)
            try Tool.output("rm", ["-r", target])
        }
    }

    /// A target whose medium goes away under its file system: a loop device whose own store is used up.
    @Test func saysThatATargetVanished() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 96 << 20), to: folder.file("disk.img"))
        let store = try Mount(["-t", "tmpfs", "-o", "size=24m", "tmpfs"], at: folder.folder("store"))
        let medium = "\(store.folder)/medium"
        try Tool.output("truncate", ["-s", "256M", medium])
        try Tool.output("mkfs.ext4", ["-q", "-F", medium])
        let device = try LoopDevice(medium)
        let mount = try Mount([device.path], at: folder.folder("mount"))
        let result = try Programs.capture([file], target: mount.folder)
        #expect(result.status == 1)
        #expect(result.errors.contains("cannot "), "\(result.errors)")
        let found = try Tool.run("find", [mount.folder, "-name", "manifest.json"])
        #expect(found.output.isEmpty)
    }
}
