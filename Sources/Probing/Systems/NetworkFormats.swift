// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// NetworkManager's connections.
///
/// nm-settings-keyfile(5).
enum KeyFiles {
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        var files: [NetworkFile] = []
        /// Masters may be named by their connection's UUID.
        var interfaces: [String: String] = [:]
        for folder in ["/etc/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"] {
            for name in tree.names(folder) {
                guard let text = tree.text("\(folder)/\(name)") else { continue }
                let sections = Sections(text)
                guard sections.value("connection", "type") != nil else { continue }
                var file = NetworkFile(path: "\(folder)/\(name)")
                file.interface = sections.value("connection", "interface-name")
                if let uuid = sections.value("connection", "uuid") { interfaces[uuid] = file.interface }
                fill(&file, sections)
                files.append(file)
            }
        }
        for index in files.indices {
            files[index].bond = files[index].bond.map { interfaces[$0] ?? $0 }
            files[index].bridge = files[index].bridge.map { interfaces[$0] ?? $0 }
            files[index].parent = files[index].parent.map { interfaces[$0] ?? $0 }
        }
        return files
    }

    private static func fill(_ file: inout NetworkFile, _ sections: Sections) {
        file.macAddress =
            ["ethernet", "802-3-ethernet", "infiniband"].lazy.compactMap {
                NetworkConfiguration.mac(sections.value($0, "mac-address"))
            }.first
        let master = sections.value("connection", "master") ?? sections.value("connection", "controller")
        switch sections.value("connection", "slave-type") ?? sections.value("connection", "port-type") {
        case "bridge": file.bridge = master
        default: file.bond = master
        }
        file.bondMode = sections.value("bond", "mode")
        file.vlan = sections.value("vlan", "id").flatMap { Int($0) }
        file.parent = sections.value("vlan", "parent")
        for family in ["ipv4", "ipv6"] {
            if sections.value(family, "method") == "auto", family == "ipv4" { file.addresses.append("dhcp") }
            let keys = Set(sections.all.filter { $0.name == family }.flatMap { $0.values.map(\.key) })
            for key in keys.sorted() where key.hasPrefix("address") {
                let list = sections.value(family, key) ?? ""
                // One with its gateway behind a comma, or a list of them with semicolons.
                for item in list.split(separator: ";") {
                    let parts = item.split(separator: ",").map(ConfigurationText.trim)
                    guard let address = parts.first, address.contains("/") else { continue }
                    file.addresses.append(address)
                    if parts.count > 1, !["0.0.0.0", "::"].contains(parts[1]) { file.gateways.append(parts[1]) }
                }
            }
            if let gateway = sections.value(family, "gateway") { file.gateways.append(gateway) }
            file.nameServers += (sections.value(family, "dns") ?? "").split(whereSeparator: { $0 == ";" || $0 == "," })
                .map(ConfigurationText.trim).filter { !$0.isEmpty }
        }
    }
}

/// Debian's /etc/network/interfaces.
///
/// interfaces(5).
enum InterfacesFile {
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        var waiting = ["/etc/network/interfaces"]
        var seen: Set<String> = []
        var files: [NetworkFile] = []
        var members: [String: String] = [:]
        while let path = waiting.popLast() {
            guard seen.count < 256, seen.insert(path).inserted, let text = tree.text(path) else { continue }
            var current: NetworkFile?
            var netmask: String?
            func finish() {
                guard var file = current else { return }
                file.addresses = file.addresses.map {
                    $0 == "dhcp" ? $0 : NetworkConfiguration.address($0, prefix: nil, netmask: netmask)
                }
                if let index = files.firstIndex(where: { $0.path == path && $0.interface == file.interface }) {
                    // A stanza for each address family: one interface.
                    files[index].addresses += file.addresses
                    files[index].gateways += file.gateways
                    files[index].nameServers += file.nameServers
                } else {
                    files.append(file)
                }
            }
            for line in ConfigurationText.lines(text) {
                let words = ConfigurationText.words(line)
                guard let key = words.first?.replacing("_", with: "-"), words.count > 1 else { continue }
                switch key {
                case "iface", "auto", "mapping", "source", "source-directory", "no-auto-down", "no-scripts", "rename":
                    finish()
                    (current, netmask) = (nil, nil)
                    if key.hasPrefix("source") { waiting += words.dropFirst().flatMap { expand($0, tree) } }
                    guard key == "iface", words[1] != "lo" else { continue }
                    var file = NetworkFile(path: path)
                    file.interface = words[1]
                    (file.vlan, file.parent) = NetworkConfiguration.vlan(ofName: words[1])
                    if words.last == "dhcp" { file.addresses.append("dhcp") }
                    current = file
                case _ where key.hasPrefix("allow-"):
                    finish()
                    (current, netmask) = (nil, nil)
                case "address": current?.addresses.append(words[1])
                case "netmask": netmask = words[1]
                case "gateway": current?.gateways.append(words[1])
                case "dns-nameservers": current?.nameServers += words.dropFirst()
                case "hwaddress": current?.macAddress = NetworkConfiguration.mac(words.last)
                case "bond-master": current?.bond = words[1]
                case "bond-mode": current?.bondMode = words[1]
                case "bond-slaves":
                    for word in words.dropFirst() where word != "none" { members[word] = current?.interface }
                case "vlan-raw-device": current?.parent = words[1]
                case "bridge-ports":
                    for index in files.indices where words.dropFirst().contains(files[index].interface ?? "") {
                        files[index].bridge = current?.interface
                    }
                default: break
                }
            }
            finish()
        }
        for index in files.indices {
            files[index].bond = files[index].bond ?? files[index].interface.flatMap { members[$0] }
        }
        return files.sorted { ($0.path, $0.interface ?? "") < ($1.path, $1.interface ?? "") }
    }

    /// Returns the files that a `source` line means: a path, a directory, or one with `*` as its last name.
    private static func expand(_ pattern: String, _ tree: SystemTree) -> [String] {
        let pattern = pattern.hasPrefix("/") ? pattern : "/etc/network/\(pattern)"
        guard let slash = pattern.lastIndex(of: "/") else { return [] }
        let folder = String(pattern[..<slash])
        let last = pattern[pattern.index(after: slash)...]
        if let star = last.firstIndex(of: "*") {
            let (head, tail) = (last[..<star], last[last.index(after: star)...])
            return tree.names(folder).filter { $0.hasPrefix(head) && $0.hasSuffix(tail) }.map { "\(folder)/\($0)" }
        }
        return tree.isDirectory(pattern) ? tree.names(pattern).map { "\(pattern)/\($0)" } : [pattern]
    }
}

/// Ubuntu's netplan.
///
/// netplan(5).
enum NetplanFiles {
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        var files: [NetworkFile] = []
        var bonds: [String: String] = [:]
        var bridges: [String: String] = [:]
        for folder in ["/etc/netplan", "/lib/netplan"] {
            for name in tree.names(folder) where name.hasSuffix(".yaml") {
                guard let text = tree.text("\(folder)/\(name)") else { continue }
                let network = YAMLText.parse(text)["network"]
                for kind in ["ethernets", "bonds", "bridges", "vlans"] {
                    for (interface, value) in network?[kind]?.pairs ?? [] {
                        var file = NetworkFile(path: "\(folder)/\(name)")
                        file.interface = value["set-name"]?.text ?? value["match"]?["name"]?.text ?? interface
                        fill(&file, value)
                        for member in value["interfaces"]?.elements.compactMap(\.text) ?? [] {
                            if kind == "bonds" { bonds[member] = interface } else { bridges[member] = interface }
                        }
                        if let member = bonds[interface] { file.bond = member }
                        files.append(file)
                    }
                }
                for (interface, _) in network?["ethernets"]?.pairs ?? [] {
                    // Members are named by their key, whatever name the interface is given.
                    guard let value = network?["ethernets"]?[interface] else { continue }
                    let shown = value["set-name"]?.text ?? value["match"]?["name"]?.text ?? interface
                    if let bond = bonds[interface] { bonds[shown] = bond }
                    if let bridge = bridges[interface] { bridges[shown] = bridge }
                }
            }
        }
        for index in files.indices {
            guard let name = files[index].interface else { continue }
            files[index].bond = bonds[name]
            files[index].bridge = bridges[name]
        }
        return files
    }

    private static func fill(_ file: inout NetworkFile, _ value: YAMLText) {
        file.macAddress = NetworkConfiguration.mac(value["match"]?["macaddress"]?.text ?? value["macaddress"]?.text)
        if ["true", "yes", "on"].contains(value["dhcp4"]?.text?.lowercased() ?? "") { file.addresses.append("dhcp") }
        for address in value["addresses"]?.elements ?? [] { if let text = address.text { file.addresses.append(text) } }
        if case .list(let addresses) = value["addresses"] {
            // An address with options is a map with the address as its key.
            file.addresses += addresses.flatMap { $0.pairs.map(\.key) }
        }
        file.gateways = [value["gateway4"]?.text, value["gateway6"]?.text].compactMap { $0 }
        if case .list(let routes) = value["routes"] {
            for route in routes where ["default", "0.0.0.0/0", "::/0"].contains(route["to"]?.text ?? "") {
                if let gateway = route["via"]?.text { file.gateways.append(gateway) }
            }
        }
        file.nameServers = value["nameservers"]?["addresses"]?.elements.compactMap(\.text) ?? []
        file.bondMode = value["parameters"]?["mode"]?.text
        file.vlan = value["id"]?.text.flatMap { Int($0) }
        file.parent = value["link"]?.text
    }
}

/// systemd-networkd's files.
///
/// systemd.network(5), systemd.netdev(5), systemd.link(5).
enum NetworkdFiles {
    static func read(_ tree: SystemTree) -> [NetworkFile] {
        let folder = "/etc/systemd/network"
        var files: [NetworkFile] = []
        var parents: [String: String] = [:]
        for name in tree.names(folder) {
            let kind = name.split(separator: ".").last ?? ""
            guard ["network", "netdev", "link"].contains(kind), let text = tree.text("\(folder)/\(name)") else {
                continue
            }
            let sections = Sections(text)
            var file = NetworkFile(path: "\(folder)/\(name)")
            file.macAddress = NetworkConfiguration.mac(
                (sections.value("match", "permanentmacaddress") ?? sections.value("match", "macaddress"))
                    .flatMap { ConfigurationText.words($0).first })
            switch kind {
            case "netdev":
                file.interface = sections.value("netdev", "name")
                file.macAddress = NetworkConfiguration.mac(sections.value("netdev", "macaddress"))
                file.vlan = sections.value("vlan", "id").flatMap { Int($0) }
                file.bondMode = sections.value("bond", "mode")
            case "link": file.interface = sections.value("link", "name")
            default:
                file.interface = sections.value("match", "name")
                if ["yes", "true", "ipv4", "both", "on"].contains(sections.value("network", "dhcp")?.lowercased() ?? "")
                {
                    file.addresses.append("dhcp")
                }
                file.addresses += sections.values("network", "address") + sections.values("address", "address")
                file.gateways = sections.values("network", "gateway")
                for route in sections.all where route.name == "route" {
                    let target = route.values.first { $0.key == "destination" }?.value
                    guard target == nil || ["0.0.0.0/0", "::/0"].contains(target ?? "") else { continue }
                    file.gateways += route.values.filter { $0.key == "gateway" }.map(\.value)
                }
                file.nameServers = sections.values("network", "dns").flatMap { ConfigurationText.words($0) }
                file.bond = sections.value("network", "bond")
                file.bridge = sections.value("network", "bridge")
                for child in sections.values("network", "vlan").flatMap({ ConfigurationText.words($0) }) {
                    parents[child] = file.interface
                }
            }
            files.append(file)
        }
        for index in files.indices where files[index].vlan != nil {
            files[index].parent = files[index].interface.flatMap { parents[$0] }
        }
        return files
    }
}
