// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// `coldclone probe` as it is shipped.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("strace", "sfdisk", "python3"), "strace, sfdisk or python3 is not installed"))
struct ProbeTests {
    /// 64 disks of four partitions each: little of each is read, and nothing is opened for writing.
    @Test func readsLittleOfManyDisks() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let first = folder.file("disk0.img")
        let script = """
            truncate -s 256M "$1"
            printf 'label: gpt\\nsize=60MiB\\nsize=60MiB\\nsize=60MiB\\nsize=60MiB\\n' | sfdisk -q "$1"
            for start in 1 61 121 181; do
                truncate -s 60M "$1.part"
                mkfs.ext4 -q -F -L "part$start" "$1.part"
                dd if="$1.part" of="$1" bs=1M seek=$start conv=notrunc,sparse status=none
                rm "$1.part"
            done
            for number in $(seq 1 63); do cp --sparse=always "$1" "$2/disk$number.img"; done
            """
        try Tool.output("sh", ["-e", "-c", script, "sh", first, folder.path])
        let disks = (0..<64).map { folder.file("disk\($0).img") }
        let trace = folder.file("trace")
        let result = try Tool.run(
            "strace",
            [
                "-f", "-y", "-o", trace, "-e",
                "trace=read,pread64,readv,preadv,preadv2,open,openat,openat2,creat,execve",
                Programs.agent, "probe", "--json",
            ] + disks)
        #expect(result.status == 0, "\(result.errors)")
        let json = try SampleContent.write(Array(result.output.utf8), to: folder.file("machine.json"))
        let check = try Tool.run("python3", ["-c", Self.check, trace, json])
        #expect(check.status == 0, "\(check.errors)")

        // What the program itself takes, which no other load on the machine changes: 0.05 s, measured.
        let timed = try Tool.run(
            "bash", ["-c", "TIMEFORMAT=%U; time \"$@\" >/dev/null", "bash", Programs.agent, "probe"] + disks)
        let seconds = try #require(timed.errors.split(separator: "\n").last.flatMap { Double($0) })
        #expect(seconds < 1, "\(seconds) s of the processor's time")
    }

    private static let check = """
        import json, re, sys, collections
        machine = json.load(open(sys.argv[2]))
        assert len(machine["disks"]) == 64
        for disk in machine["disks"]:
            parts = disk["content"]["table"]["partitions"]
            assert [part["content"]["type"] for part in parts] == ["ext4"] * 4, parts
            assert disk["content"]["table"]["backup"] == "good"
        read = collections.Counter()
        for line in open(sys.argv[1], errors="replace"):
            assert not re.search("O_WRONLY|O_RDWR|O_CREAT|creat\\\\(", line), line
            match = re.search(r"p?read\\w*\\(\\d+<(/[^>]*\\.img)>.* = (\\d+)$", line)
            if match: read[match.group(1)] += int(match.group(2))
        assert len(read) == 64, len(read)
        assert max(read.values()) < 4 << 20, max(read.values())
        print("at most", max(read.values()), "bytes of a disk")
        """

    /// The whole command on this machine: no disk is opened for writing, and its recording is the same machine.
    @Test func looksAtThisMachineWithoutWriting() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let trace = folder.file("trace")
        let tar = folder.file("machine.tar")
        let result = try Tool.run(
            "strace",
            [
                "-f", "-o", trace, "-e", "trace=open,openat,openat2,creat", Programs.agent, "probe", "--json",
                "--record",
                tar, "--include-serials", "--skip-smart",
            ])
        #expect(result.status == 0, "\(result.errors)")
        for line in try Tool.output("cat", [trace]).split(separator: "\n")
        where line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT") {
            #expect(line.contains("\"\(tar)\""), "\(line)")
        }
        let replayed = try Tool.run(Programs.agent, ["probe", "--json", "--sysroot", tar])
        #expect(replayed.status == 0, "\(replayed.errors)")
        let program = """
            import json, sys
            live, replayed = (json.loads(text) for text in sys.argv[1:3])
            for key in ("controllers", "interfaces", "cpu", "memory", "boot", "system_vendor", "bmc"):
                assert live[key] == replayed[key], key
            assert [disk["name"] for disk in live["disks"]] == [disk["name"] for disk in replayed["disks"]]
            """
        #expect(try Tool.run("python3", ["-c", program, result.output, replayed.output]).status == 0)
        // The file exists now, and is nobody's to overwrite.
        #expect(try Tool.run(Programs.agent, ["probe", "--record", tar]).status == 1)
    }

    @Test func namesWhatIsWrong() throws {
        let folder = try TemporaryFolder()
        let none = try Tool.run(Programs.agent, ["probe", folder.file("none.img")])
        #expect(none.status == 1 && none.errors.contains("none.img: No such file or directory"))
        let file = try SampleContent.write([UInt8](repeating: 65, count: 2000), to: folder.file("x.tar"))
        let tar = try Tool.run(Programs.agent, ["probe", "--sysroot", file])
        #expect(tar.status == 1 && tar.errors.contains("there is no tar header at byte 0"), "\(tar.errors)")
        #expect(tar.errors.contains("hint: record the machine again"))
        #expect(try Tool.run(Programs.agent, ["probe", "--include-serials"]).status == 64)
    }

    /// The manifest of a machine's own disk holds the inventory, and domain.xml is made of it.
    @Test(.enabled(if: Programs.isRoot, "loop devices need root"))
    func theManifestHoldsTheInventory() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 8 << 20), to: folder.file("disk.img"))
        let device = try LoopDevice(file)
        let target = try folder.folder("target")
        #expect(try Programs.capture([device.path], target: target).status == 0)
        let clone = try Programs.clone(in: target)
        let manifest = try Tool.output("cat", ["\(clone)/manifest.json"])
        #expect(manifest.contains("\"inventory\"") && manifest.contains("\"controllers\""))
        #expect(manifest.contains("\"domain_digest\""))
        #expect(try Tool.run("virt-xml-validate", ["\(clone)/domain.xml", "domain"]).status == 0)
    }
}
