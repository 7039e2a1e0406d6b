// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

/// The shipped agent at disks of an array behind a controller, as a technician has them before the clone.
@Suite(
    .enabled(if: LabMachine.isSlowTier, "the slow tier is left out"),
    .enabled(if: LabMachine.isAvailable, "QEMU, busybox, cpio or the agent is missing"),
    .enabled(if: UMLMachine.isAvailable, "user-mode-linux is not installed"))
struct StorageProbeTests {
    @Test func anArrayIsSeenBehindAControllerAndNothingIsWritten() throws {
        let set = try StorageSet.named("md", "raid5-stale-1.2")
        let scratch = try TemporaryFolder()
        for disk in set.disks { try Tool.output("cp", ["--sparse=always", set.path(disk), scratch.file(disk)]) }
        let before = try digests(set.disks, in: scratch)

        let machine = LabMachine(
            name: "array",
            devices: ["pvscsi,id=c0,addr=0x4"]
                + set.disks.enumerated().map { "scsi-hd,bus=c0.0,scsi-id=\($0),drive=\($1),serial=LAB\($1)" },
            drives: set.disks.map { .init(id: $0, content: .file(scratch.file($0))) }, diskCount: set.disks.count)
        let outcome = try machine.run("coldclone probe --json")
        try #require(outcome.status == 0, "\(outcome.errors)")
        let probed: Machine = try JSONText.decode(Array(outcome.output.utf8), file: "stdout")

        let array = try #require(probed.arrays.first)
        #expect(probed.arrays.count == 1)
        #expect(array.level == "raid5")
        #expect(array.metadata == "1.2")
        #expect(array.raidDevices == 3)
        #expect(array.missing == [2])
        #expect(array.members.map(\.state).sorted() == ["active", "active", "stale"])
        #expect(try digests(set.disks, in: scratch) == before)
    }

    private func digests(_ disks: [String], in folder: TemporaryFolder) throws -> String {
        try Tool.output("sha256sum", disks.map { folder.file($0) })
    }
}
