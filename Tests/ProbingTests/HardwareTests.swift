// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

@testable internal import Probing

/// Attributes of drivers and firmware that no emulator has; each of these sysroots is written by hand.
@Suite struct HardwareTests {
    private func scsi(_ driver: String, _ disks: [(hctl: String, device: [String: String])]) -> [Disk] {
        var made = MadeUpMachine()
        made.add("0000:02:00.0", "010400", "9005:028c", driver: driver)
        made.host(0, at: "pci0000:00/0000:02:00.0", driver: driver)
        for (index, disk) in disks.enumerated() {
            let target = disk.hctl.split(separator: ":").dropLast().joined(separator: ":")
            made.disk(
                "sd\(["a", "b", "c"][index])", at: "pci0000:00/0000:02:00.0/host0/target\(target)/\(disk.hctl)",
                device: disk.device)
        }
        return made.machine.disks
    }

    /// drivers/scsi/aacraid/linit.c: the attribute is `level`, of containers on channel 0 and of drives elsewhere.
    @Test func containersOfAacraidHaveAnAttributeOfTheirOwn() {
        let disks = scsi(
            "aacraid",
            [("0:0:0:0", ["level": "RAID-5"]), ("0:1:4:0", ["level": "JBOD"]), ("0:1:5:0", ["level": ""])])
        #expect(disks.map(\.kind) == ["raid volume", "disk", "disk"])
        #expect(disks.map(\.raidLevel) == ["RAID-5", nil, nil])
    }

    @Test func volumesAreToldFromDrives() {
        let hpsa = scsi("hpsa", [("0:1:0:0", ["raid_level": "RAID 5"]), ("0:0:1:0", ["raid_level": "N/A"])])
        #expect(hpsa.map(\.kind) == ["raid volume", "disk"])
        #expect(hpsa.map(\.raidLevel) == ["RAID 5", nil])
        let lsi = scsi("mpt3sas", [("0:1:0:0", ["raid_devices/0:1:0:0/level": "raid1"]), ("0:0:1:0", [:])])
        #expect(lsi.map(\.kind) == ["raid volume", "disk"])
        #expect(lsi.map(\.raidLevel) == ["raid1", nil])
        #expect(scsi("arcmsr", [("0:0:0:0", [:])]).map(\.kind) == ["raid volume"])
        #expect(scsi("megaraid_sas", [("0:2:0:0", [:]), ("0:0:1:0", [:])]).map(\.kind) == ["raid volume", "disk"])
        let identity = scsi("hpsa", [("0:1:0:0", ["unique_id": "600508B1001C3BD0A1B2C3D4E5F60718"])]).first
        #expect(identity?.wwid == "naa.600508b1001c3bd0a1b2c3d4e5f60718")
    }

    @Test func aDiskThatFailedIsNoLessADisk() {
        var made = MadeUpMachine()
        made.add("0000:02:00.0", "010700", "1000:0097", driver: "mpt3sas")
        made.disk("sda", at: "pci0000:00/0000:02:00.0/host0/target0:0:0/0:0:0:0", sectors: 0)
        made.disk("sdb", at: "pci0000:00/0000:02:00.0/host0/target0:0:1/0:0:1:0", sectors: 0, block: ["removable": "1"])
        made.disk("fd0", at: "platform/floppy.0", sectors: 8, block: ["removable": "1"])
        let machine = made.machine
        #expect(machine.disks.map(\.name) == ["/dev/sda"])
        #expect(machine.findings.contains { $0.code == "disk-without-size" && $0.severity == .critical })
    }

    @Test func readsSATAInFull() throws {
        var made = MadeUpMachine()
        made.add("0000:00:1f.2", "010601", "8086:1d02", driver: "ahci")
        let ata = "pci0000:00/0000:00:1f.2/ata5"
        made.file("/sys/devices/\(ata)/link5/ata_link/link5/sata_spd", "6.0 Gbps")
        made.file("/sys/devices/\(ata)/link5.2/ata_link/link5.2/sata_spd", "3.0 Gbps")
        let path = "\(ata)/host4/target4:2:0/4:2:0:0"
        made.disk(
            "sda", at: path, device: ["vendor": "ATA", "model": "ST4000NM0033-9ZM", "wwid": "naa.5000c5004f1e2d3c"])
        var page: [UInt8] = [0, 0x83, 0, 72, 2, 1, 0, 68]
        page += Array("ATA     ST4000NM0033-9ZM170                                 Z1Z5ABCD".utf8)
        made.bytes("/sys/devices/\(path)/vpd_pg83", page)
        let disk = try #require(made.machine.disks.first)
        #expect(disk.model == "ST4000NM0033-9ZM170")
        // Behind a port multiplier, its port's rate.
        #expect(disk.link == "3.0 Gbit/s" && disk.transport == "sata")
    }

    @Test func sessionsNameTheirTargets() {
        var made = MadeUpMachine()
        made.disk("sda", at: "platform/host3/session1/target3:0:0/3:0:0:1", device: ["state": "running"])
        made.file("/sys/class/iscsi_session/session1/targetname", "iqn.2001-04.com.example:one")
        for (index, name) in ["one", "two"].enumerated() {
            made.file("/sys/firmware/ibft/target\(index)/target-name", "iqn.2001-04.com.example:\(name)")
            made.file("/sys/firmware/ibft/target\(index)/ip-addr", "192.0.2.9")
        }
        let machine = made.machine
        #expect(machine.disks.first?.target == "iqn.2001-04.com.example:one")
        // A session to one target is none to the other.
        #expect(
            machine.findings.filter { $0.code == "lun-not-logged-in" }.map(\.subject) == ["iqn.2001-04.com.example:two"]
        )
    }

    /// drivers/firmware/iscsi_ibft.c before and after its digits were padded.
    @Test(
        arguments: [
            ("00000000", 0), ("01000000", 1), ("0001000000000000", 1), ("4102000000000000", 0x102),
            ("00ff000000000000", 255), ("c101000000000000", nil), ("0", nil), ("", nil), ("zzzzzzzz", nil),
            ("000000000000000000000000", nil),
        ] as [(String, UInt64?)])
    func readsLogicalUnitNumbers(text: String, lun: UInt64?) {
        #expect(BootFirmwareTable.lun(text) == lun)
    }

    @Test(arguments: [
        "To Be Filled By O.E.M.", "System Serial Number", "Default string", "Not Specified", "0", "00000000", "None",
        "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "System manufacturer", "----",
    ])
    func placeholdersAreNoAnswers(text: String) { #expect(SystemInformation.isPlaceholder(text)) }

    @Test func aProcessorWithoutTopologyHasOneAllTheSame() {
        var made = MadeUpMachine()
        made.file("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\n\nprocessor\t: 1\nFeatures\t: fp asimd")
        #expect((made.machine.cpu.socketCount, made.machine.cpu.coreCount) == (1, 2))
        #expect(made.machine.cpu.flags == ["fp", "asimd"])
        for number in 0...1 {
            made.file("/sys/devices/system/cpu/cpu\(number)/topology/physical_package_id", "\(number)")
            made.file("/sys/devices/system/cpu/cpu\(number)/topology/core_id", "0")
        }
        #expect((made.machine.cpu.socketCount, made.machine.cpu.coreCount) == (2, 2))
    }

    // MARK: Interfaces

    private func add(
        _ name: String, at path: String, to made: inout MadeUpMachine, _ attributes: [String: String],
        device: String = ""
    ) {
        let folder = "/sys/devices/\(path)\(device)/net/\(name)"
        made.link("/sys/class/net/\(name)", to: folder)
        made.link("\(folder)/device", to: "/sys/devices/\(path)\(device)")
        for (name, text) in attributes { made.file("\(folder)/\(name)", text) }
    }

    @Test func namesInterfacesAsUdevDoes() {
        var made = MadeUpMachine()
        made.add("0000:01:00.0", "020000", "8086:1521", driver: "igb", files: ["acpi_index": "1"])
        made.add("0000:44:00.0", "020000", "14e4:168e", driver: "bnx2x")
        made.add("0000:44:00.1", "020000", "14e4:168e", driver: "bnx2x")
        made.add("0000:00:14.0", "0c0330", "8086:8d31", driver: "xhci_hcd")
        made.file("/sys/bus/pci/slots/4/address", "0000:44:00")
        add("eth0", at: "pci0000:00/0000:01:00.0", to: &made, ["type": "1", "address": "f8:bc:12:34:56:78"])
        add("eth1", at: "pci0000:00/0000:44:00.0", to: &made, ["address": "00:0a:f7:00:00:01", "phys_port_name": "p0"])
        add(
            "eth2", at: "pci0000:00/0000:44:00.1", to: &made, ["address": "02:00:00:00:00:01", "addr_assign_type": "3"])
        add(
            "eth3", at: "pci0000:00/0000:00:14.0", to: &made, ["address": "00:e0:4c:00:00:03"],
            device: "/usb1/1-4/1-4.2/1-4.2:2.1")
        add("ib0", at: "pci0000:00/0000:01:00.0", to: &made, ["type": "32", "address": "80:00"])
        let names = Dictionary(uniqueKeysWithValues: made.machine.interfaces.map { ($0.name, $0.predictableNames) })
        #expect(names["eth0"] == ["eno1", "enp1s0", "enxf8bc12345678"])
        #expect(names["eth1"] == ["ens4f0np0", "enp68s0f0np0", "enx000af7000001"])
        #expect(names["eth2"] == ["ens4f1", "enp68s0f1"])
        #expect(names["eth3"] == ["enp0s20u4u2c2i1", "enx00e04c000003"])
        #expect(names["ib0"] == ["ibo1", "ibp1s0"])
    }

    /// Oracle: udev itself, for the interfaces of this machine.
    @Test(.enabled(if: Tool.isInstalled("udevadm"), "needs udevadm")) func agreesWithUdev() throws {
        for interface in MachineProbe(Sysroot()).hardware().interfaces {
            let result = try Tool.run("udevadm", ["test-builtin", "net_id", "/sys/class/net/\(interface.name)"])
            let names = ["ONBOARD", "SLOT", "PATH", "MAC"].compactMap { kind -> String? in
                let prefix = "ID_NET_NAME_\(kind)="
                return result.output.split(separator: "\n").first { $0.hasPrefix(prefix) }
                    .map { String($0.dropFirst(prefix.count)) }
            }
            #expect(interface.predictableNames == names, "\(interface.name)")
        }
    }

    // MARK: Oracles and helpers

    /// Oracle: dmidecode(8), on a dump whose entry point names byte 32 as the table's place.
    @Test(.enabled(if: Tool.isInstalled("dmidecode"), "needs dmidecode")) func agreesWithDmidecode() throws {
        func structure(_ type: UInt8, _ fields: [Int: [UInt8]], length: Int, _ strings: [String] = []) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: length)
            (bytes[0], bytes[1]) = (type, UInt8(length))
            for (offset, value) in fields { bytes.replaceSubrange(offset..<offset + value.count, with: value) }
            return bytes + strings.flatMap { Array($0.utf8) + [0] } + (strings.isEmpty ? [0, 0] : [0])
        }
        let table =
            structure(1, [:], length: 27, ["Dell Inc.", "PowerEdge"])
            + structure(17, [12: [0, 0x40]], length: 40, ["A1"])
            + structure(17, [12: [0xff, 0x7f], 28: [0, 0, 1, 0]], length: 40)
            + structure(17, [12: [0, 0x90]], length: 21)
            + structure(17, [12: [0, 0]], length: 40) + structure(17, [12: [0xff, 0xff]], length: 40)
            + structure(38, [4: [1], 5: [0x20]], length: 18) + structure(127, [:], length: 4)
        var dump = Array("_SM3_".utf8) + [0, 24, 3, 2, 0, 1, 0]
        dump += (0..<4).map { UInt8(truncatingIfNeeded: table.count >> ($0 * 8)) } + [32, 0, 0, 0, 0, 0, 0, 0]
        dump[5] = 0 &- dump.reduce(0, &+)
        dump += [UInt8](repeating: 0, count: 32 - dump.count) + table
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(dump, to: folder.file("dump"))
        let text = try Tool.output("dmidecode", ["--from-dump", path, "-t", "17", "-t", "38"])
        let units = ["kB": 1, "MB": 1 << 10, "GB": 1 << 20]
        var kibibytes = 0
        for line in text.split(separator: "\n") where line.contains("\tSize: ") {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard words.count == 3, let number = Int(words[1]), let unit = units[String(words[2])] else { continue }
            kibibytes += number * unit
        }
        #expect(SMBIOSTable(table).memoryInMiB == kibibytes / 1024, "\(text)")
        #expect(text.contains("Interface Type: KCS") && text.contains("Specification Version: 2.0"))
    }

    @Test func helpersAreNotWaitedForBeyondPatience() {
        func run(_ program: String, _ arguments: [String], seconds: Int = 60) -> String? {
            HelperProgram.output(program, arguments, secondsAtMost: seconds).map { String(decoding: $0, as: UTF8.self) }
        }
        // No shell takes the words apart, and the exit status does not matter.
        #expect(run("/bin/echo", ["a b", "$HOME;", "*"]) == "a b $HOME; *\n")
        #expect(run("/bin/sh", ["-c", "echo out; echo err >&2; exit 4"]) == "out\n")
        #expect(run("/nowhere/at/all", []) == nil)
        let start = ContinuousClock.now
        #expect(run("/bin/sleep", ["1000"], seconds: 1) == nil)
        #expect(run("/usr/bin/yes", []) == nil)
        // One that goes on after it closed its output.
        #expect(run("/bin/sh", ["-c", "echo done; exec sleep 1000 >&-"]) == "done\n")
        #expect(ContinuousClock.now - start < .seconds(60))
    }
}
