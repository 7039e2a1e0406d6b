// SPDX-License-Identifier: GPL-3.0-or-later

/// The libvirt domain of a clone, `domain.xml`: the machine as KVM is to show it to the clone's system.
///
/// A pure function of the manifest's machine and disks, so that it can be made again. Buses are those that the installed
/// system most probably has a driver for without any change: a megasas or mptsas controller stays one, virtio stays
/// virtio, all else becomes AHCI, which systems since 2008 start from; only disks of 4096-byte sectors, which AHCI lacks,
/// go to virtio-scsi. libvirt's formatdomain page.
public struct DomainXML: Sendable {
    /// File name in the clone's folder.
    public static let fileName = "domain.xml"

    /// Where libvirt keeps images unless told otherwise; the images' folder below it is named after the clone.
    public static let defaultFolder = "/var/lib/libvirt/images"

    private let name: String
    private let machine: Machine
    private let disks: [DiskRecord]
    private let folder: String
    private let hasLinksDown: Bool

    /// Takes a clone's name, machine and disks, the folder its images will lie in, and whether links start down.
    public init(
        cloneId: String, machine: Machine, disks: [DiskRecord], folder: String? = nil, linksDown: Bool = false
    ) {
        name = cloneId
        self.machine = machine
        self.disks = disks.sorted { $0.order < $1.order }
        self.folder = folder ?? "\(Self.defaultFolder)/\(cloneId)"
        hasLinksDown = linksDown
    }

    /// Returns the document, valid against libvirt's schema.
    public var text: String {
        let domain = XMLElement(
            "domain", ["type": "kvm"],
            [
                XMLElement("name", text: name),
                XMLElement("memory", ["unit": "KiB"], text: "\(memoryInKiB)"),
                XMLElement("vcpu", text: "\(max(machine.cpu.count, 1))"),
                sysinfo, operatingSystem, features, cpu,
                XMLElement("clock", ["offset": isWindows ? "localtime" : "utc"]),
                XMLElement("on_poweroff", text: "destroy"),
                XMLElement("on_reboot", text: "restart"),
                XMLElement("on_crash", text: "destroy"),
                devices,
            ])
        return domain.rendered(indent: 0)
    }

    /// Rounded up to MiB, as the kernel's share is not in MemTotal; 2 GiB without an inventory.
    private var memoryInKiB: Int64 {
        if let physical = machine.memory.physicalMb, physical > 0, physical < 1 << 40 { return Int64(physical) << 10 }
        let total = machine.memory.total > 0 ? min(machine.memory.total, 1 << 50) : 2 << 30
        return ((total + (1 << 20) - 1) >> 20) << 10
    }

    private var isUEFI: Bool { machine.boot.currentBootMode == "uefi" }

    private var isWindows: Bool { machine.systems.contains { $0.family == "windows" } }

    /// The SMBIOS values that licences and inventories look at.
    private var smbios: [(name: String, value: String)] {
        let vendor = machine.systemVendor
        let entries = [
            ("manufacturer", vendor.manufacturer), ("product", vendor.productName), ("serial", vendor.serialNumber),
        ]
        return entries.compactMap { name, value in value.map { (name, $0) } }
    }

    private var sysinfo: XMLElement? {
        guard !smbios.isEmpty else { return nil }
        return XMLElement(
            "sysinfo", ["type": "smbios"],
            [XMLElement("system", [:], smbios.map { XMLElement("entry", ["name": $0.name], text: $0.value) })])
    }

    private var operatingSystem: XMLElement {
        var parts: [XMLElement?] = [XMLElement("type", ["arch": "x86_64", "machine": "q35"], text: "hvm")]
        if isUEFI, let isSecure = machine.boot.secureBoot {
            let enabled = isSecure ? "yes" : "no"
            parts.append(
                XMLElement(
                    "firmware", [:],
                    [
                        XMLElement("feature", ["enabled": enabled, "name": "enrolled-keys"]),
                        XMLElement("feature", ["enabled": enabled, "name": "secure-boot"]),
                    ]))
        }
        if !smbios.isEmpty { parts.append(XMLElement("smbios", ["mode": "sysinfo"])) }
        return XMLElement("os", isUEFI ? ["firmware": "efi"] : [:], parts)
    }

    private var features: XMLElement {
        var parts: [XMLElement?] = [XMLElement("acpi"), XMLElement("apic")]
        if isUEFI, machine.boot.secureBoot == true { parts.append(XMLElement("smm", ["state": "on"])) }
        return XMLElement("features", [:], parts)
    }

    private var cpu: XMLElement {
        let cpu = machine.cpu
        // Sockets, cores and threads must multiply to the number of processors, or libvirt refuses them.
        guard cpu.socketCount > 0, cpu.coreCount > 0, cpu.count > 0, cpu.coreCount % cpu.socketCount == 0,
            cpu.count % cpu.coreCount == 0
        else { return XMLElement("cpu", ["mode": "host-model"]) }
        return XMLElement(
            "cpu", ["mode": "host-model"],
            [
                XMLElement(
                    "topology",
                    [
                        "sockets": "\(cpu.socketCount)", "cores": "\(cpu.coreCount / cpu.socketCount)",
                        "threads": "\(cpu.count / cpu.coreCount)",
                    ])
            ])
    }

    private var devices: XMLElement {
        let buses = disks.map { DomainDiskBus(record: $0, machine: machine) }
        var parts: [XMLElement?] = []
        // SCSI controllers share one numbering: those of a kind follow each other.
        var firstIndex: [DomainDiskBus.Controller: Int] = [:]
        var index = 0
        for controller in DomainDiskBus.Controller.allCases {
            guard let model = controller.model else { continue }
            firstIndex[controller] = index
            let count = buses.count { $0.controller == controller }
            for _ in 0..<(count + DomainDiskBus.Controller.unitsEach - 1) / DomainDiskBus.Controller.unitsEach {
                parts.append(XMLElement("controller", ["type": "scsi", "index": "\(index)", "model": model]))
                index += 1
            }
        }
        var units: [DomainDiskBus.Controller: Int] = [:]
        for (order, (record, bus)) in zip(disks, buses).enumerated() {
            let unit = units[bus.controller, default: 0]
            units[bus.controller] = unit + 1
            parts.append(disk(record, bus, unit, firstIndex: firstIndex[bus.controller], isFirst: order == 0))
        }
        parts += machine.interfaces.map(interface)
        parts += [
            XMLElement("serial", ["type": "pty"]),
            XMLElement("input", ["type": "tablet", "bus": "usb"]),
            XMLElement("graphics", ["type": "vnc", "autoport": "yes", "listen": "127.0.0.1"]),
            XMLElement("video", [:], [XMLElement("model", ["type": "vga"])]),
        ]
        return XMLElement("devices", [:], parts)
    }

    private func disk(
        _ record: DiskRecord, _ bus: DomainDiskBus, _ unit: Int, firstIndex: Int?, isFirst: Bool
    ) -> XMLElement {
        let sectors = (record.logicalSectorSizeInBytes, record.physicalSectorSizeInBytes)
        let hasSectors = sectors != (512, 512)
        return XMLElement(
            "disk", ["type": "file", "device": "disk"],
            [
                XMLElement("driver", ["name": "qemu", "type": record.image.format, "discard": "unmap"]),
                XMLElement("source", ["file": "\(folder)/\(record.image.file)"]),
                hasSectors
                    ? XMLElement(
                        "blockio", ["logical_block_size": "\(sectors.0)", "physical_block_size": "\(sectors.1)"])
                    : nil,
                XMLElement("target", ["dev": bus.deviceName(unit), "bus": bus.controller.bus]),
                bus.serial.map { XMLElement("serial", text: $0) },
                bus.controller.takesWorldWideName ? bus.worldWideName.map { XMLElement("wwn", text: $0) } : nil,
                isFirst ? XMLElement("boot", ["order": "1"]) : nil,
                firstIndex.map {
                    XMLElement(
                        "address",
                        [
                            "type": "drive", "controller": "\($0 + unit / DomainDiskBus.Controller.unitsEach)",
                            "bus": "0", "target": "0", "unit": "\(unit % DomainDiskBus.Controller.unitsEach)",
                        ])
                },
            ])
    }

    private func interface(_ interface: NetworkInterface) -> XMLElement? {
        guard let address = interface.permanentMacAddress ?? interface.macAddress,
            DomainXML.isUnicastMAC(address)
        else { return nil }
        return XMLElement(
            "interface", ["type": "network"],
            [
                XMLElement("mac", ["address": address]),
                XMLElement("source", ["network": "default"]),
                XMLElement("model", ["type": interface.driver == "virtio_net" ? "virtio" : "e1000e"]),
                hasLinksDown ? XMLElement("link", ["state": "down"]) : nil,
            ])
    }

    /// Tells whether `text` is six octets in hexadecimal, of one station, not all zero.
    private static func isUnicastMAC(_ text: String) -> Bool {
        let octets = text.split(separator: ":", omittingEmptySubsequences: false)
        let values = octets.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
        return octets.count == 6 && values.count == 6 && values[0] & 1 == 0 && values.contains { $0 != 0 }
    }
}
