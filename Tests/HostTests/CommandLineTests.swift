// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The shipped programs' command lines: exit codes, messages, JSON.
@Suite(.enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"))
struct CommandLineTests {
    @Test func isStaticAndNamesItsLibraries() throws {
        #expect(try Tool.output("file", [Programs.agent]).contains("statically linked"))
        #expect(try Tool.output("readelf", ["-d", Programs.agent]).contains("There is no dynamic section"))
        let version = try Tool.output(Programs.agent, ["--version"])
        for library in ["libblkid 2.", "libparted 3.", "libiscsi ", "zlib 1."] { #expect(version.contains(library)) }
    }

    @Test(
        arguments: [
            ([], 0), (["--help"], 0), (["capture", "--help"], 0), (["nonsense"], 64), (["capture"], 64),
            (["capture", "/x"], 64), (["capture", "/x", "--target", "/y"], 64),
            (["capture", "/x", "--target", "dir:/y", "--format", "vmdk"], 64),
            (["capture", "/x", "--target", "dir:/y", "--memory", "-1"], 64),
            (["capture", "/x", "--target", "dir:/y", "--format", "raw", "--compression", "zlib"], 64),
            (["capture", "/does/not/exist", "--target", "dir:/tmp"], 1), (["verify", "/does/not/exist"], 1),
            (["verify", "/usr"], 4), (["capture", "/dev/null", "--target", "dir:/tmp"], 1),
        ] as [([String], Int32)])
    func exitCodesAreTheDocumentedOnes(arguments: [String], status: Int32) throws {
        #expect(try Tool.run(Programs.agent, arguments).status == status)
    }

    @Test func messagesNameWhatAndWhere() throws {
        let result = try Tool.run(Programs.agent, ["capture", "/does/not/exist", "--target", "dir:/tmp"])
        #expect(
            result.errors == "coldclone: cannot open /does/not/exist: No such file or directory\nhint: check the path\n"
        )
    }

    @Test func jsonHasStableKeys() throws {
        let folder = try TemporaryFolder()
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 3 << 20), to: folder.file("disk.img"))
        let captured = try Programs.capture([file], target: folder.folder("target"), ["--json"])
        for key in [
            "clone", "clone_uuid", "state", "seconds", "bytes_read", "bytes_per_second", "disks", "content_digest",
        ] {
            #expect(captured.output.contains("\"\(key)\":"))
        }
        let clone = try Programs.clone(in: folder.file("target"))
        let verified = try Tool.run(Programs.agent, ["verify", "--json", clone])
        for key in ["verdict", "disks", "problems", "problem_count", "warnings"] {
            #expect(verified.output.contains("\"\(key)\":"))
        }
        #expect(verified.output.split(separator: "\n").count == 1)
    }

    @Test(.enabled(if: Tool.isInstalled("taskset"), "util-linux is not installed"))
    func coresChangeNothing() throws {
        let folder = try TemporaryFolder()
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 20 << 20), to: folder.file("disk.img"))
        var digests = Set<Substring>()
        for (index, cores) in ["0", "0,1"].enumerated() {
            let target = try folder.folder("\(index)")
            try Tool.output(
                "taskset",
                ["-c", cores, Programs.agent, "capture", file, "--target", "dir:\(target)", "--name", "host"])
            let manifest = try Tool.output("cat", ["\(Programs.clone(in: target))/manifest.json"])
            digests.formUnion(manifest.split(separator: "\n").filter { $0.contains("content_digest") })
        }
        #expect(digests.count == 1)
    }

    /// Damage to a real clone, as the person at the receiver sees it.
    @Test func damageIsNamed() throws {
        let folder = try TemporaryFolder()
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 8 << 20), to: folder.file("disk.img"))
        let result = try Programs.capture([file], target: folder.folder("target"))
        #expect(result.status == 0)
        let clone = try Programs.clone(in: folder.file("target"))
        // A byte in the sixth MiB: data is stored in disk order, behind the header's cluster.
        let place = (64 << 10) + (5 << 20) + 1000
        try Tool.output(
            "dd", ["if=/dev/zero", "of=\(clone)/disk.qcow2", "bs=1", "count=8", "seek=\(place)", "conv=notrunc"])
        let verified = try Tool.run(Programs.receiver, ["verify", clone])
        #expect(verified.status == 4)
        for word in ["disk", "chunk 5", "digest_mismatch", "verdict  failed"] {
            #expect(verified.output.contains(word))
        }
        #expect(try Tool.output("cat", ["\(clone)/receipt.json"]).contains("\"verdict\" : \"failed\""))
    }
}
