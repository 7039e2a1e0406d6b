// SPDX-License-Identifier: GPL-3.0-or-later

/// Names of PCI vendors, devices and subsystems, from the pci.ids file of the system, those that are asked for only.
///
/// pci.ids: a vendor's line `1000  Broadcom / LSI`, below it devices after one tab, below these subsystems after two.
struct PCINames: Sendable {
    /// Most bytes of the file that are read; it has 1.5 MB in 2026.
    private static let limit = 8 << 20
    private static let paths = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"]

    private var vendors: [String: String] = [:]
    private var devices: [String: String] = [:]
    private var subsystems: [String: String] = [:]

    /// Looks up `functions`; a recording keeps the lines that were found.
    init(_ sysroot: Sysroot, for functions: [PCIFunction]) {
        guard let path = Self.paths.first(where: { sysroot.exists($0) }),
            let content = sysroot.bytes(path, limit: Self.limit)
        else { return }
        let wantedVendors = Set(functions.flatMap { [$0.vendor, $0.subsystemVendor] })
        let wantedDevices = Set(functions.map { "\($0.vendor):\($0.device)" })
        let wantedSubsystems = Set(
            functions.map { "\($0.vendor):\($0.device):\($0.subsystemVendor) \($0.subsystemDevice)" })
        var excerpt: [UInt8] = []
        var vendor = ""
        var device = ""
        for line in content.split(separator: 0x0a) {
            let tabs = line.prefix { $0 == 0x09 }.count
            // The class list at the end begins with "C 00".
            guard tabs <= 2, line.first != UInt8(ascii: "#") else { continue }
            if tabs == 0, line.first == UInt8(ascii: "C") { break }
            let text = String(decoding: line.dropFirst(tabs), as: UTF8.self)
            let keyLength = tabs == 2 ? 9 : 4
            guard text.utf8.count > keyLength + 2 else { continue }
            let key = String(text.prefix(keyLength)).lowercased()
            let name = String(text.dropFirst(keyLength).drop { $0 == " " })
            switch tabs {
            case 0:
                vendor = key
                guard wantedVendors.contains(key) else { continue }
                vendors[key] = name
            case 1:
                device = key
                guard wantedDevices.contains("\(vendor):\(key)") else { continue }
                devices["\(vendor):\(key)"] = name
            default:
                guard wantedSubsystems.contains("\(vendor):\(device):\(key)") else { continue }
                subsystems["\(vendor):\(device):\(key)"] = name
            }
            excerpt += line + [0x0a]
        }
        if let canonical = sysroot.resolve(path) { sysroot.record(canonical, .file(excerpt)) }
    }

    /// Returns the name of the vendor with the four-digit number `vendor`.
    func vendor(_ vendor: String) -> String? { vendors[vendor] }

    /// Returns the name of the device.
    func device(_ function: PCIFunction) -> String? { devices["\(function.vendor):\(function.device)"] }

    /// Returns the name of the subsystem: what the server's maker calls the card.
    func subsystem(_ function: PCIFunction) -> String? {
        subsystems["\(function.vendor):\(function.device):\(function.subsystemVendor) \(function.subsystemDevice)"]
    }
}
