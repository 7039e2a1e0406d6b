// SPDX-License-Identifier: GPL-3.0-or-later

/// The machines whose sysfs is recorded in Tests/Fixtures/sysroots: one a controller that QEMU emulates.
extension LabMachine {
    static let recorded: [LabMachine] = [
        megasas, megasasGen2, mptsas, lsi53c895a, pvscsi, ahci, nvme, virtio, fourKn, usb2, usb3, multipath, withheld,
    ]

    /// Two virtual drives behind a MegaRAID.
    static let megasas = LabMachine(
        name: "megasas",
        devices: [
            "megasas,id=c0,addr=0x4", scsiDisk("c0.0", 0, "d0", more: "rotation_rate=7200"),
            scsiDisk("c0.0", 1, "d1", more: "rotation_rate=7200"),
        ], drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    /// The later MegaRAID with a drive passed through: QEMU lets Linux see the first only.
    static let megasasGen2 = LabMachine(
        name: "megasas-gen2",
        devices: [
            "pcie-root-port,id=rp0,chassis=1,addr=0x4", "megasas-gen2,id=c0,bus=rp0,use_jbod=on",
            scsiDisk("c0.0", 0, "d0", more: "rotation_rate=10000"),
        ], drives: [blank("d0", partitioned: true)], diskCount: 1)

    static let mptsas = LabMachine(
        name: "mptsas1068",
        devices: [
            "mptsas1068,id=c0,addr=0x4", scsiDisk("c0.0", 0, "d0", more: "rotation_rate=15000"),
            scsiDisk("c0.0", 1, "d1"),
        ], drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    static let lsi53c895a = LabMachine(
        name: "lsi53c895a",
        devices: ["lsi53c895a,id=c0,addr=0x4", scsiDisk("c0.0", 0, "d0"), scsiDisk("c0.0", 1, "d1")],
        drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    static let pvscsi = LabMachine(
        name: "pvscsi", devices: ["pvscsi,id=c0,addr=0x4", scsiDisk("c0.0", 0, "d0"), scsiDisk("c0.0", 1, "d1")],
        drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    /// A hard disk, an SSD and an empty DVD drive.
    static let ahci = LabMachine(
        name: "ahci",
        devices: [
            "ich9-ahci,id=c0,addr=0x4",
            "ide-hd,bus=c0.0,drive=d0,serial=LABD0,wwn=0x5000c500000000a0,rotation_rate=7200",
            "ide-hd,bus=c0.1,drive=d1,serial=LABD1,wwn=0x5000c500000000a1,rotation_rate=1", "ide-cd,bus=c0.2",
            "virtio-net-pci,mac=52:54:00:1a:b0:01,addr=0x5,romfile=", "e1000e,mac=52:54:00:1a:b0:02,addr=0x6,romfile=",
        ], drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    /// A namespace of 512-byte sectors, and one of 4096.
    static let nvme = LabMachine(
        name: "nvme",
        devices: [
            "pcie-root-port,id=rp0,chassis=1,addr=0x4,x-speed=8,x-width=4", "nvme,id=c0,bus=rp0,serial=LABNVME0",
            "nvme-ns,bus=c0,nsid=1,drive=d0,logical_block_size=512,physical_block_size=512",
            "nvme-ns,bus=c0,nsid=2,drive=d1,logical_block_size=4096,physical_block_size=4096",
        ], drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    /// virtio-blk, and on virtio-scsi a disk of 512-byte sectors that holds 4096-byte ones.
    static let virtio = LabMachine(
        name: "virtio",
        devices: [
            "virtio-blk-pci,addr=0x4,drive=d0,serial=LABD0", "virtio-scsi-pci,id=c0,addr=0x5",
            scsiDisk("c0.0", 0, "d1", more: "logical_block_size=512,physical_block_size=4096"),
        ], drives: [blank("d0", partitioned: true), blank("d1")], diskCount: 2)

    static let fourKn = LabMachine(
        name: "4kn",
        devices: [
            "virtio-scsi-pci,id=c0,addr=0x4",
            scsiDisk("c0.0", 0, "d0", more: "logical_block_size=4096,physical_block_size=4096"),
            "virtio-blk-pci,addr=0x5,drive=d1,serial=LABD1,logical_block_size=4096,physical_block_size=4096",
        ], drives: [blank("d0"), blank("d1")], diskCount: 2)

    static let usb2 = usb("usb2", controller: "usb-ehci,id=usb,addr=0x4")
    static let usb3 = usb("usb3", controller: "qemu-xhci,id=usb,addr=0x4")

    /// A stick, and a disk that speaks UAS, beside a disk of the machine's own.
    private static func usb(_ name: String, controller: String) -> LabMachine {
        LabMachine(
            name: name,
            devices: [
                controller, "usb-storage,bus=usb.0,port=1,drive=d0,serial=LABD0,removable=on",
                "usb-uas,id=uas,bus=usb.0,port=2,serial=LABUAS", scsiDisk("uas.0", 0, "d1"),
                "virtio-blk-pci,addr=0x5,drive=d2,serial=LABD2",
            ], drives: [blank("d0", partitioned: true), blank("d1"), blank("d2")], diskCount: 3)
    }

    /// Two paths to one LUN, and a disk of its own.
    static let multipath = LabMachine(
        name: "multipath",
        devices: [
            "virtio-scsi-pci,id=c0,addr=0x4", "virtio-scsi-pci,id=c1,addr=0x5",
            scsiDisk("c0.0", 0, "d0", more: "share-rw=on"),
            "scsi-hd,bus=c1.0,scsi-id=0,drive=d1,serial=LABD0,device_id=LABD0,wwn=0x5000c500000000d0,share-rw=on",
            scsiDisk("c0.0", 2, "d2"),
        ],
        drives: [
            Drive(id: "d0", content: .blank(mebibytes: 64, partitioned: true), isShared: true),
            Drive(id: "d1", content: .sameAs("d0"), isShared: true), blank("d2"),
        ], diskCount: 3)

    /// A MegaRAID that no driver drives: its disk is there, and nobody sees it.
    static let withheld = LabMachine(
        name: "withheld",
        devices: [
            "megasas,id=c0,addr=0x4", scsiDisk("c0.0", 0, "d0"), "ich9-ahci,id=c1,addr=0x5",
            "ide-hd,bus=c1.0,drive=d1,serial=LABD1,wwn=0x5000c500000000a1",
        ], drives: [blank("d0"), blank("d1", partitioned: true)], diskCount: 1, withheldModules: ["megaraid_sas"])

    private static func blank(_ id: String, partitioned: Bool = false) -> Drive {
        Drive(id: id, content: .blank(mebibytes: 64, partitioned: partitioned))
    }

    /// The serial number says which drive it is, and so does the WWN.
    private static func scsiDisk(_ bus: String, _ target: Int, _ drive: String, more: String = "") -> String {
        "scsi-hd,bus=\(bus),scsi-id=\(target),drive=\(drive),serial=LAB\(drive.uppercased()),"
            + "device_id=LAB\(drive.uppercased()),wwn=0x5000c500000000\(drive)\(more.isEmpty ? "" : ",\(more)")"
    }
}
