// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The lab's machines are what the catalogue says: recordings and other lab tests build on them.
@Suite(
    .serialized, .enabled(if: LabMachine.isSlowTier, "the slow tier is left out"),
    .enabled(if: LabMachine.isAvailable, "QEMU, busybox, cpio or the agent is missing"))
struct LabMachineTests {
    /// Links to the disks by serial number, where they are not those of the first two drives.
    static let links: [String: [String]] = [
        "megasas-gen2": ["LABD0"], "nvme": ["LABNVME0-1", "LABNVME0-2"], "usb2": ["LABD0", "LABD1", "LABD2"],
        "usb3": ["LABD0", "LABD1", "LABD2"], "multipath": ["LABD0", "LABD2"], "withheld": ["LABD1"],
    ]

    /// A few, as each takes ten seconds; when recordings are made, all.
    static let names = RecordingTests.isRecording ? LabMachine.recorded.map(\.name) : ["multipath", "nvme", "withheld"]

    @Test(arguments: names)
    func aMachineShowsItsDisks(name: String) throws {
        let machine = try #require(LabMachine.recorded.first { $0.name == name })
        let outcome = try machine.run("ls /dev/lab; cat /sys/class/dmi/id/product_name; coldclone --version >version")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let expected = (Self.links[name] ?? ["LABD0", "LABD1"]) + ["lab \(name)"]
        #expect(outcome.output.split(separator: "\n").map(String.init) == expected, "\(outcome.console)")
    }

    /// The job's end is told apart from the machine's.
    @Test func aFailedJobIsTold() throws {
        let outcome = try LabMachine.withheld.run("echo one; echo two >&2; echo three >file; exit 7")
        #expect(outcome.status == 7)
        #expect(outcome.output == "one\n")
        #expect(outcome.errors == "two\n")
        #expect(try Tool.output("cat", [outcome.files.file("file")]) == "three\n")
    }
}
