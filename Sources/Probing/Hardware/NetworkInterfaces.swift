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
        interface.predictableNames = predictableNames(interface, function, path)
        return interface
    }

    /// systemd.net-naming-scheme(7): onboard, then path, then MAC.
    private func predictableNames(
        _ interface: NetworkInterface, _ function: PCIFunction?, _ path: String
    ) -> [String] {
        var names: [String] = []
        if let function {
            let onboard = sysroot.number("\(function.path)/acpi_index") ?? sysroot.number("\(function.path)/index")
            if let onboard, onboard > 0, onboard < 16_384 { names.append("eno\(onboard)") }
            let parts = function.address.split { $0 == ":" || $0 == "." }
            if parts.count == 4, let domain = Int(parts[0], radix: 16), let bus = Int(parts[1], radix: 16),
                let slot = Int(parts[2], radix: 16), let number = Int(parts[3], radix: 16)
            {
                let others = functions.contains {
                    $0.address != function.address && $0.address.hasPrefix(function.address.dropLast(1))
                }
                let device = sysroot.number("\(path)/dev_port").flatMap { $0 > 0 && $0 < 4096 ? "d\($0)" : nil } ?? ""
                names.append(
                    "en" + (domain > 0 ? "P\(domain)" : "") + "p\(bus)s\(slot)"
                        + (number > 0 || others ? "f\(number)" : "") + device)
            }
        }
        if let address = interface.macAddress { names.append("enx\(address.filter(\.isHexDigit))") }
        return names
    }
}
