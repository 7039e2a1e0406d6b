// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The shipped agent, stopped at a known system call: what is left is a clone or plainly none.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("strace"), "strace is not installed"))
struct InterruptionTests {
    /// A system call, and which of its calls in one thread is struck: strace counts each thread's own.
    struct Moment: Sendable, CustomTestStringConvertible {
        var call: String
        var when: Int
        var testDescription: String { "\(call) \(when)" }
    }

    static let moments: [Moment] =
        [1, 2, 3, 6, 9, 11].map { Moment(call: "pwrite64", when: $0) }
        + (1...14).map { Moment(call: "fsync", when: $0) }
        + [
            Moment(call: "rename", when: 1), Moment(call: "rename", when: 2), Moment(call: "rename", when: 3),
            Moment(call: "unlink", when: 3),
        ]
        + [1, 2].map { Moment(call: "ftruncate", when: $0) }

    private func run(_ folder: TemporaryFolder, inject: String, _ options: [String] = []) throws -> Tool.Result {
        let call = inject.prefix { $0 != ":" }
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 12 << 20), to: folder.file("disk.img"))
        return try Tool.run(
            "strace",
            [
                "-f", "-o", "/dev/null", "-e", "trace=\(call)", "-e", "inject=\(inject)", Programs.agent, "capture",
                file,
                "--target", "dir:\(folder.folder("target"))", "--name", "host",
            ] + options)
    }

    @Test(arguments: moments)
    func aKilledCaptureLeavesNoHalfTruth(moment: Moment) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let result = try run(folder, inject: "\(moment.call):signal=KILL:when=\(moment.when)", ["--jobs", "1"])
        #expect(result.status == 128 + 9, "the moment never came")
        guard let clone = try? Programs.clone(in: folder.file("target")) else { return }
        let verification = try Tool.run(Programs.receiver, ["verify", "--no-receipt", clone])
        if try Tool.run("test", ["-e", "\(clone)/manifest.json"]).status == 0 {
            // The manifest stands: so must everything it names.
            #expect(verification.status == 0, "\(verification.output)")
        } else {
            #expect(verification.status == 4)
            #expect(verification.output.contains("incomplete"))
            // And it goes on from there, unless not even its journal was begun.
            guard try Tool.run("test", ["-e", "\(clone)/journal"]).status == 0 else { return }
            let resumed = try Tool.run(Programs.agent, ["capture", "--resume", clone])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try Tool.run(Programs.receiver, ["verify", "--no-receipt", clone]).status == 0)
        }
    }

    @Test(arguments: ["INT", "TERM", "HUP"], [3, 6])
    func aSignalStopsCleanly(signal: String, when: Int) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        // Long enough that the capture cannot be over before the signal is seen.
        let source = folder.file("large.img")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(source)", "bs=1M", "count=256"])
        let result = try Tool.run(
            "strace",
            [
                "-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=\(signal):when=\(when)",
                Programs.agent, "capture", source, "--target", "dir:\(folder.folder("target"))", "--name", "host",
                "--jobs", "1",
            ])
        #expect(result.status == 130)
        #expect(result.errors.contains("cancelled"))
        let clone = try Programs.clone(in: folder.file("target"))
        #expect(try Tool.run("test", ["-e", "\(clone)/manifest.json"]).status == 1)
        #expect(try Tool.output("cat", ["\(clone)/events.jsonl"]).contains("capture_cancelled"))
    }

    @Test(arguments: [
        ("pwrite64", "EIO"), ("pwrite64", "EROFS"), ("fsync", "EIO"), ("ftruncate", "EIO"), ("rename", "EIO"),
    ])
    func aFailedCallIsNamed(call: String, errno: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let result = try run(folder, inject: "\(call):error=\(errno):when=4+")
        guard result.status != 0 else {
            // Fewer calls than that: then nothing failed.
            #expect(call == "ftruncate" || call == "rename")
            return
        }
        #expect(result.status == 1)
        #expect(result.errors.contains("coldclone: cannot "), "\(result.errors)")
        let clone = try Programs.clone(in: folder.file("target"))
        #expect(try Tool.run("test", ["-e", "\(clone)/manifest.json"]).status == 1)
    }

    /// A sector that answers at the second try is no failure.
    @Test func aReadThatFailsOnceIsRepeated() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let result = try run(folder, inject: "pread64:error=EIO:when=5", ["--jobs", "1"])
        #expect(result.status == 0, "\(result.errors)")
        let clone = try Programs.clone(in: folder.file("target"))
        #expect(try Tool.run(Programs.receiver, ["verify", "--no-receipt", clone]).status == 0)
    }

    @Test(arguments: ["pread64:error=ENXIO:when=5", "pread64:retval=0:when=5+"])
    func aFailedReadIsNamed(inject: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        // What cannot be read while free space is looked for is no failure: the copy decides.
        let result = try run(folder, inject: inject, ["--jobs", "1", "--free-space", "keep"])
        #expect(result.status == 1)
        #expect(
            result.errors.contains("coldclone: cannot read \(folder.file("disk.img")) at byte "), "\(result.errors)")
    }
}
