// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

/// A controller with disks behind it, which the live system has to drive.
struct LabHardware: Sendable, CustomTestStringConvertible {
    var name: String
    var devices: [String]
    /// Serial numbers of the disks `d0`, `d1`, ….
    var serials: [String]
    var sectorSize = 512
    var networkCard = "virtio-net-pci"
    /// Whether the disks are named in the job: those on USB are no part of `all`.
    var isNamed = false

    var testDescription: String { name }

    static let all: [LabHardware] = [
        LabHardware(name: "megasas", devices: megasas(2), serials: ["LABD0", "LABD1"], networkCard: "e1000e"),
        LabHardware(name: "mptsas", devices: mptsas(2), serials: ["LABD0", "LABD1"], networkCard: "i82559c"),
        LabHardware(
            name: "AHCI",
            devices: [
                "ich9-ahci,id=c0", "ide-hd,bus=c0.0,drive=d0,serial=LABD0,wwn=0x5000c500000000a0",
                "ide-hd,bus=c0.1,drive=d1,serial=LABD1,wwn=0x5000c500000000a1,rotation_rate=1",
            ], serials: ["LABD0", "LABD1"], networkCard: "e1000"),
        LabHardware(name: "NVMe", devices: ["nvme,serial=LABD0,drive=d0"], serials: ["LABD0"], networkCard: "vmxnet3"),
        LabHardware(
            name: "virtio",
            devices: ["virtio-blk-pci,drive=d0,serial=LABD0", "virtio-scsi-pci,id=c0"] + scsi(1, from: 1),
            serials: ["LABD0", "LABD1"]),
        LabHardware(
            name: "4Kn",
            devices: ["virtio-scsi-pci,id=c0"]
                + scsi(1, more: ",logical_block_size=4096,physical_block_size=4096")
                + [
                    "nvme,id=n0,serial=LABN0",
                    "nvme-ns,bus=n0,drive=d1,logical_block_size=4096,physical_block_size=4096",
                ],
            serials: ["LABD0", "LABN0"], sectorSize: 4096),
        LabHardware(
            name: "USB 2",
            devices: ["usb-ehci,id=ehci", "usb-storage,bus=ehci.0,drive=d0,serial=LABD0"], serials: ["LABD0"],
            networkCard: "rtl8139", isNamed: true),
        LabHardware(
            name: "USB 3",
            devices: [
                "usb-storage,bus=usb.0,drive=d0,serial=LABD0", "usb-uas,id=uas,bus=usb.0,serial=LABUAS",
                "scsi-hd,bus=uas.0,scsi-id=0,drive=d1,serial=LABD1,device_id=LABD1",
            ], serials: ["LABD0", "LABD1"], isNamed: true),
    ]

    /// One or two disks behind a MegaRAID.
    static func megasas(_ count: Int) -> [String] { ["megasas,id=c0"] + scsi(count) }

    /// Disks behind an LSI SAS controller.
    static func mptsas(_ count: Int) -> [String] { ["mptsas1068,id=c0"] + scsi(count) }

    /// SAS wants a name of its own for every disk.
    static func scsi(_ count: Int, from first: Int = 0, more: String = "") -> [String] {
        (first..<first + count).map {
            "scsi-hd,bus=c0.0,scsi-id=\($0),drive=d\($0),serial=LABD\($0),device_id=LABD\($0),wwn=0x5000c500000000d\($0)"
                + more
        }
    }
}

extension LiveLab.Complete {
    /// Disks behind every controller are cloned as a whole, free space as well, and nothing of them is written.
    struct HardwareTests {
        @Test(arguments: LabHardware.all)
        func disksAreClonedFrom(hardware: LabHardware) throws {
            let sources = try SourceDisks.samples(hardware.serials.count, sectorSize: hardware.sectorSize)
            let run = try LabRun()
            let disks = hardware.isNamed ? hardware.serials.map { "serial:\($0)" }.joined(separator: ",") : "all"
            let machine = LiveMachine(
                name: hardware.name,
                boot: .kernel(
                    try LiveSystem(), arguments: LabRun.arguments("free_space=keep", "disks=\(disks)"), root: .cd),
                disks: sources.disks, devices: hardware.devices, networkCard: hardware.networkCard)
            try run.clone(machine, sources)
            let clone = try run.verifiedClone()
            #expect(clone.manifest.disks.count == hardware.serials.count)
            #expect(clone.manifest.disks.allSatisfy { $0.logicalSectorSizeInBytes == hardware.sectorSize })
            try clone.expectContent(of: zip(hardware.serials, sources.disks).map { ($0, $1.path) })
        }
    }
}
