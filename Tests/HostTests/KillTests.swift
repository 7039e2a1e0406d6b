// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// The shipped agent, killed at 50 moments that nobody chose: what is left goes on to the image of an undisturbed run.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("strace", "qemu-img"), "strace or qemu-utils is not installed"))
struct KillTests {
    /// What is captured, and how.
    struct Variant: Sendable {
        var name: String
        var options: [String]
        var disks = 1
        var hasBase = false
        var format: String { options.contains("raw") ? "raw" : "qcow2" }
    }

    static let variants = [
        Variant(name: "qcow2", options: []),
        Variant(name: "zlib", options: ["--compression", "zlib"]),
        Variant(name: "zstd, two disks", options: ["--compression", "zstd"], disks: 2),
        Variant(name: "raw", options: ["--format", "raw"]),
        Variant(name: "overlay", options: [], hasBase: true),
        Variant(name: "raw copy", options: ["--format", "raw", "--base-copy"], hasBase: true),
        Variant(name: "zstd overlay, two disks", options: ["--compression", "zstd"], disks: 2, hasBase: true),
    ]
    static let rounds = 50

    /// Disks as they are, and a target that holds clones of what they were.
    private struct Stage {
        let folder: TemporaryFolder
        let target: String
        let base: String
        var disks: [String] { [folder.file("sda.img"), folder.file("sdb.img")] }

        init() throws {
            folder = try TemporaryFolder(in: "/var/tmp")
            target = try folder.folder("target")
            for (index, disk) in [folder.file("sda.img"), folder.file("sdb.img")].enumerated() {
                let content = SampleContent.bytes(.mixed, length: 24 << 20, seed: UInt64(index) + 1)
                let piece = try SampleContent.write(content, to: folder.file("piece\(index)"))
                // Content between holes, so that the disk is longer than what a kill may cost.
                try Tool.output("truncate", ["-s", "\((130 - index * 40) << 20)", disk])
                for place in [0, 31, 60, 101 - index * 40] {
                    try Tool.output("dd", ["if=\(piece)", "of=\(disk)", "bs=1M", "seek=\(place)", "conv=notrunc"])
                }
            }
            try Self.capture(disks: [folder.file("sda.img"), folder.file("sdb.img")], target: target)
            base = "\(target)/\(try Tool.output("ls", [target]).prefix { $0 != "\n" })"
            for disk in [folder.file("sda.img"), folder.file("sdb.img")] {
                for place in [2, 40, 75] {
                    try Tool.output(
                        "dd",
                        [
                            "if=/dev/urandom", "of=\(disk)", "bs=1000", "count=900", "seek=\(place * 1049)",
                            "conv=notrunc",
                        ])
                }
                try Tool.output("fallocate", ["--punch-hole", "-o", "66MiB", "-l", "5MiB", disk])
            }
        }

        private static func capture(disks: [String], target: String) throws {
            try Tool.output(
                Programs.agent,
                ["capture"] + disks + ["--target", "dir:\(target)", "--name", "host", "--free-space", "keep"])
        }

        /// Captures under strace(1), which kills at a call; returns whether it came to that.
        func capture(_ variant: Variant, killedAt call: String, _ when: Int, jobs: Int) throws -> Bool {
            let result = try Tool.run(
                "strace",
                [
                    "-f", "-o", "/dev/null", "-e", "trace=\(call)", "-e", "inject=\(call):signal=KILL:when=\(when)",
                    Programs.agent, "capture",
                ] + disks.prefix(variant.disks)
                    + [
                        "--target", "dir:\(target)", "--name", "host", "--free-space", "keep", "--jobs", "\(jobs)",
                    ] + variant.options + (variant.hasBase ? ["--base", base] : []))
            guard result.status == 0 || result.status == 128 + 9 else { throw ToolError(result.errors) }
            return result.status != 0
        }

        /// The clone that a capture has begun; nil when it came to nothing.
        func clone() throws -> String? {
            try Tool.output("ls", [target]).split(separator: "\n").map { "\(target)/\($0)" }.first { $0 != base }
        }
    }

    private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    @Test func fiftyKillsLeaveTheSameImages() throws {
        var seeds = SystemRandomNumberGenerator()
        let seed = getenv("COLDCLONE_SEED").flatMap { UInt64(String(cString: $0)) } ?? seeds.next()
        var generator = SeededGenerator(seed: seed)
        let stage = try Stage()
        var killed = 0
        var resumed = 0
        for number in 0..<Self.rounds {
            let variant = Self.variants[number % Self.variants.count]
            let call =
                ["pwrite64", "pwrite64", "pwrite64", "fsync", "fsync", "rename", "unlink", "ftruncate"]
                .randomElement(using: &generator) ?? "fsync"
            let jobs = Int.random(in: 1...3, using: &generator)
            let most = call == "pwrite64" ? 90 / jobs : call == "fsync" ? 16 : 3
            let when = Int.random(in: 1...most, using: &generator)
            let moment: Comment =
                "COLDCLONE_SEED=\(seed), round \(number): \(variant.name), \(call) \(when), \(jobs) jobs"
            let isKilled = try stage.capture(variant, killedAt: call, when, jobs: jobs)
            killed += isKilled ? 1 : 0
            guard let clone = try stage.clone() else {
                #expect(isKilled, moment)
                continue
            }
            if !exists("\(clone)/manifest.json"), exists("\(clone)/journal") {
                let result = try Tool.run(Programs.agent, ["capture", "--resume", clone])
                #expect(result.status == 0, "\(moment): \(result.errors)")
                resumed += 1
            } else if !exists("\(clone)/manifest.json") {
                // Killed before it was known what to do: nothing is promised, and nothing passes for a clone.
                #expect(try Tool.run(Programs.receiver, ["verify", "--no-receipt", clone]).status == 4, moment)
                try Tool.output("rm", ["-r", clone])
                continue
            }
            let verification = try Tool.run(
                Programs.receiver, ["verify", "--no-receipt", "--file-digests", "never", clone])
            #expect(verification.status == 0, "\(moment): \(verification.output)")
            for (index, disk) in stage.disks.prefix(variant.disks).enumerated() {
                let image = "\(clone)/\(["sda", "sdb"][index]).\(variant.format)"
                let same = try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", variant.format, disk, image])
                #expect(same.status == 0, "\(moment): \(same.output)\(same.errors)")
            }
            try Tool.output("rm", ["-r", clone])
        }
        #expect(
            killed > Self.rounds / 2 && resumed > Self.rounds / 4, "seed \(seed): \(killed) killed, \(resumed) resumed")
    }
}
