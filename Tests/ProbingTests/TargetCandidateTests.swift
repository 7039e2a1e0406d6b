// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import TestSupport
internal import Testing

@testable internal import Probing

/// The wires to sources and targets, on machines that were recorded and made up.
@Suite struct TargetCandidateTests {
    private static func sysroot(_ name: String) throws -> Sysroot {
        let folder = try Fixtures.recording(of: name)
        return try MachineRecording.open(folder.file("machine.tar"))
    }

    // MARK: Recorded machines

    @Test(
        arguments: [
            ("usb2", "usb", 480_000_000, 60), ("usb3", "usb", 5_000_000_000, 640),
            ("ahci", "sata", 1_500_000_000, 192), ("mptsas1068", "sas", 3_000_000_000, 384),
        ] as [(String, String, Int64, Double)])
    func linksOfRecordedMachines(name: String, transport: String, bits: Int64, megabytes: Double) throws {
        let sysroot = try Self.sysroot(name)
        let machine = MachineProbe(sysroot).hardware()
        let candidates = TargetCandidates(machine, sysroot)
        let disk = try #require(machine.disks.first { $0.transport == transport }, "\(machine.disks.map(\.transport))")
        let link = try #require(candidates.link(ofDisk: disk.name))
        #expect(link.transport == transport && link.bitsPerSecond == bits && link.device == disk.name)
        #expect(link.theoreticalMegabytesPerSecond == megabytes)
    }

    @Test func listsUSBDisksThatAreNotMounted() throws {
        for name in ["usb2", "usb3"] {
            let sysroot = try Self.sysroot(name)
            let machine = MachineProbe(sysroot).hardware()
            let disks = TargetCandidates(machine, sysroot).disks()
            #expect(!disks.isEmpty && disks.allSatisfy { $0.folder == nil && $0.link.transport == "usb" })
            #expect(disks.allSatisfy { $0.instruction?.contains("mount \($0.disk ?? "")") == true }, "\(disks)")
        }
        let sysroot = try Self.sysroot("megasas")
        #expect(TargetCandidates(MachineProbe(sysroot).hardware(), sysroot).disks().isEmpty)
    }

    // MARK: Made-up machines

    private static let mounts = """
        20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
        30 20 0:40 / /mnt/nfs rw,relatime shared:2 - nfs4 kvm:/export rw,vers=4.2,proto=tcp,addr=10.1.0.5
        31 20 0:41 / /mnt/share ro,relatime - cifs //nas/data ro,addr=fd00::5
        32 20 8:17 / /mnt/usb\\040disk rw,relatime - ext4 /dev/sdb1 rw
        33 20 0:42 / /tmp rw - tmpfs tmpfs rw
        34 20 0:43 / /mnt/slow rw - nfs other:/x rw,addr=192.0.2.9
        35 20 0:44 / /mnt/wide rw - cifs //wide/x rw,addr=fd00:0:0:1::7
        nonsense
        """

    private static let routes = """
        Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
        eno1\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
        bond0.5\t0000010A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0
        lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
        """

    private static let routes6 = """
        fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 \
        00000100 00000001 00000000 00000001 veth0
        fd000000000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 \
        00000100 00000001 00000000 00000001 br0
        """

    /// A server with a bond of two adapters, a VLAN upon it, a bridge, a pair of virtual ends, and a disk on USB.
    private func machine() -> MadeUpMachine {
        var machine = MadeUpMachine()
        machine.file("/proc/self/mountinfo", Self.mounts)
        machine.file("/proc/net/route", Self.routes)
        machine.file("/proc/net/ipv6_route", Self.routes6)
        for (name, speed) in [("eno1", "1000"), ("eno2", "10000"), ("eno3", "10000")] {
            let path = "/sys/devices/pci0000:00/0000:00:1c.0/net/\(name)"
            machine.file("\(path)/speed", speed)
            machine.link("/sys/class/net/\(name)", to: path)
        }
        for (name, speed, lower) in [
            ("bond0", "20000", ["eno2", "eno3"]), ("bond0.5", "20000", ["bond0"]), ("br0", nil, ["eno1"]),
            ("veth0", "10000", []), ("lo", nil, []),
        ] as [(String, String?, [String])] {
            let path = "/sys/devices/virtual/net/\(name)"
            machine.file("\(path)/mtu", "1500")
            if let speed { machine.file("\(path)/speed", speed) }
            for other in lower { machine.link("\(path)/lower_\(other)", to: "/sys/class/net/\(other)") }
            machine.link("/sys/class/net/\(name)", to: path)
        }
        let usb = "/sys/devices/pci0000:00/0000:00:1d.0/usb1/1-4"
        machine.file("\(usb)/speed", "480")
        let disk = "\(usb)/1-4:1.0/host3/target3:0:0/3:0:0:0/block/sdb"
        for (name, value) in [("size", "8388608"), ("removable", "0"), ("ro", "0"), ("queue/rotational", "1")] {
            machine.file("\(disk)/\(name)", value)
        }
        machine.file("\(disk)/sdb1/partition", "1")
        machine.link("\(disk)/device", to: "\(usb)/1-4:1.0/host3/target3:0:0/3:0:0:0")
        machine.link("/sys/block/sdb", to: disk)
        machine.link("/sys/class/block/sdb", to: disk)
        machine.link("/sys/class/block/sdb1", to: "\(disk)/sdb1")
        machine.link("/sys/dev/block/8:17", to: "\(disk)/sdb1")
        return machine
    }

    @Test func followsMountsToTheirWires() throws {
        let sysroot = Sysroot(entries: machine().entries)
        let candidates = TargetCandidates(MachineProbe(sysroot).hardware(), sysroot)
        let folders = candidates.folders()
        #expect(folders.map(\.folder) == ["/mnt/nfs", "/mnt/usb disk", "/mnt/slow", "/mnt/wide"])
        #expect(folders.map(\.link.transport) == ["nfs", "usb", "nfs", "cifs"])
        #expect(folders.map(\.link.device) == ["bond0.5", "/dev/sdb", "eno1", "br0"])
        #expect(folders.map(\.link.server) == ["10.1.0.5", nil, "192.0.2.9", "fd00:0:0:1::7"])
        #expect(folders.map(\.link.theoreticalMegabytesPerSecond) == [2560, 60, 128, 128])
        #expect(folders.map(\.link.rate) == ["20.0 Gbit/s", "480 Mbit/s", "1.0 Gbit/s", "1.0 Gbit/s"])
        // Nothing is on a wire at the end of a virtual pair.
        let virtual = candidates.folder("/mnt/share/clones")
        #expect(virtual.link.device == "veth0" && virtual.link.bitsPerSecond == nil && virtual.fileSystem == "cifs")
        #expect(candidates.folder("/mnt/usb disk/x").disk == "/dev/sdb")
        #expect(candidates.folder("/mnt/usb diskette").link.transport == "unknown")
        #expect(candidates.folder("/tmp").link.transport == "memory")
        #expect(candidates.disks().isEmpty)
    }

    @Test(
        arguments: [
            ("127.0.0.1", nil), ("10.1.200.3", 20_000_000_000), ("10.2.0.1", 1_000_000_000), ("fd00::1:2", nil),
            ("fd00:0:0:1:0:0:0:1", 1_000_000_000), ("::ffff:10.1.0.1", nil), ("fe80::1%eno2", 10_000_000_000),
            ("fe80::1%../../x", nil), ("name.example", nil), ("1.2.3", nil), ("1::2::3", nil), ("", nil), ("::", nil),
            ("12345::", nil), ("1:2:3:4:5:6:7:8:9", nil),
        ] as [(String, Int64?)])
    func routes(address: String, bits: Int64?) throws {
        let sysroot = Sysroot(entries: machine().entries)
        let link = TargetCandidates(MachineProbe(sysroot).hardware(), sysroot).link(to: address, transport: "iscsi")
        #expect(link.bitsPerSecond == bits && link.server == address)
    }

    // MARK: How disks are read

    @Test(
        arguments: [
            ("megasas", "raid", AccessPattern(requestLength: 2 << 20, parallelReads: nil)),
            ("nvme", "nvme", .parallel), ("virtio", "virtio", .parallel),
            ("usb2", "usb", AccessPattern.sequential), ("ahci", "sata", .sequential),
        ] as [(String, String, AccessPattern)])
    func patternsOfRecordedMachines(name: String, transport: String, pattern: AccessPattern) throws {
        let sysroot = try Self.sysroot(name)
        let machine = MachineProbe(sysroot).hardware()
        let disk = try #require(machine.disks.first { $0.transport == transport })
        #expect(disk.rotational || transport != "usb")
        #expect(DiskAccess(machine, sysroot).pattern(of: disk.name) == pattern, "\(disk)")
    }

    @Test func patternsOfQueues() {
        var machine = machine()
        func add(_ name: String, _ path: String, rotational: Bool, optimal: Int = 0) {
            machine.file("\(path)/queue/rotational", rotational ? "1" : "0")
            machine.file("\(path)/queue/optimal_io_size", "\(optimal)")
            machine.file("\(path)/queue/max_sectors_kb", "1280")
            machine.link("/sys/class/block/\(name)", to: path)
        }
        add("sdx", "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sdx", rotational: true)
        add("sdy", "/sys/devices/pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0/block/sdy", rotational: false)
        add("dm-0", "/sys/devices/virtual/block/dm-0", rotational: true)
        let access = DiskAccess(Machine(), Sysroot(entries: machine.entries))
        #expect(access.pattern(of: "/dev/sdx") == .sequential)
        #expect(access.pattern(of: "/dev/sdy") == .parallel)
        #expect(access.pattern(of: "/dev/dm-0") == .parallel)
        #expect(access.pattern(of: "/dev/missing") == .parallel && access.pattern(of: "disk.img") == .parallel)
        // A partition is read as its disk.
        let sysroot = Sysroot(entries: machine.entries)
        #expect(DiskAccess(MachineProbe(sysroot).hardware(), sysroot).pattern(of: "/dev/sdb1") == .sequential)
        var volume = Disk(
            name: "/dev/sdx", size: 1 << 30, logicalSectors: 512, physicalSectors: 512, kind: "raid volume")
        volume.transport = "raid"
        var inventory = Machine()
        inventory.disks = [volume]
        #expect(DiskAccess(inventory, Sysroot(entries: machine.entries)).pattern(of: "/dev/sdx").parallelReads == nil)
        add("sdx", "/sys/devices/pci0000:00/0000:00:1f.2/x/block/sdx", rotational: true, optimal: 4 << 20)
        let wide = DiskAccess(inventory, Sysroot(entries: machine.entries)).pattern(of: "/dev/sdx")
        #expect(wide == AccessPattern(requestLength: 4 << 20, parallelReads: nil))
    }

    @Test func onlyLengthsThatUnitsMayHave() {
        for (asked, given) in [(0, 1 << 20), (3 << 20, 2 << 20), (64 << 20, 4 << 20)] {
            #expect(AccessPattern(requestLength: asked, parallelReads: 0).requestLength == given)
        }
        #expect(AccessPattern(requestLength: 0, parallelReads: 0).parallelReads == 1)
    }
}
