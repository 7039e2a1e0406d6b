// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Testing

@testable internal import Probing

/// Controllers that no emulator has, by their documented attributes; each of these sysroots is written by hand.
@Suite struct MadeUpMachineTests {
    @Test(arguments: ["hpsa", "smartpqi"])
    func aVirtualDriveHasItsLevel(driver: String) throws {
        var made = MadeUpMachine()
        made.add("0000:03:00.0", "010400", "103c:3239", driver: driver)
        made.host(0, at: "pci0000:00/0000:03:00.0", driver: driver)
        let path = "pci0000:00/0000:03:00.0/host0/target0:1:0/0:1:0:0"
        made.disk(
            "sda", at: path,
            device: [
                "vendor": "HP      ", "model": "LOGICAL VOLUME  ", "type": "0", "raid_level": "RAID 1(+0)",
                "state": "running", "wwid": "naa.600508b1001c4d41f5a0b1c2d3e4f506",
            ])
        // The controller itself is a SCSI device, but no disk.
        made.file("/sys/devices/pci0000:00/0000:03:00.0/host0/target0:0:0/0:0:0:0/type", "12")
        let machine = made.machine
        let disk = try #require(machine.disks.first)
        #expect(machine.disks.count == 1)
        #expect(disk.raidLevel == "RAID 1(+0)")
        #expect(disk.kind == "raid volume")
        #expect(disk.transport == "raid")
        #expect(disk.wwn == "0x600508b1001c4d41")
        #expect(disk.hctl == "0:1:0:0")
        #expect(disk.vendor == "HP" && disk.model == "LOGICAL VOLUME")
        let controller = try #require(machine.controllers.first)
        #expect(controller.kind == "raid" && controller.driver == driver && controller.hosts == ["host0"])
        #expect(controller.disks == ["/dev/sda"])
        #expect(!machine.findings.contains { $0.severity == .critical })
    }

    @Test func aCompaqArrayHasItsOwnNames() throws {
        var made = MadeUpMachine()
        made.add("0000:06:00.0", "010400", "103c:3230", driver: "cciss")
        made.disk(
            "cciss!c0d0", at: "pci0000:00/0000:06:00.0/cciss0/c0d0", sectors: 143_305_920,
            device: ["raid_level": "RAID 5", "vendor": "HP", "model": "LOGICAL VOLUME"])
        let disk = try #require(made.machine.disks.first)
        #expect(disk.name == "/dev/cciss/c0d0")
        #expect(disk.raidLevel == "RAID 5" && disk.kind == "raid volume" && disk.transport == "raid")
        #expect(disk.controller == "0000:06:00.0")
    }

    /// Two ports, one LUN; a third disk has no identity, and is nobody's second path.
    @Test func pathsOverFibreChannelAreOneDisk() throws {
        var made = MadeUpMachine()
        for (index, address) in ["0000:41:00.0", "0000:41:00.1"].enumerated() {
            made.add(address, "0c0400", "1077:2532", driver: "qla2xxx")
            let host = index + 7
            made.host(host, at: "pci0000:00/\(address)", driver: "qla2xxx")
            let port = "/sys/devices/pci0000:00/\(address)/host\(host)/fc_host/host\(host)"
            made.link("/sys/class/fc_host/host\(host)", to: "../../devices/\(port.dropFirst(13))")
            made.file("\(port)/port_name", "0x2100001b32a1b2c\(index)")
            made.file("\(port)/port_state", index == 0 ? "Online" : "Linkdown")
            made.file("\(port)/speed", index == 0 ? "8 Gbit" : "unknown")
            made.disk(
                index == 0 ? "sdb" : "sdc",
                at: "pci0000:00/\(address)/host\(host)/rport-\(host):0-0/target\(host):0:0/\(host):0:0:1",
                device: ["wwid": "naa.60060e8005123450000012345000abcd", "state": index == 0 ? "running" : "offline"])
        }
        let machine = made.machine
        #expect(machine.disks.map(\.name) == ["/dev/sdb"])
        let disk = try #require(machine.disks.first)
        #expect(disk.kind == "lun" && disk.transport == "fc" && disk.link == "8.0 Gbit/s")
        #expect(disk.paths.map(\.name) == ["/dev/sdb", "/dev/sdc"])
        #expect(disk.paths.map(\.state) == ["running", "offline"])
        #expect(machine.controllers.map(\.kind) == ["fc", "fc"])
        #expect(machine.controllers.allSatisfy { $0.disks == ["/dev/sdb"] })
        #expect(machine.controllers.first?.ports.first?.name == "0x2100001b32a1b2c0")
        let codes = machine.findings.map(\.code)
        #expect(codes.contains("multipath") && codes.contains("port-down") && codes.contains("path-down"))
    }

    @Test func aControllerWithoutDriverIsSaidLoudly() throws {
        var made = MadeUpMachine()
        made.add("0000:02:00.0", "010400", "1000:10e2", driver: nil)
        made.file("/proc/sys/kernel/osrelease", "6.1.0-test")
        made.file(
            "/lib/modules/6.1.0-test/modules.alias",
            "# comment\nalias pci:v00001000d000010E2sv*sd*bc*sc*i* megaraid_sas\nalias usb:v* other")
        made.file("/lib/modules/6.1.0-test/modules.dep", "kernel/drivers/scsi/megaraid/megaraid_sas.ko.xz: a.ko")
        made.file(
            "/usr/share/misc/pci.ids",
            "1000  Broadcom / LSI\n\t10e2  MegaRAID 12GSAS/PCIe Secure SAS39xx\n\t\t1000 4000  a card\nC 01  storage")
        var finding = try #require(made.machine.findings.first)
        #expect(finding.code == "controller-without-driver" && finding.severity == .critical)
        #expect(finding.what.contains("MegaRAID 12GSAS"))
        #expect(finding.action.contains("has the module megaraid_sas"))
        let controller = try #require(made.machine.controllers.first)
        #expect(controller.modules == ["megaraid_sas"] && controller.availableModules == [])
        #expect(controller.vendor == "Broadcom / LSI")
        made.file("/lib/modules/6.1.0-test/kernel/drivers/scsi/megaraid/megaraid_sas.ko.xz", "")
        finding = try #require(made.machine.findings.first)
        #expect(finding.action == "modprobe megaraid_sas, then probe again")
    }

    @Test(
        arguments: [
            ("010400", "8086:2822", nil, nil, "Intel RST"), ("010601", "8086:a102", "ahci", "2", "Intel RST"),
            ("010400", "8086:9a0b", nil, nil, "Intel VMD"), ("010400", "8086:201d", "vmd", nil, nil),
            ("010400", "1022:43bd", nil, nil, "AMD RAID"), ("010601", "8086:a102", "ahci", "0", nil),
            ("010400", "1000:005b", "megaraid_sas", nil, nil), ("010400", "8086:2822", "ahci", nil, nil),
        ] as [(String, String, String?, String?, String?)])
    func modesThatHideDisksAreNamed(
        pciClass: String, id: String, driver: String?, remapped: String?, mode: String?
    ) throws {
        var made = MadeUpMachine()
        made.add(
            "0000:00:17.0", pciClass, id, driver: driver, files: remapped.map { ["remapped_nvme": $0] } ?? [:])
        let machine = made.machine
        #expect(machine.controllers.first?.hidingMode == mode)
        #expect(machine.findings.contains { $0.code == "disks-hidden" } == (mode != nil))
    }

    @Test func linksHaveTheirRates() throws {
        var made = MadeUpMachine()
        made.add("0000:00:14.0", "0c0330", "8086:a12f", driver: "xhci_hcd")
        for (index, speed) in ["480", "5000", "10000"].enumerated() {
            let port = "pci0000:00/0000:00:14.0/usb1/1-\(index + 1)"
            made.file("/sys/devices/\(port)/speed", speed)
            made.file("/sys/devices/\(port)/serial", "USB\(index)")
            made.disk(
                "sd\(["a", "b", "c"][index])",
                at: "\(port)/1-\(index + 1):1.0/host\(index)/target\(index):0:0/\(index):0:0:0",
                block: ["removable": "1"])
        }
        made.add(
            "0000:01:00.0", "010802", "144d:a808", driver: "nvme",
            files: ["current_link_speed": "8.0 GT/s PCIe", "current_link_width": "4"])
        made.disk(
            "nvme0n1", at: "pci0000:00/0000:01:00.0/nvme/nvme0", block: ["wwid": "eui.0025388b71b0a1c2"],
            device: ["model": "Samsung SSD 970", "serial": "S4EWNX0M"], logical: 4096)
        made.add("0000:00:1f.2", "010601", "8086:8d02", driver: "ahci")
        let ata = "pci0000:00/0000:00:1f.2/ata5"
        made.file("/sys/devices/\(ata)/link5/ata_link/link5/sata_spd", "6.0 Gbps")
        made.disk("sdd", at: "\(ata)/host9/target9:0:0/9:0:0:0", device: ["model": "ST1000", "vendor": "ATA"])
        let sas = "pci0000:00/0000:05:00.0/host10/port-10:0"
        made.add("0000:05:00.0", "010700", "1000:0097", driver: "mpt3sas")
        made.link("/sys/devices/\(sas)/phy-10:0", to: "../phy-10:0")
        made.file(
            "/sys/devices/pci0000:00/0000:05:00.0/host10/phy-10:0/sas_phy/phy-10:0/negotiated_linkrate", "12.0 Gbit")
        made.disk("sde", at: "\(sas)/end_device-10:0/target10:0:0/10:0:0:0")
        made.disk("mmcblk0", at: "pci0000:00/0000:00:1c.0/mmc_host/mmc0/mmc0:0001", device: ["name": "DG4032"])
        made.disk("mmcblk0boot0", at: "pci0000:00/0000:00:1c.0/mmc_host/mmc0/mmc0:0001/mmcblk0")
        made.disk("vda", at: "pci0000:00/0000:00:05.0/virtio1", block: ["serial": "v-1"])
        let machine = made.machine
        func disk(_ name: String) throws -> Disk { try #require(machine.disks.first { $0.name == "/dev/\(name)" }) }
        #expect(
            try [disk("sda"), disk("sdb"), disk("sdc")].map(\.link) == ["480 Mbit/s", "5.0 Gbit/s", "10.0 Gbit/s"])
        #expect(
            try [disk("sda"), disk("sdb"), disk("sdc")].map(\.linkBytesPerSecond)
                == [60_000_000, 500_000_000, 1_212_121_212])
        #expect(try disk("sda").serial == "USB0" && disk("sda").isPossibleTarget)
        let nvme = try disk("nvme0n1")
        #expect(nvme.link == "PCIe 8.0 GT/s x4" && nvme.linkBytesPerSecond == 3_938_461_538)
        #expect(nvme.kind == "nvme" && nvme.wwn == "0x0025388b71b0a1c2" && nvme.serial == "S4EWNX0M")
        #expect(nvme.logicalSectors == 4096 && machine.findings.contains { $0.code == "4kn-disk" })
        #expect(try disk("sdd").transport == "sata" && disk("sdd").linkBytesPerSecond == 600_000_000)
        #expect(try disk("sde").transport == "sas" && disk("sde").linkBytesPerSecond == 1_200_000_000)
        #expect(try disk("mmcblk0").kind == "card" && disk("mmcblk0").model == "DG4032")
        #expect(try disk("vda").transport == "virtio" && disk("vda").serial == "v-1")
        #expect(!machine.disks.contains { $0.name.contains("boot0") })
    }

    @Test func namesSortAsTheKernelCounts() {
        let names = ["sdaa", "sdb", "nvme10n1", "sda", "nvme2n1", "sdz", "vda", "nvme2n10", "nvme2n2"]
        #expect(
            names.sorted(by: BlockDevices.naturally)
                == ["nvme2n1", "nvme2n2", "nvme2n10", "nvme10n1", "sda", "sdb", "sdz", "sdaa", "vda"])
    }

    @Test func readsTheBootFirmwareTable() {
        var made = MadeUpMachine()
        made.file("/sys/firmware/ibft/initiator/initiator-name", "iqn.2010-04.org.ipxe:host")
        made.file("/sys/firmware/ibft/target0/target-name", "iqn.2003-01.org.example:root")
        made.file("/sys/firmware/ibft/target0/ip-addr", "192.0.2.9")
        made.file("/sys/firmware/ibft/target0/port", "3261")
        made.file("/sys/firmware/ibft/target0/lun", "0001000000000000")
        made.file("/sys/firmware/ibft/target0/chap-name", "web01")
        made.file("/sys/firmware/ibft/target0/chap-secret", "Geheim1")
        made.file("/sys/firmware/ibft/target0/rev-chap-name", "san")
        made.file("/sys/firmware/ibft/target0/rev-chap-name-secret", "Geheim2")
        made.file("/sys/firmware/ibft/target1/flags", "0")
        made.file("/sys/firmware/ibft/target2/target-name", "iqn.2003-01.org.example:other")
        made.file("/sys/firmware/ibft/target2/ip-addr", "192.0.2.10")
        made.file("/sys/firmware/ibft/target2/chap-name", "web02")
        made.file("/sys/firmware/ibft/ethernet0/mac", "52:54:00:AA:BB:CC")
        made.file("/sys/firmware/ibft/ethernet0/ip-addr", "192.0.2.5")
        let iscsi = made.machine.iscsi
        #expect(iscsi.bootInitiator == "iqn.2010-04.org.ipxe:host")
        #expect(iscsi.boot.map(\.portal) == ["192.0.2.9:3261", "192.0.2.10:3260"] && iscsi.boot.first?.lun == 1)
        #expect(iscsi.boot.first?.localMac == "52:54:00:aa:bb:cc")
        #expect(made.machine.findings.contains { $0.code == "lun-not-logged-in" })

        // Secrets only for who asks for them, and nowhere else.
        #expect(!"\(made.machine)".contains("Geheim"))
        let secrets = ISCSISecrets()
        var inspection = MachineInspection(sysroot: Sysroot(entries: made.entries))
        inspection.iscsiSecrets = secrets
        #expect(!"\(inspection.machine())".contains("Geheim"))
        let account = secrets.account(of: "iqn.2003-01.org.example:root", at: "192.0.2.9:3261")
        #expect(account?.initiator.user == "web01" && account?.initiator.password.revealed == "Geheim1")
        #expect(account?.target?.user == "san" && account?.target?.password.revealed == "Geheim2")
        #expect(secrets.account(of: "iqn.2003-01.org.example:other", at: "192.0.2.10:3260") == nil)
    }
}
