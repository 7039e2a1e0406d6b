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
                "-f", "-y", "-o", trace, "-e", "trace=open,openat,openat2,creat,execve", Programs.agent, "bench", file,
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
            assert report["target"] == sys.argv[2] and report["recommended_target"] == sys.argv[2]
            mine = report["candidates"][0]
            assert mine["target"]["folder"] == sys.argv[2] and mine["target"]["file_system"]
            assert mine["target"]["link"]["transport"]
            assert mine["bytes_per_second"] > 0 and mine["free_bytes"] > 0
            assert mine["expected_bytes_per_second"] > 0 and mine["seconds_for_sources"] > 0
            """
        let check = try Tool.run("python3", ["-c", program, result.output, target])
        #expect(check.status == 0, "\(check.errors)\(result.output)")
        for line in try Tool.output("cat", [trace]).split(separator: "\n")
        where line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains("O_CREAT") {
            // A file is opened once more by its descriptor, for direct writes: strace tells what it is.
            #expect(line.contains("\"\(target)/") || line.contains("<\(target)/"), "\(line)")
        }
    }

    @Test func measuresSeveralTargetsAndTakesTheFastest() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 24 << 20), to: folder.file("disk.img"))
        let (one, other) = (try folder.folder("one"), try folder.folder("other"))
        // The second has no room at all, which is no reason to say nothing of the first.
        let full = try Mount(["-t", "tmpfs", "-o", "size=8M", "tmpfs"], at: other)
        let targets = ["--target", "dir:\(one)", "--target", "dir:\(full.folder)"]
        let result = try Tool.run(Programs.agent, ["bench", file, "--seconds", "1", "--json"] + targets)
        #expect(result.status == 0, "\(result.errors)")
        let program = """
            import json, sys
            report = json.loads(sys.argv[1])
            named = [c for c in report["candidates"] if "folder" in c["target"]]
            assert [c["target"]["folder"] for c in named] == sys.argv[2:4]
            assert report["recommended_target"] == sys.argv[2]
            assert named[1]["target"]["link"]["transport"] == "memory"
            assert "bytes_per_second" not in named[1] and "free" in named[1]["problem"]
            """
        let check = try Tool.run("python3", ["-c", program, result.output, one, full.folder])
        #expect(check.status == 0, "\(check.errors)\(result.output)")
        let table = try Tool.run(Programs.agent, ["bench", file, "--seconds", "1"] + targets)
        for part in ["THEORY", "MEASURED", "100 GB", "USED DATA", "not measured", "recommended", "1000BASE-T has 128"] {
            #expect(table.output.contains(part), "\(part): \(table.output)")
        }
        #expect(
            try Tool.output("ls", ["-A", one, full.folder]).split(separator: "\n").allSatisfy { $0.hasSuffix(":") })
    }

    @Test func needsNoTarget() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 8 << 20), to: folder.file("disk.img"))
        let result = try Tool.run(Programs.agent, ["bench", file, "--seconds", "1", "--json"])
        #expect(result.status == 0 && result.output.contains("\"candidates\":["), "\(result.errors)")
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
