// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// What an installed Linux's files say of its network interfaces.
enum NetworkConfiguration {
    /// Most interfaces that are kept.
    private static let maximumFiles = 4096

    /// Reads the files of every scheme that is there: several may be, of which one is in use.
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        var files: [NetworkFile] = []
        files += IfcfgFiles.read(tree)
        files += KeyFiles.read(tree)
        files += InterfacesFile.read(tree)
        files += NetplanFiles.read(tree)
        files += NetworkdFiles.read(tree)
        files += names(tree)
        if let text = tree.text("/etc/resolv.conf") {
            var file = NetworkFile(path: "/etc/resolv.conf")
            file.nameServers = ConfigurationText.lines(text, comments: ["#", ";"]).map(ConfigurationText.words)
                .filter { $0.first == "nameserver" && $0.count > 1 }.map { $0[1] }
            if !file.nameServers.isEmpty { files.append(file) }
        }
        return Array(files.prefix(maximumFiles))
    }

    /// Returns the names that udev's rules give to MAC addresses.
    private static func names(_ tree: SystemTree) -> [NetworkFile] {
        let path = "/etc/udev/rules.d/70-persistent-net.rules"
        guard let text = tree.text(path) else { return [] }
        return ConfigurationText.lines(text).compactMap { line in
            func value(_ key: String) -> String? {
                guard let start = line.firstRange(of: key + "\"")?.upperBound else { return nil }
                return line[start...].firstIndex(of: "\"").map { String(line[start..<$0]) }
            }
            guard let mac = mac(value("ATTR{address}==") ?? value("SYSFS{address}==")), let name = value("NAME=")
            else { return nil }
            var file = NetworkFile(path: path)
            (file.interface, file.macAddress) = (name, mac)
            return file
        }
    }

    /// Returns `text` as a MAC address in lower case with colons; nil when it is none.
    static func mac(_ text: String?) -> String? {
        guard let text else { return nil }
        let parts = ConfigurationText.unquote(text).lowercased().split(whereSeparator: { $0 == ":" || $0 == "-" })
        guard parts.count == 6, parts.allSatisfy({ $0.count == 2 && UInt8($0, radix: 16) != nil }) else { return nil }
        return parts.joined(separator: ":")
    }

    /// Returns `address` with the length of its prefix, from `prefix` or a netmask, where it has none itself.
    static func address(_ address: String, prefix: String?, netmask: String?) -> String {
        if address.contains("/") { return address }
        if let prefix, !prefix.isEmpty { return "\(address)/\(prefix)" }
        guard let netmask, let length = prefixLength(netmask) else { return address }
        return "\(address)/\(length)"
    }

    /// Returns how many bits `netmask` sets, given as four numbers or as that count itself.
    static func prefixLength(_ netmask: String) -> Int? {
        if let length = Int(netmask), (0...32).contains(length) { return length }
        let bytes = netmask.split(separator: ".").compactMap { UInt8($0) }
        guard bytes.count == 4 else { return nil }
        let bits = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let length = (~bits).leadingZeroBitCount
        return bits == (length == 0 ? 0 : UInt32.max << UInt32(32 - length)) ? length : nil
    }

    /// Returns the VLAN's number and parent that a name holds: `eth0.100`, `vlan100`.
    static func vlan(ofName name: String) -> (number: Int?, parent: String?) {
        if let dot = name.lastIndex(of: "."), let number = Int(name[name.index(after: dot)...]) {
            return (number, String(name[..<dot]))
        }
        return name.hasPrefix("vlan") ? (Int(name.dropFirst(4)), nil) : (nil, nil)
    }
}

/// Files of Red Hat's and SUSE's network scripts: `ifcfg-eth0`.
///
/// ifcfg(5), wicked's ifcfg(5), and initscripts' sysconfig.txt.
enum IfcfgFiles {
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        var files: [NetworkFile] = []
        /// Bonds and bridges by their members, where the masters' files name them.
        var bonds: [String: String] = [:]
        var bridges: [String: String] = [:]
        for folder in ["/etc/sysconfig/network-scripts", "/etc/sysconfig/network"] {
            for name in tree.names(folder) where name.hasPrefix("ifcfg-") && name != "ifcfg-lo" {
                let isCopy = ["~", ".bak", ".orig", ".old", ".rpmsave", ".rpmnew"].contains { name.hasSuffix($0) }
                guard !isCopy, let text = tree.text("\(folder)/\(name)") else { continue }
                let values = ConfigurationText.assignments(text)
                var file = NetworkFile(path: "\(folder)/\(name)")
                file.interface = values["DEVICE"] ?? String(name.dropFirst(6))
                fill(&file, values)
                for (key, value) in values where key.hasPrefix("BONDING_SLAVE") { bonds[value] = file.interface }
                for port in ConfigurationText.words(values["BRIDGE_PORTS"] ?? "") { bridges[port] = file.interface }
                files.append(file)
            }
        }
        for index in files.indices {
            guard let name = files[index].interface else { continue }
            files[index].bond = files[index].bond ?? bonds[name]
            files[index].bridge = files[index].bridge ?? bridges[name]
        }
        return files + common(tree)
    }

    private static func fill(_ file: inout NetworkFile, _ values: [String: String]) {
        func value(_ keys: String...) -> String? {
            keys.lazy.compactMap { values[$0] }.first { !$0.isEmpty }
        }
        file.macAddress = NetworkConfiguration.mac(value("HWADDR", "LLADDR", "MACADDR"))
        let protocols = value("BOOTPROTO")?.lowercased() ?? ""
        if protocols.hasPrefix("dhcp") || protocols == "bootp" { file.addresses.append("dhcp") }
        // IPADDR, IPADDR0, IPADDR_1: each with PREFIX and NETMASK of the same ending.
        for key in values.keys.filter({ $0.hasPrefix("IPADDR") }).sorted() {
            let ending = key.dropFirst(6)
            guard let address = value(key), ending.allSatisfy({ $0.isNumber || $0 == "_" }) else { continue }
            file.addresses.append(
                NetworkConfiguration.address(
                    address, prefix: value("PREFIX\(ending)", "PREFIXLEN\(ending)"), netmask: value("NETMASK\(ending)"))
            )
        }
        if let address = value("IPV6ADDR") { file.addresses.append(address) }
        file.addresses += ConfigurationText.words(value("IPV6ADDR_SECONDARIES") ?? "")
        file.gateways = [value("GATEWAY", "GATEWAY0"), value("IPV6_DEFAULTGW")].compactMap { $0 }
        file.nameServers = values.keys.filter { $0.hasPrefix("DNS") && Int($0.dropFirst(3)) != nil }.sorted()
            .compactMap { value($0) }
        file.bond = value("MASTER", "TEAM_MASTER")
        file.bridge = value("BRIDGE")
        if let options = value("BONDING_OPTS", "BONDING_MODULE_OPTS") {
            file.bondMode = ConfigurationText.words(options).first { $0.hasPrefix("mode=") }.map {
                String($0.dropFirst(5))
            }
        }
        let isVLAN = value("VLAN")?.lowercased() == "yes" || value("TYPE") == "Vlan" || value("ETHERDEVICE") != nil
        if isVLAN, let name = file.interface {
            let named = NetworkConfiguration.vlan(ofName: name)
            file.vlan = value("VLAN_ID", "VID").flatMap { Int($0) } ?? named.number
            file.parent = value("PHYSDEV", "ETHERDEVICE") ?? named.parent
        }
    }

    /// Returns what holds for all interfaces: gateways and name servers that stand in files of their own.
    private static func common(_ tree: SystemTree) -> [NetworkFile] {
        var files: [NetworkFile] = []
        let values = tree.text("/etc/sysconfig/network").map(ConfigurationText.assignments) ?? [:]
        if let gateway = values["GATEWAY"], !gateway.isEmpty {
            var file = NetworkFile(path: "/etc/sysconfig/network")
            file.gateways = [gateway]
            file.interface = values["GATEWAYDEV"]
            files.append(file)
        }
        let routes = ConfigurationText.lines(tree.text("/etc/sysconfig/network/routes") ?? "").map(
            ConfigurationText.words)
        let gateways = routes.filter { $0.count > 1 && $0[0] == "default" && $0[1] != "-" }.map { $0[1] }
        if !gateways.isEmpty {
            var file = NetworkFile(path: "/etc/sysconfig/network/routes")
            file.gateways = gateways
            files.append(file)
        }
        let netconfig = tree.text("/etc/sysconfig/network/config").map(ConfigurationText.assignments) ?? [:]
        let servers = ConfigurationText.words(netconfig["NETCONFIG_DNS_STATIC_SERVERS"] ?? "")
        if !servers.isEmpty {
            var file = NetworkFile(path: "/etc/sysconfig/network/config")
            file.nameServers = servers
            files.append(file)
        }
        return files
    }
}
