// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import FileSystems

/// Looks at an installed Windows: its registry tells what it is.
enum WindowsSystem {
    /// Class of network adapters.
    private static let adapters = "{4D36E972-E325-11CE-BFC1-08002BE10318}"

    static func look(
        at reader: any FileSystemReader, device: String, others: [any FileSystemReader]
    ) -> InstalledSystem? {
        let tree = SystemTree(reader)
        guard let folder = ["/Windows", "/WINNT"].first(where: { tree.isDirectory($0 + "/System32/config") }) else {
            return nil
        }
        var system = InstalledSystem(device: device, family: "windows")
        system.id = "windows"
        let software = RegistryHive(reader, folder + "/System32/config/SOFTWARE")
        if let software { name(&system, software) }
        var domain: String?
        if let hive = RegistryHive(reader, folder + "/System32/config/SYSTEM"), let control = control(hive) {
            let parameters = hive.key("Services\\Tcpip\\Parameters", from: control)
            let computer = hive.key("Control\\ComputerName\\ComputerName", from: control)
            system.hostname =
                hive.text("NV Hostname", of: parameters) ?? hive.text("Hostname", of: parameters)
                ?? hive.text("ComputerName", of: computer)
            domain = hive.text("NV Domain", of: parameters) ?? hive.text("Domain", of: parameters)
            system.networkFiles = interfaces(hive, control, path: folder + "/System32/config/SYSTEM")
            // 2: started with the system.
            let service = hive.key("Services\\MSiSCSI", from: control)
            let isInUse = hive.number("Start", of: service) == 2
            system.iscsiInitiators = initiators(software, host: system.hostname, domain, isInUse: isInUse)
        }
        system.bootloaders = BootFiles.windows(tree, others)
        return system
    }

    private static func name(_ system: inout InstalledSystem, _ hive: RegistryHive) {
        guard let key = hive.key("Microsoft\\Windows NT\\CurrentVersion") else { return }
        let build = hive.text("CurrentBuild", of: key) ?? hive.text("CurrentBuildNumber", of: key)
        var name = hive.text("ProductName", of: key)
        // Windows 11 still calls itself 10 there.
        if let build, (Int(build) ?? 0) >= 22000, let text = name, text.hasPrefix("Windows 10") {
            name = "Windows 11" + text.dropFirst(10)
        }
        let release = hive.text("DisplayVersion", of: key) ?? hive.text("CSDVersion", of: key)
        system.prettyName = [name, release].compactMap { $0 }.joined(separator: " ")
        if system.prettyName?.isEmpty == true { system.prettyName = nil }
        var version = hive.text("CurrentVersion", of: key)
        if let major = hive.number("CurrentMajorVersionNumber", of: key) {
            version = "\(major).\(hive.number("CurrentMinorVersionNumber", of: key) ?? 0)"
        }
        system.versionId = [version, build].compactMap { $0 }.joined(separator: ".")
        if system.versionId?.isEmpty == true { system.versionId = nil }
    }

    /// Returns the control set that the system starts with.
    private static func control(_ hive: RegistryHive) -> RegistryHive.Key? {
        let number = hive.number("Current", of: hive.key("Select")) ?? 1
        let digits = String(number)
        let name = "ControlSet" + String(repeating: "0", count: max(3 - digits.count, 0)) + digits
        return hive.key(name) ?? hive.key("ControlSet001")
    }

    private static func interfaces(_ hive: RegistryHive, _ control: RegistryHive.Key, path: String) -> [NetworkFile] {
        guard let interfaces = hive.key("Services\\Tcpip\\Parameters\\Interfaces", from: control) else { return [] }
        // Addresses that an administrator gave to adapters.
        var macs: [String: String] = [:]
        if let adapters = hive.key("Control\\Class\\\(Self.adapters)", from: control) {
            for (_, key) in hive.subkeys(of: adapters).prefix(512) {
                guard let id = hive.text("NetCfgInstanceId", of: key), let text = hive.text("NetworkAddress", of: key)
                else { continue }
                macs[id.lowercased()] = mac(text)
            }
        }
        var files: [NetworkFile] = []
        for (id, key) in hive.subkeys(of: interfaces).prefix(512) {
            func list(_ name: String) -> [String] {
                (hive.value(name, of: key)?.string ?? "").split(whereSeparator: { $0 == "," || $0 == " " })
                    .map { String($0) }.filter { $0 != "0.0.0.0" }
            }
            var file = NetworkFile(path: path)
            let connection = hive.key("Control\\Network\\\(adapters)\\\(id)\\Connection", from: control)
            file.interface = hive.text("Name", of: connection) ?? id
            file.macAddress = macs[id.lowercased()]
            if hive.number("EnableDHCP", of: key) == 1 { file.addresses.append("dhcp") }
            let masks = list("SubnetMask")
            for (index, address) in list("IPAddress").enumerated() {
                file.addresses.append(
                    NetworkConfiguration.address(
                        address, prefix: nil, netmask: index < masks.count ? masks[index] : nil))
            }
            file.gateways = list("DefaultGateway")
            file.nameServers = list("NameServer")
            // Interfaces of tunnels and of adapters that are gone say nothing.
            let isSilent = file.addresses.isEmpty && file.nameServers.isEmpty && file.gateways.isEmpty
            if connection != nil || !isSilent { files.append(file) }
        }
        return files.sorted { ($0.interface ?? "") < ($1.interface ?? "") }
    }

    /// Returns twelve hexadecimal digits, with or without marks between them, as a MAC address.
    private static func mac(_ text: String) -> String? {
        let digits = Array(text.lowercased().filter(\.isHexDigit))
        guard digits.count == 12 else { return nil }
        return stride(from: 0, to: 12, by: 2).map { String(digits[$0..<$0 + 2]) }.joined(separator: ":")
    }

    /// Returns the name by which the iSCSI initiator logs in: its own, or the one made from the computer's name.
    ///
    /// Microsoft's "iSCSI Software Initiator and iSNS Server Timers Quick Reference".
    private static func initiators(
        _ software: RegistryHive?, host: String?, _ domain: String?, isInUse: Bool
    ) -> [String] {
        let discovery = software?.key("Microsoft\\Windows NT\\CurrentVersion\\iSCSI\\Discovery")
        if let name = software?.text("DefaultInitiatorName", of: discovery) { return [name] }
        guard isInUse, let host else { return [] }
        let full = [host, domain].compactMap { $0 }.joined(separator: ".")
        return ["iqn.1991-05.com.microsoft:" + full.lowercased()]
    }
}
