// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

/// The domain is valid for libvirt, and shows each disk as the machine had it.
@Suite struct DomainXMLTests {
    private static func record(_ order: Int, _ source: String, format: String = "qcow2", sector: Int = 512)
        -> DiskRecord
    {
        DiskRecord(
            name: "d\(order)", order: order, source: source, lengthInBytes: 1 << 30,
            logicalSectorSizeInBytes: sector, physicalSectorSizeInBytes: 4096, contentDigest: Digest(of: []),
            image: ImageRecord(
                file: "d\(order).\(format)", format: format, compression: "none", clusterSizeInBytes: nil,
                headerDigest: nil, lengthInBytes: 0),
            chunks: ChunkRecord(
                file: "d\(order).chunks", lengthInBytes: 0, digest: Digest(of: []), zero: 0, data: 0, lost: 0),
            bytes: ByteTotals(read: 0, skipped: 0, unreadable: 0), skipped: [], skippedExtents: [])
    }

    private static func disk(_ name: String, _ transport: String, controller: String? = nil) -> Disk {
        var disk = Disk(name: name, size: 1 << 30, logicalSectors: 512, physicalSectors: 512, kind: "disk")
        disk.transport = transport
        disk.controller = controller
        return disk
    }

    /// A machine with everything, some of it hostile.
    private static func machine(firmware: String, secure: Bool?) -> Machine {
        var machine = Machine()
        machine.boot.currentBootMode = firmware
        machine.boot.secureBoot = secure
        machine.cpu.count = 16
        machine.cpu.coreCount = 8
        machine.cpu.socketCount = 2
        machine.memory.total = 33_321_000_000
        machine.systemVendor.manufacturer = "Dell & <Söhne> \u{1b}[31m'\""
        machine.systemVendor.productName = "PowerEdge R730"
        var raid = StorageController(pciAddress: "0000:03:00.0", pciClass: "010400", pciId: "1000:005b", kind: "raid")
        raid.driver = "megaraid_sas"
        var hba = StorageController(pciAddress: "0000:04:00.0", pciClass: "010000", pciId: "1000:0054", kind: "sas")
        hba.driver = "mptsas"
        machine.controllers = [raid, hba]
        machine.disks = [
            disk("/dev/sda", "raid", controller: "0000:03:00.0"), disk("/dev/sdb", "sas", controller: "0000:04:00.0"),
            disk("/dev/vda", "virtio"), disk("/dev/nvme0n1", "nvme"), disk("/dev/sdc", "sata"),
        ]
        machine.disks[0].serial = "00a1 B-2.c_3+4"
        machine.disks[0].wwn = "0x600508B1001C4D41"
        machine.disks[1].serial = "tab\tand <angle>"
        machine.disks[4].wwn = "0x5000c500a1b2c3d4"
        for (index, address) in [
            "52:54:00:12:34:56", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "zz", "3c:ec:ef:00:00:01",
        ]
        .enumerated() {
            var interface = NetworkInterface(name: "eth\(index)")
            interface.macAddress = address
            interface.driver = index == 0 ? "virtio_net" : "tg3"
            machine.interfaces.append(interface)
        }
        return machine
    }

    private static func validate(_ text: String) throws -> Tool.Result {
        let folder = try TemporaryFolder()
        try Tool.output("sh", ["-c", "printf %s \"$1\" > \"$2\"", "sh", text, folder.file("domain.xml")])
        return try Tool.run("virt-xml-validate", [folder.file("domain.xml"), "domain"])
    }

    @Test(
        .enabled(if: Tool.isInstalled("virt-xml-validate")),
        arguments: [("bios", nil), ("uefi", false), ("uefi", true), ("uefi", nil)] as [(String, Bool?)])
    func isValidForLibvirt(firmware: String, secure: Bool?) throws {
        var disks = [
            Self.record(0, "/dev/sda"), Self.record(1, "/dev/sdb", format: "raw"), Self.record(2, "/dev/vda"),
            Self.record(3, "/dev/nvme0n1", sector: 4096), Self.record(4, "/dev/sdc"), Self.record(5, "disk.img"),
        ]
        for order in 6..<40 { disks.append(Self.record(order, "/dev/sda")) }
        let text = DomainXML(
            cloneId: "web01-20261123T010203Z", machine: Self.machine(firmware: firmware, secure: secure), disks: disks,
            linksDown: true
        ).text
        let result = try Self.validate(text)
        #expect(result.status == 0, "\(result.errors)\(result.output)\n\(text)")
    }

    @Test(.enabled(if: Tool.isInstalled("virt-xml-validate")))
    func knowsNothingAndIsValidStill() throws {
        let text = DomainXML(cloneId: "a-20261123T010203Z", machine: Machine(), disks: [Self.record(0, "a.img")]).text
        #expect(try Self.validate(text).status == 0)
        // The oracle does refuse what is wrong.
        #expect(try Self.validate(text.replacing("<vcpu>1<", with: "<vcpu>none<")).status != 0)
    }

    @Test func attachesDisksAsTheyWere() {
        let disks = [
            Self.record(1, "/dev/sdb"), Self.record(0, "/dev/sda"), Self.record(2, "/dev/vda"),
            Self.record(3, "/dev/nvme0n1", sector: 4096), Self.record(4, "/dev/sdc"),
        ]
        let text = DomainXML(cloneId: "x", machine: Self.machine(firmware: "uefi", secure: true), disks: disks).text
        let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
        let files = lines.filter { $0.hasPrefix("<source file") }
        #expect(
            files == [0, 1, 2, 3, 4].map { Substring("<source file='/var/lib/libvirt/images/x/d\($0).qcow2'/>") })
        let targets = lines.filter { $0.hasPrefix("<target") }
        #expect(
            targets.map(String.init) == [
                "<target bus='scsi' dev='sdaa'/>", "<target bus='scsi' dev='sdja'/>",
                "<target bus='virtio' dev='vda'/>",
                "<target bus='scsi' dev='sdta'/>", "<target bus='sata' dev='sda'/>",
            ])
        #expect(text.contains("model='lsisas1078'") && text.contains("model='lsisas1068'"))
        #expect(text.contains("<blockio logical_block_size='4096' physical_block_size='4096'/>"))
        #expect(text.contains("<wwn>600508b1001c4d41</wwn>") && text.contains("<wwn>5000c500a1b2c3d4</wwn>"))
        #expect(text.contains("<serial>00a1 B-2.c_3+4</serial>") && !text.contains("angle"))
        #expect(text.contains("<topology cores='4' sockets='2' threads='2'/>"))
        #expect(lines.filter { $0.hasPrefix("<mac ") }.count == 2)
        #expect(lines.filter { $0.hasPrefix("<boot ") }.count == 1)
    }
}
