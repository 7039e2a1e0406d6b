// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The physical network interfaces: Documentation/ABI/testing/sysfs-class-net.
struct NetworkInterfaces {
    private static let maximum = 1024

    let sysroot: Sysroot
    let functions: [PCIFunction]
    let names: PCINames

    /// Returns the interfaces in the order of their PCI addresses, then names.
    func all() -> [NetworkInterface] {
        let found = sysroot.names(in: "/sys/class/net").prefix(Self.maximum).compactMap { name in
            sysroot.resolve("/sys/class/net/\(name)").flatMap { interface(name, $0) }
        }
        return found.map { interface in
            var interface = interface
            if let function = functions.first(where: { $0.address == interface.pciAddress }) {
                interface.vendor = names.vendor(function.vendor) ?? "0x\(function.vendor)"
                interface.product = names.device(function) ?? "0x\(function.device)"
            }
            return interface
        }.sorted { ($0.pciAddress ?? "~", $0.name) < ($1.pciAddress ?? "~", $1.name) }
    }

    private func interface(_ name: String, _ path: String) -> NetworkInterface? {
        // Bridges, bonds and tunnels have no device; type 1 is Ethernet, 32 InfiniBand.
        guard let device = sysroot.resolve("\(path)/device"), !path.hasPrefix("/sys/devices/virtual/") else {
            return nil
        }
        var interface = NetworkInterface(name: name)
        interface.macAddress = sysroot.text("\(path)/address")?.lowercased()
        // 0: the address burnt in. In a bond the slave keeps its own there.
        let permanent = sysroot.text("\(path)/bonding_slave/perm_hwaddr")?.lowercased()
        if permanent != interface.macAddress { interface.permanentMacAddress = permanent }
        // Reading the carrier of an interface that is down is an error.
        interface.hasCarrier = sysroot.text("\(path)/carrier").map { $0 == "1" }
        if let speed = sysroot.number("\(path)/speed"), speed > 0, speed < 10_000_000 {
            interface.speedMbps = Int(speed)
        }
        interface.driver = sysroot.linkName("\(device)/driver")
        let function = functions.filter { path.hasPrefix("\($0.path)/") }.max { $0.path.count < $1.path.count }
        interface.pciAddress = function?.address
        interface.predictableNames = predictableNames(interface, function, path, device)
        return interface
    }

    /// The names in the order in which udev's default policy tries them: onboard, slot, path; then the MAC's.
    ///
    /// systemd.net-naming-scheme(7).
    private func predictableNames(
        _ interface: NetworkInterface, _ function: PCIFunction?, _ path: String, _ device: String
    ) -> [String] {
        guard let prefix = prefix(path) else { return [] }
        var names: [String] = []
        if let function {
            let port = port(path)
            let onboard = sysroot.number("\(function.path)/acpi_index") ?? sysroot.number("\(function.path)/index")
            if let onboard, onboard > 0, onboard < 16_384 { names.append("\(prefix)o\(onboard)\(port)") }
            let parts = function.address.split { $0 == ":" || $0 == "." }
            if parts.count == 4, let domain = Int(parts[0], radix: 16), let bus = Int(parts[1], radix: 16),
                let slot = Int(parts[2], radix: 16), let number = Int(parts[3], radix: 16)
            {
                let others = functions.contains {
                    $0.address != function.address && $0.address.hasPrefix(function.address.dropLast(1))
                }
                let start = prefix + (domain > 0 ? "P\(domain)" : "")
                let end = (number > 0 || others ? "f\(number)" : "") + (usbSuffix(device) ?? port)
                if let hotplug = hotplugSlot(function) { names.append("\(start)s\(hotplug)\(end)") }
                names.append("\(start)p\(bus)s\(slot)\(end)")
            }
        }
        // 0: the address is the device's own, neither random nor set.
        if let address = interface.macAddress, sysroot.text("\(path)/addr_assign_type") ?? "0" == "0",
            address.split(separator: ":").count == 6
        {
            names.append("\(prefix)x\(address.filter(\.isHexDigit))")
        }
        return names
    }

    /// Type 1 is Ethernet, 32 InfiniBand, 256 SLIP: linux/if_arp.h.
    private func prefix(_ path: String) -> String? {
        let event = sysroot.text("\(path)/uevent") ?? ""
        switch sysroot.number("\(path)/type") ?? 1 {
        case 1: return event.contains("DEVTYPE=wlan") ? "wl" : event.contains("DEVTYPE=wwan") ? "ww" : "en"
        case 32: return "ib"
        case 256: return "sl"
        default: return nil
        }
    }

    /// The port of a device with several: its name, or its number when that is not 0.
    private func port(_ path: String) -> String {
        if let name = sysroot.text("\(path)/phys_port_name") { return "n\(name)" }
        return sysroot.number("\(path)/dev_port").flatMap { $0 > 0 && $0 < 4096 ? "d\($0)" : nil } ?? ""
    }

    /// The hotplug slot that the device, or one above it, is in; none where that is a bridge, with others behind it.
    private func hotplugSlot(_ function: PCIFunction) -> Int? {
        let slots = sysroot.names(in: "/sys/bus/pci/slots").prefix(1024).compactMap { name -> (Int, String)? in
            guard let number = Int(name), number > 0 else { return nil }
            return sysroot.text("/sys/bus/pci/slots/\(name)/address").map { (number, $0) }
        }
        for address in function.path.split(separator: "/").filter({ PCIFunction.isAddress($0) }).reversed().prefix(32) {
            guard let slot = slots.first(where: { address.hasPrefix($0.1) }) else { continue }
            let isBridge = functions.contains { $0.address == address && $0.pciClass.hasPrefix("0604") }
            return isBridge ? nil : slot.0
        }
        return nil
    }

    /// Ports, configuration and interface of a USB device: `1-4.2:1.0` gives `u4u2`.
    private func usbSuffix(_ device: String) -> String? {
        let parts = (device.split(separator: "/").last ?? "").split(separator: ":")
        guard parts.count == 2, let dash = parts[0].firstIndex(of: "-"), parts[0].first?.isNumber == true else {
            return nil
        }
        let ports = parts[0][parts[0].index(after: dash)...].split(separator: ".").map { "u\($0)" }.joined()
        let numbers = parts[1].split(separator: ".")
        guard numbers.count == 2 else { return nil }
        return ports + (numbers[0] == "1" ? "" : "c\(numbers[0])") + (numbers[1] == "0" ? "" : "i\(numbers[1])")
    }
}
