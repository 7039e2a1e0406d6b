// SPDX-License-Identifier: GPL-3.0-or-later

/// How a disk is attached, and how fast its link is.
struct DiskLink: Sendable, Hashable {
    /// How the disk is attached, in the words of `Disk.transport`.
    var transport: String?
    /// The negotiated rate as people write it.
    var rate: String?
    /// Bytes a second that the link can carry, its coding taken off.
    var bytesPerSecond: Int64?

    /// Reads the link of the device whose folder in sysfs is `path`, driven by the SCSI host driver `hostDriver`.
    init(_ sysroot: Sysroot, path: String, hostDriver: String?, pciFunction: String?) {
        let parts = path.split(separator: "/").map(String.init)
        func folder(upTo index: Int) -> String { "/" + parts[...index].joined(separator: "/") }
        func index(where matches: (String) -> Bool) -> Int? { parts.lastIndex(where: matches) }

        if let device = index(where: { Self.isUSBDevice($0) }) {
            self = Self.usb(sysroot.text("\(folder(upTo: device))/speed"))
        } else if parts.contains(where: { $0.hasPrefix("nvme") }) {
            self = Self.nvme(sysroot, pciFunction)
        } else if let port = index(where: { $0.hasPrefix("port-") }),
            parts.contains(where: { $0.hasPrefix("end_device-") })
        {
            self = Self.sas(sysroot, folder(upTo: port))
        } else if parts.contains(where: { $0.hasPrefix("rport-") }) {
            let host = index { Self.isNumbered($0, "host") }.map { parts[$0] }
            self = Self.fibreChannel(host.flatMap { sysroot.text("/sys/class/fc_host/\($0)/speed") })
        } else if index(where: { Self.isNumbered($0, "session") }) != nil {
            transport = "iscsi"
        } else if let ata = index(where: { Self.isNumbered($0, "ata") }) {
            self = Self.sata(sysroot, folder(upTo: ata), parts[ata])
        } else if parts.contains(where: { Self.isNumbered($0, "virtio") }) {
            transport = "virtio"
        } else if parts.contains(where: { $0.hasPrefix("mmc_host") }) {
            transport = "mmc"
        } else if parts.contains(where: { $0.hasPrefix("vbd-") }) {
            transport = "xen"
        } else if parts.contains(where: { Self.isNumbered($0, "ide") }) {
            transport = "ata"
        } else if parts.contains(where: { Self.isNumbered($0, "cciss") }) {
            transport = "raid"
        } else if parts.contains(where: { Self.isNumbered($0, "host") }) {
            transport = RAIDVolume.isRAIDDriver(hostDriver) ? "raid" : "scsi"
        }
    }

    private init(_ transport: String, _ rate: String?, _ bytesPerSecond: Double?) {
        self.transport = transport
        self.rate = rate
        // A rate from sysfs may be any number.
        self.bytesPerSecond = bytesPerSecond.flatMap { $0 > 0 && $0 < 1e15 ? Int64($0) : nil }
    }

    /// A USB device's folder is named `1-4` or `1-4.2`: bus, then ports.
    private static func isUSBDevice(_ name: String) -> Bool {
        guard let dash = name.firstIndex(of: "-"), dash != name.startIndex, name.last != "-" else { return false }
        return name[..<dash].allSatisfy(\.isNumber)
            && name[name.index(after: dash)...].allSatisfy { $0.isNumber || $0 == "." }
    }

    static func isNumbered(_ name: String, _ prefix: String) -> Bool {
        name.hasPrefix(prefix) && name.count > prefix.count && name.dropFirst(prefix.count).allSatisfy(\.isNumber)
    }

    /// Documentation/ABI/stable/sysfs-bus-usb, speed: Mbit/s.
    private static func usb(_ speed: String?) -> DiskLink {
        guard let speed, let megabits = Double(speed) else { return DiskLink("usb", nil, nil) }
        let bits = megabits * 1e6
        // 8b/10b at 5 Gbit/s, 128b/132b from 10 on; below, no such coding.
        let payload = megabits < 5000 ? bits : megabits < 10_000 ? bits * 0.8 : bits * 128 / 132
        let text = megabits >= 1000 ? "\(decimal(megabits / 1000)) Gbit/s" : "\(speed) Mbit/s"
        return DiskLink("usb", text, payload / 8)
    }

    /// Documentation/ABI/testing/sysfs-bus-pci, current_link_speed: `8.0 GT/s PCIe`.
    private static func nvme(_ sysroot: Sysroot, _ function: String?) -> DiskLink {
        guard let function, let speed = sysroot.text("\(function)/current_link_speed"),
            let transfers = leadingNumber(speed), let width = sysroot.number("\(function)/current_link_width"),
            (1...64).contains(width)
        else { return DiskLink("nvme", nil, nil) }
        let coding = transfers < 8 ? 0.8 : 128.0 / 130
        return DiskLink(
            "nvme", "PCIe \(decimal(transfers)) GT/s x\(width)", transfers * 1e9 * coding / 8 * Double(width))
    }

    /// Documentation/ABI/testing/sysfs-class-sas_phy is none; drivers/scsi/scsi_transport_sas.c, negotiated_linkrate.
    private static func sas(_ sysroot: Sysroot, _ port: String) -> DiskLink {
        let rates = sysroot.names(in: port).filter { $0.hasPrefix("phy-") }.compactMap { phy in
            sysroot.text("\(port)/\(phy)/sas_phy/\(phy)/negotiated_linkrate").flatMap(leadingNumber)
        }
        guard let rate = rates.max() else { return DiskLink("sas", nil, nil) }
        let width = rates.count > 1 ? " x\(rates.count)" : ""
        let coding = rate > 12 ? 128.0 / 150 : 0.8
        return DiskLink(
            "sas", "\(decimal(rate)) Gbit/s\(width)", rate * 1e9 * coding / 8 * Double(rates.count))
    }

    /// Documentation/ABI/testing/sysfs-ata, sata_spd.
    private static func sata(_ sysroot: Sysroot, _ folder: String, _ port: String) -> DiskLink {
        let link = "link\(port.dropFirst(3))"
        guard let speed = sysroot.text("\(folder)/\(link)/ata_link/\(link)/sata_spd"), let rate = leadingNumber(speed)
        else { return DiskLink("ata", nil, nil) }
        return DiskLink("sata", "\(decimal(rate)) Gbit/s", rate * 1e9 * 0.8 / 8)
    }

    /// A Gbit of Fibre Channel's names stands for about 100 MB/s in either direction.
    private static func fibreChannel(_ speed: String?) -> DiskLink {
        guard let speed, let rate = leadingNumber(speed) else { return DiskLink("fc", nil, nil) }
        return DiskLink("fc", "\(decimal(rate)) Gbit/s", rate * 100e6)
    }

    private static func leadingNumber(_ text: String) -> Double? {
        Double(text.prefix { $0.isNumber || $0 == "." }).flatMap { $0.isFinite && $0 > 0 && $0 < 1e6 ? $0 : nil }
    }

    private static func decimal(_ value: Double) -> String {
        let tenths = Int((min(value, 1e6) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// Virtual drives of RAID controllers, which look like disks.
enum RAIDVolume {
    private static let drivers: Set = [
        "3w-9xxx", "3w-sas", "aacraid", "arcmsr", "dpt_i2o", "gdth", "hpsa", "ips", "megaraid", "megaraid_mbox",
        "megaraid_sas", "mpi3mr", "smartpqi", "stex",
    ]

    /// Tells whether a SCSI host's driver is that of a RAID controller.
    static func isRAIDDriver(_ driver: String?) -> Bool { driver.map(drivers.contains) ?? false }

    /// Returns the level that the driver exports for the SCSI device at `device`, nil for a plain disk.
    ///
    /// Documentation/scsi/hpsa.rst and smartpqi.rst, raid_level; drivers/scsi/raid_class.c.
    static func level(_ sysroot: Sysroot, device: String) -> String? {
        if let level = sysroot.text("\(device)/raid_level"), level != "N/A" { return level }
        for name in sysroot.names(in: "\(device)/raid_devices") {
            if let level = sysroot.text("\(device)/raid_devices/\(name)/level") { return level }
        }
        return nil
    }
}
