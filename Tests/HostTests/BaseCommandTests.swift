// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport
internal import Testing

/// `--base` as the shipped programs have it.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
struct BaseCommandTests {
    private static let length = 256 << 20

    /// A disk, its clone, and then one byte in a hundred changed.
    private func stage() throws -> (folder: TemporaryFolder, disk: String, target: String, base: String) {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let disk = folder.file("sda.img")
        let target = try folder.folder("target")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=\(Self.length >> 20)"])
        #expect(try Programs.capture([disk], target: target).status == 0)
        let base = try Programs.clone(in: target)
        for place in [60, 200] {
            try Tool.output(
                "dd", ["if=/dev/urandom", "of=\(disk)", "bs=65536", "count=20", "seek=\(place * 16)", "conv=notrunc"])
        }
        return (folder, disk, target, base)
    }

    private func second(_ target: String, besides base: String) throws -> String {
        let names = try Tool.output("ls", [target]).split(separator: "\n").map { "\(target)/\($0)" }
        return try #require(names.first { $0 != base })
    }

    @Test func aSecondPassStoresWhatChanged() throws {
        let (folder, disk, target, base) = try stage()
        defer { withExtendedLifetime(folder) {} }
        let name = String(base.split(separator: "/").last ?? "")
        let result = try Programs.capture([disk], target: target, ["--base", name, "--json"])
        #expect(result.status == 0, "\(result.errors)")
        let next = try second(target, besides: base)
        // One part in a hundred changed: two places of 1.25 MiB, each within two chunks.
        #expect(result.output.contains("\"bytes_equal_to_base\":\(Self.length - 4 << 20)"), "\(result.output)")
        #expect(result.output.contains("\"bytes_read\":\(Self.length)"))
        let size = Int(try Tool.output("stat", ["-c", "%s", "\(next)/sda.qcow2"]).filter(\.isNumber)) ?? .max
        #expect(size < 6 << 20, "\(size)")
        #expect(
            try Tool.run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", disk, "\(next)/sda.qcow2"]).status == 0)

        let verification = try Tool.run(Programs.receiver, ["verify", next])
        #expect(verification.status == 0, "\(verification.output)")
        #expect(verification.output.contains("nothing of it can be read without \(name)"))
        let receipt = try Tool.output("cat", ["\(next)/receipt.json"])
        #expect(receipt.contains("\"depends_on\"") && receipt.contains("\"clone_id\" : \"\(name)\""))
        #expect(receipt.contains("\"qemu_img_check\" : \"clean\""))
        let own = try Tool.run(Programs.agent, ["verify", "--json", next])
        #expect(own.status == 0 && own.output.contains("\"depends_on\":[{"))

        try Tool.output("rm", ["-r", base])
        let alone = try Tool.run(Programs.receiver, ["verify", next])
        #expect(alone.status == 4 && alone.output.contains("is not in the folder beside it"), "\(alone.output)")
    }

    @Test(
        arguments: [
            (["--base", "none"], 1, "No such file or directory"), (["--base-copy"], 64, "--base-copy needs a --base"),
            (["--base", "x", "--format", "raw"], 64, "use qcow2, or --base-copy"),
        ] as [([String], Int32, String)])
    func refusals(options: [String], status: Int32, words: String) throws {
        let folder = try TemporaryFolder()
        let disk = try SampleContent.write(SampleContent.bytes(.random, length: 1 << 20), to: folder.file("sda.img"))
        let result = try Programs.capture([disk], target: try folder.folder("target"), options)
        #expect(result.status == status && result.errors.contains(words), "\(result.errors)")
        #expect(try Tool.output("ls", [folder.file("target")]).isEmpty)
    }

    /// A server that shares storage, and one that can only copy by itself: Tests/Fixtures/sharing-target.
    @Test(
        .enabled(
            if: Programs.isRoot && UMLMachine.isAvailable && Tool.isInstalled("rpc.nfsd", "mount.nfs"),
            "no NFS 4.2 to be had"),
        arguments: [("xfs", "CLONE"), ("ext4", "COPY")])
    func nothingTravelsTwiceOverNFS(fileSystem: String, operation: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let disk = folder.file("disk")
        try Tool.output("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=150"])
        try Tool.output("truncate", ["-s", "200M", disk])
        let console = try UMLMachine.run(
            "\(Fixtures.folder)/sharing-target", [Programs.agent, Programs.receiver, folder.path, fileSystem])
        func text(_ name: String) throws -> String { try SmallFile.text(folder.file(name), limit: 1 << 20) }
        try #require(
            Folder.exists(folder.file("complete")), "\(console.suffix(2000))\((try? text("log")) ?? "")")

        // All but the one MiB that changed, each by an operation of its own.
        let report = try text("second.json")
        #expect(report.contains("\"bytes_equal_to_base\":\(149 << 20)"), "\(report)")
        // What the second capture added to an operation's line: 1 is how often, 4 the bytes sent.
        func count(_ name: String, _ column: Int) throws -> Int {
            func value(_ file: String) throws -> Int {
                let lines = try text(file).split(separator: "\n").map { $0.split { $0 == " " || $0 == "\t" } }
                let line = try #require(lines.first { $0.first == "\(name):" })
                return try #require(Int(line[column]))
            }
            return try value("after") - value("before")
        }
        #expect(try count(operation, 1) == 149)
        #expect(try count("WRITE", 4) < 4 << 20)
        func used(_ file: String) throws -> Int { try #require(Int(try text(file).filter(\.isNumber))) }
        let growth = try used("used.after") - used("used.before")
        #expect(operation == "CLONE" ? growth < 8 : growth >= 149, "\(growth) MiB")
    }
}
