// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

@testable internal import Probing

/// Several ways to one unit are one disk, and two disks are never one; sysroots are written by hand.
@Suite struct PathTests {
    private static let name = "naa.5000c5004f1e2d3c"

    /// Two disks of one size and model, each behind a function of its own.
    private func pair(
        _ serials: (String?, String?) = (nil, nil), _ wwids: (String?, String?), sectors: (Int64, Int64) = (100, 100),
        below: String = "", states: (String, String) = ("running", "running")
    ) -> MadeUpMachine {
        var made = MadeUpMachine()
        let both = [(0, serials.0, wwids.0, sectors.0, states.0), (1, serials.1, wwids.1, sectors.1, states.1)]
        for (number, serial, wwid, sectors, state) in both {
            let address = "0000:0\(number + 1):00.0"
            made.add(address, "010700", "1000:0097", driver: "mpt3sas")
            made.host(number, at: "pci0000:00/\(address)\(below)", driver: "mpt3sas")
            let path = "pci0000:00/\(address)\(below)/host\(number)/target\(number):0:0/\(number):0:0:0"
            var device = ["vendor": "V", "model": "M", "state": state]
            device["wwid"] = wwid
            made.disk(number == 0 ? "sda" : "sdb", at: path, sectors: sectors, device: device)
            if let serial {
                made.bytes(
                    "/sys/devices/\(path)/vpd_pg80", [0, 0x80, 0, UInt8(serial.utf8.count)] + Array(serial.utf8))
            }
        }
        return made
    }

    @Test func namesAndSerialNumbersProveOneUnit() {
        #expect(pair((nil, nil), (Self.name, Self.name)).machine.disks.count == 1)
        #expect(pair(("ABCDE1", "ABCDE1"), (nil, nil)).machine.disks.count == 1)
        #expect(pair(("ABCDE1", "ABCDE1"), ("t10.V M ABCDE1", "t10.V M ABCDE1")).machine.disks.count == 1)
    }

    @Test func twoDisksAreNeverTakenForOne() {
        #expect(pair((nil, nil), (nil, nil)).machine.disks.count == 2)
        #expect(pair((nil, nil), (Self.name, "naa.5000c5004f1e2d3d")).machine.disks.count == 2)
        #expect(pair((nil, nil), (Self.name, Self.name), sectors: (100, 101)).machine.disks.count == 2)
        #expect(pair((nil, nil), ("naa.5000000000000000", "naa.5000000000000000")).machine.disks.count == 2)
        // A T10 name without a serial number is a name of the make.
        #expect(
            pair((nil, nil), ("t10.V       M               ", "t10.V       M               ")).machine.disks.count == 2)
        for serial in ["", "0", "00000000", "123", "0123456789ABCDEF", "XXXXXXXX"] {
            #expect(pair((serial, serial), (nil, nil)).machine.disks.count == 2, "\(serial)")
        }
        // Enclosures of one make share everything.
        let usb = pair(("ABCDE1", "ABCDE1"), (Self.name, Self.name), below: "/usb1/1-1/1-1:1.0")
        #expect(usb.machine.disks.count == 2)
    }

    @Test func aPathThatWorksStandsForTheUnit() throws {
        let disk = try #require(
            pair((nil, nil), (Self.name, Self.name), states: ("offline", "running")).machine.disks.first)
        #expect(disk.name == "/dev/sdb" && disk.hctl == "1:0:0:0")
        #expect(disk.paths.map(\.name) == ["/dev/sda", "/dev/sdb"])
    }

    @Test(arguments: ["mpath-35000c5004f1e2d3c", "mpath-1V       M  ABCDE1"])
    func aMapIsInThePlaceOfItsMembers(uuid: String) throws {
        var made = pair((nil, nil), (Self.name, Self.name))
        let map = "/sys/devices/virtual/block/dm-0"
        made.link("/sys/block/dm-0", to: "../devices/virtual/block/dm-0")
        for (name, text) in ["size": "100", "dm/uuid": uuid, "dm/name": "mpatha"] { made.file("\(map)/\(name)", text) }
        made.link("\(map)/slaves/sda", to: "/sys/block/sda")
        made.link("\(map)/slaves/sdb", to: "/sys/block/sdb")
        let machine = made.machine
        #expect(machine.disks.map(\.name) == ["/dev/dm-0"])
        let disk = try #require(machine.disks.first)
        #expect(disk.kind == "multipath" && disk.model == "M" && disk.wwid == Self.name)
        #expect(disk.paths.map(\.name) == ["/dev/sda", "/dev/sdb"])
        #expect(machine.controllers.map(\.disks) == [["/dev/dm-0"], ["/dev/dm-0"]])
    }

    @Test func pathsThatTheKernelHidesAreNoDisks() throws {
        var made = MadeUpMachine()
        for number in 0...1 {
            let address = "0000:0\(number + 3):00.0"
            made.add(
                address, "010802", "1e0f:0001", driver: "nvme",
                files: ["current_link_speed": "16.0 GT/s PCIe", "current_link_width": "2"])
            let path = "/sys/devices/pci0000:00/\(address)/nvme/nvme\(number)"
            made.file("\(path)/state", "live")
            made.file("\(path)/nvme0c\(number)n1/size", "1000")
            made.file("\(path)/nvme0c\(number)n1/hidden", "1")
            made.link("\(path)/nvme0c\(number)n1/device", to: "../../nvme\(number)")
            made.link("/sys/block/nvme0c\(number)n1", to: "../" + path.dropFirst(5) + "/nvme0c\(number)n1")
        }
        let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        made.file("\(subsystem)/model", "KIOXIA CM6")
        made.file("\(subsystem)/serial", "X1Y2Z3")
        made.file("\(subsystem)/nvme0n1/size", "1000")
        made.file("\(subsystem)/nvme0n1/wwid", "eui.8ce38ee20a1b2c3d")
        made.link("\(subsystem)/nvme0n1/device", to: "../../nvme-subsys0")
        made.link("/sys/block/nvme0n1", to: "../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
        let machine = made.machine
        #expect(machine.disks.map(\.name) == ["/dev/nvme0n1"])
        let disk = try #require(machine.disks.first)
        #expect(disk.model == "KIOXIA CM6" && disk.controller == "0000:03:00.0" && disk.link == "PCIe 16.0 GT/s x2")
        #expect(disk.paths.map(\.name) == ["/dev/nvme0c0n1", "/dev/nvme0c1n1"])
        #expect(disk.paths.map(\.state) == ["live", "live"])
        #expect(machine.controllers.map(\.disks) == [["/dev/nvme0n1"], ["/dev/nvme0n1"]])
    }

    @Test func theLiveMediumIsFollowedDown() {
        var made = MadeUpMachine()
        made.add("0000:00:14.0", "0c0330", "8086:8d31", driver: "xhci_hcd")
        for (number, name) in ["sda", "sdb", "sdc"].enumerated() {
            let path =
                "pci0000:00/0000:00:14.0/usb1/1-\(number)/1-\(number):1.0/host\(number)/target\(number):0:0/"
                + "\(number):0:0:0"
            made.disk(name, at: path)
            made.file("/sys/devices/\(path)/block/\(name)/\(name)1/partition", "1")
            made.link("/sys/class/block/\(name)1", to: "../../devices/\(path)/block/\(name)/\(name)1")
        }
        // An image that is a file on a stick, or that a loader has mapped; and a root of numbers of its own.
        made.link("/sys/dev/block/7:0", to: "/sys/devices/virtual/block/loop0")
        made.file("/sys/devices/virtual/block/loop0/loop/backing_file", "/run/live/findiso/coldclone.iso")
        made.link("/sys/dev/block/8:1", to: "/sys/class/block/sda1")
        made.link("/sys/dev/block/254:0", to: "/sys/devices/virtual/block/dm-0")
        made.link("/sys/devices/virtual/block/dm-0/slaves/sdb1", to: "/sys/class/block/sdb1")
        func live(_ lines: String) -> [String] {
            made.file("/proc/self/mountinfo", lines)
            return made.machine.disks.filter(\.isLiveMedium).map(\.name)
        }
        let medium = "29 28 7:0 / /run/live/medium ro - iso9660 /dev/loop0 ro"
        #expect(live(medium + "\n30 28 8:1 / /run/live/findiso ro shared:1 - vfat /dev/sda1 ro") == ["/dev/sda"])
        #expect(live("29 28 254:0 / /run/live/medium ro - iso9660 /dev/mapper/ventoy ro") == ["/dev/sdb"])
        #expect(live("29 28 0:31 / / rw shared:9 master:1 - btrfs /dev/sdc1 rw") == ["/dev/sdc"])
        #expect(live("29 28 0:31 / / rw - overlay overlay rw\n30 28 8:1 / /mnt rw - vfat /dev/sda1 rw") == [])
    }
}
