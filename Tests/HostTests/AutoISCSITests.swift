// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// `coldclone auto` against a real iSCSI target daemon, as a job tells it to.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: ISCSIServer.isAvailable, "needs tgtd, and root"))
struct AutoISCSITests {
    private static let target = "iqn.2026-11.org.example:disk"
    private static let initiator = "iqn.1994-05.org.example:web01"
    private static let secrets = ["opensesame12", "targetsecret1", "wrongsecret99"]

    private let folder: TemporaryFolder
    private let server: ISCSIServer
    private let disk: String

    init() throws {
        folder = try TemporaryFolder()
        server = try ISCSIServer()
        disk = try SampleContent.write(SampleContent.bytes(.mixed, length: 16 << 20), to: folder.file("disk"))
        try server.addTarget(1, Self.target, admitting: Self.initiator)
        try server.addUnit(1, 1, disk)
        try server.addAccount(1, "web01", Self.secrets[0])
        try server.addAccount(1, "san", Self.secrets[1], outgoing: true)
    }

    /// Runs a job whose iscsi map has `lines`, and makes sure that no secret is told.
    private func auto(_ lines: [String], target: String) throws -> Tool.Result {
        let job = """
            disks: none
            target: dir:\(target)
            name: host
            bench: off
            force: on
            iscsi:
              portal: \(server.portal)
              initiator: \(Self.initiator)

            """ + lines.map { "  \($0)\n" }.joined()
        let file = try SampleContent.write(Array(job.utf8), to: folder.file("job.yaml"))
        let result = try Tool.run(Programs.agent, ["auto", "--cmdline", "/dev/null", "--job", file])
        for secret in Self.secrets { #expect(!(result.output + result.errors).contains(secret)) }
        return result
    }

    @Test(arguments: [nil, "target: \(target)"])
    func capturesLUNsWithTheJobsAccounts(name: String?) throws {
        let target = try folder.folder("target")
        let result = try auto(
            [
                "user: web01", "secret: \(Self.secrets[0])", "mutual_user: san", "mutual_secret: \(Self.secrets[1])",
            ] + [name].compactMap(\.self), target: target)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains("logging in to iSCSI: \(server.portal)"))
        let clone = try Programs.clone(in: target)
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        let images = try Tool.output("ls", [clone]).split(separator: "\n").filter { $0.hasSuffix(".qcow2") }
        try #require(images.count == 1, "\(images)")
        let compared = try Tool.run(
            "qemu-img", ["compare", "-f", "raw", "-F", "qcow2", disk, "\(clone)/\(images[0])"])
        #expect(compared.status == 0, "\(compared.output)")
        let kept = try Tool.output("sh", ["-c", "cat '\(clone)/manifest.json' '\(clone)/events.jsonl'"])
        for secret in Self.secrets { #expect(!kept.contains(secret)) }
    }

    @Test func aWrongSecretLeavesNothing() throws {
        let target = try folder.folder("target")
        let result = try auto(["user: web01", "secret: \(Self.secrets[2])"], target: target)
        #expect(result.status == 1)
        let reason = result.output.split(separator: "\n").last { $0.hasPrefix("coldclone auto: failed: ") } ?? ""
        #expect(reason.contains("authentication"), "\(result.output)")
        #expect(try Tool.output("ls", ["-A", target]).isEmpty)
    }
}
