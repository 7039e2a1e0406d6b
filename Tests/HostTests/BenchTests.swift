// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// `coldclone bench` as it is shipped.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("strace", "python3"), "strace or python3 is not installed"))
struct BenchTests {
    @Test func measuresAndLeavesNothing() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 24 << 20), to: folder.file("disk.img"))
        let target = try folder.folder("target")
        let trace = folder.file("trace")
        let result = try Tool.run(
            "strace",
            [
                "-f", "-o", trace, "-e", "trace=open,openat,openat2,creat,execve", Programs.agent, "bench", file,
                "--target", "dir:\(target)", "--seconds", "1", "--json",
            ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Tool.output("ls", ["-A", target]).isEmpty)
        let program = """
            import json, sys
            report = json.loads(sys.argv[1])
            assert report["sources"][0]["bytes_per_second"] > 0
            assert report["target_bytes_per_second"] > 0
            assert [row["compression"] for row in report["compressions"]] == ["none", "zlib", "zstd"]
            assert all(row["bottleneck"] in ("source", "cpu", "target") for row in report["compressions"])
            assert all(row["seconds_for_hundred_gigabytes"] > 0 for row in report["compressions"])
            assert report["recommended_compression"] in ("none", "zlib", "zstd")
            """
        let check = try Tool.run("python3", ["-c", program, result.output])
        #expect(check.status == 0, "\(check.errors)\(result.output)")
        for line in try Tool.output("cat", [trace]).split(separator: "\n")
        where line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT") {
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
        let result = try Tool.run(Programs.agent, ["bench", file, "--target", "dir:\(mount.folder)"])
        #expect(result.status == 1)
        #expect(result.errors.contains("lies on the source"), "\(result.errors)")
    }
}
