// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Glibc
internal import TestSupport
internal import Testing

/// What the agent records on a machine is what it sees there, and the recordings in Tests/Fixtures/sysroots are still
/// what these machines are.
///
/// With `COLDCLONE_RECORD` in the environment, all of them are made anew.
@Suite(
    .serialized, .enabled(if: LabMachine.isSlowTier, "the slow tier is left out"),
    .enabled(if: LabMachine.isAvailable, "QEMU, busybox, cpio or the agent is missing"))
struct RecordingTests {
    static let isRecording = getenv("COLDCLONE_RECORD") != nil
    static let names = isRecording ? LabMachine.recorded.map(\.name) : ["megasas", "usb3"]

    @Test(arguments: names)
    func aRecordingReplaysTheMachine(name: String) throws {
        let machine = try #require(LabMachine.recorded.first { $0.name == name })
        let outcome = try machine.run("coldclone probe --record machine.tar --include-serials --json")
        try #require(outcome.status == 0, "\(outcome.errors)")
        let live: Machine = try JSONText.decode(Array(outcome.output.utf8), file: "stdout")
        let replayed = try replay(outcome.files.file("machine.tar"))
        #expect(Hardware(replayed) == Hardware(live))
        #expect(replayed.disks.map(\.name) == live.disks.map(\.name))
        #expect(replayed.systemVendor == live.systemVendor)
        #expect(replayed.cpu == live.cpu)
        #expect(replayed.memory == live.memory)

        if Self.isRecording {
            let folder = "\(Fixtures.folder)/sysroots"
            let pack = "mkdir -p \(folder) && gzip -9n <\(outcome.files.file("machine.tar")) >\(folder)/\(name).tar.gz"
            try Tool.output("sh", ["-c", pack])
        }
        let kept = try Fixtures.recording(of: name)
        #expect(Hardware(try replay(kept.file("machine.tar"))) == Hardware(live))
    }

    private func replay(_ recording: String) throws -> Machine {
        let text = try Tool.output(LabMachine.agent, ["probe", "--sysroot", recording, "--json"])
        return try JSONText.decode(Array(text.utf8), file: recording)
    }
}

/// What of an inventory is the same in every boot: without the kernel's names, and without what lies on the disks.
private struct Hardware: Hashable {
    var controllers: [StorageController]
    var disks: [Disk]
    var interfaces: [NetworkInterface]

    init(_ machine: Machine) {
        controllers = machine.controllers.map { controller in
            var controller = controller
            controller.hosts = controller.hosts.map { _ in "host" }
            controller.disks = controller.disks.map { _ in "disk" }
            return controller
        }
        disks = machine.disks.map { disk in
            var disk = disk
            disk.name = ""
            disk.hctl = disk.hctl.map { String($0.drop { $0 != ":" }) }
            disk.path = nil
            disk.paths = disk.paths.map { DiskPath(name: "", hctl: nil, state: $0.state) }
            disk.content = nil
            return disk
        }.sorted { ($0.serial ?? "", $0.model ?? "") < ($1.serial ?? "", $1.model ?? "") }
        interfaces = machine.interfaces
    }
}
