// SPDX-License-Identifier: GPL-3.0-or-later

/// A PCI function as sysfs shows it: Documentation/ABI/testing/sysfs-bus-pci.
struct PCIFunction: Sendable, Hashable {
    /// Address: `0000:03:00.0`.
    var address: String
    /// Folder in sysfs, without links.
    var path: String
    /// Vendor, device and subsystem: four hexadecimal digits each, in lower case.
    var vendor: String
    var device: String
    var subsystemVendor: String
    var subsystemDevice: String
    /// Class, subclass and programming interface: six hexadecimal digits.
    var pciClass: String
    /// Name of the driver that is bound.
    var driver: String?
    /// What modules.alias is searched for.
    var modalias: String?

    /// Most functions that are looked at.
    private static let maximum = 4096

    /// Returns all functions of the machine in the order of their addresses.
    static func all(_ sysroot: Sysroot) -> [PCIFunction] {
        let folder = "/sys/bus/pci/devices"
        return sysroot.names(in: folder).prefix(maximum).compactMap { PCIFunction(sysroot, "\(folder)/\($0)", $0) }
    }

    private init?(_ sysroot: Sysroot, _ link: String, _ address: String) {
        guard let path = sysroot.resolve(link), let pciClass = Self.hex(sysroot, path, "class", 6) else { return nil }
        self.address = address
        self.path = path
        self.pciClass = pciClass
        vendor = Self.hex(sysroot, path, "vendor", 4) ?? "0000"
        device = Self.hex(sysroot, path, "device", 4) ?? "0000"
        subsystemVendor = Self.hex(sysroot, path, "subsystem_vendor", 4) ?? "0000"
        subsystemDevice = Self.hex(sysroot, path, "subsystem_device", 4) ?? "0000"
        driver = sysroot.linkName("\(path)/driver")
        modalias = sysroot.text("\(path)/modalias")
    }

    private static func hex(_ sysroot: Sysroot, _ path: String, _ name: String, _ digits: Int) -> String? {
        guard let text = sysroot.text("\(path)/\(name)")?.lowercased(), text.hasPrefix("0x"),
            let value = UInt32(text.dropFirst(2), radix: 16)
        else { return nil }
        let found = String(value, radix: 16)
        return String(repeating: "0", count: max(digits - found.count, 0)) + found.suffix(digits)
    }
}
