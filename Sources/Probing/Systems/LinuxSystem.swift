// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import FileSystems

/// Looks at an installed Linux.
enum LinuxSystem {
    /// Files of which a root has at least one.
    private static let marks = [
        "/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/etc/redhat-release", "/etc/SuSE-release",
        "/etc/debian_version",
    ]

    static func look(
        at reader: any FileSystemReader, device: String, volumes: [KnownVolume],
        open: (String) -> (any FileSystemReader)?, others: [any FileSystemReader]
    ) -> InstalledSystem? {
        var tree = SystemTree(reader)
        guard tree.isDirectory("/etc"), marks.contains(where: tree.exists) else { return nil }
        var table = MountTable(volumes: volumes)
        if let text = tree.text("/etc/fstab") { table.read(fstab: text) }
        for name in tree.names("/etc/systemd/system") where name.hasSuffix(".mount") {
            if let text = tree.text("/etc/systemd/system/\(name)") { table.read(unit: text) }
        }
        tree.mount(table.lines, open: open)

        var system = InstalledSystem(device: device, family: "linux")
        system.mounts = table.lines.map(\.entry)
        name(&system, tree)
        system.hostname = hostname(tree)
        system.networkFiles = NetworkConfiguration.read(tree)
        (system.bootloaders, system.kernels) = BootFiles.look(at: tree, others: others)
        system.iscsiInitiators = ISCSIRecords.initiators(tree)
        system.iscsiTargets = ISCSIRecords.targets(tree)
        return system
    }

    /// Tells whether swap space that `system` uses holds the memory of one that sleeps.
    ///
    /// libblkid's TYPE is `swsuspend` then.
    static func isAsleep(_ system: InstalledSystem, volumes: [KnownVolume]) -> Bool {
        system.mounts.contains { mount in
            mount.resolution == "swap" && volumes.contains { $0.device == mount.device && $0.type == "swsuspend" }
        }
    }

    /// Fills in what the system calls itself.
    private static func name(_ system: inout InstalledSystem, _ tree: SystemTree) {
        if let text = tree.text("/etc/os-release") ?? tree.text("/usr/lib/os-release") {
            let values = ConfigurationText.assignments(text)
            system.id = values["ID"]
            system.versionId = values["VERSION_ID"]
            system.prettyName = values["PRETTY_NAME"] ?? values["NAME"]
            if system.prettyName != nil { return }
        }
        if let text = tree.text("/etc/lsb-release") {
            let values = ConfigurationText.assignments(text)
            if let name = values["DISTRIB_DESCRIPTION"] {
                system.prettyName = name
                system.id = values["DISTRIB_ID"]?.lowercased()
                system.versionId = values["DISTRIB_RELEASE"]
                return
            }
        }
        if let line = tree.text("/etc/redhat-release").flatMap({ ConfigurationText.lines($0).first }) {
            system.prettyName = line
            let words = ConfigurationText.words(line)
            if let place = words.firstIndex(of: "release"), place + 1 < words.count {
                system.versionId = words[place + 1]
            }
            system.id = line.hasPrefix("Red Hat") ? "rhel" : words.first?.lowercased()
        } else if let text = tree.text("/etc/SuSE-release") {
            system.prettyName = ConfigurationText.lines(text).first
            let values = ConfigurationText.assignments(text)
            system.versionId = [values["VERSION"], values["PATCHLEVEL"]].compactMap { $0 }.joined(separator: ".")
            system.id = system.prettyName?.hasPrefix("SUSE Linux Enterprise") == true ? "sles" : "suse"
        } else if let text = tree.text("/etc/debian_version") {
            let version = ConfigurationText.trim(text)
            system.prettyName = "Debian GNU/Linux \(version)"
            system.versionId = version
            system.id = "debian"
        }
    }

    private static func hostname(_ tree: SystemTree) -> String? {
        for path in ["/etc/hostname", "/etc/HOSTNAME"] {
            if let name = tree.text(path).flatMap({ ConfigurationText.lines($0).first }) { return name }
        }
        let values = tree.text("/etc/sysconfig/network").map(ConfigurationText.assignments)
        return values?["HOSTNAME"].flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// What boots a system: bootloaders' files and kernels.
enum BootFiles {
    static func look(
        at tree: SystemTree, others: [any FileSystemReader]
    ) -> (bootloaders: [String], kernels: [String]) {
        var found: Set<String> = []
        var kernels: Set<String> = []
        if tree.exists("/etc/lilo.conf") { found.insert("lilo") }
        for folder in ["/boot", "/boot/efi", "/efi"] {
            found.formUnion(
                bootloaders {
                    tree.exists(folder + $0)
                } names: {
                    tree.names(folder + $0)
                })
        }
        for name in tree.names("/boot") where isKernel(name) { kernels.insert(name) }
        for other in others {
            let place = SystemTree(other)
            found.formUnion(bootloaders(exists: place.exists, names: place.names))
        }
        return (found.sorted(), kernels.sorted())
    }

    /// Returns the bootloaders of a Windows, in its own root and on `others`.
    static func windows(_ tree: SystemTree, _ others: [any FileSystemReader]) -> [String] {
        var found = bootloaders(exists: tree.exists, names: tree.names)
        if tree.exists("/ntldr") { found.insert("ntldr") }
        for other in others {
            let place = SystemTree(other)
            found.formUnion(bootloaders(exists: place.exists, names: place.names))
        }
        return found.sorted()
    }

    private static func isKernel(_ name: String) -> Bool {
        ["vmlinuz", "vmlinux-", "bzImage", "kernel-genkernel"].contains { name.hasPrefix($0) }
    }

    /// Returns the bootloaders whose files are below one folder, a `/boot` or an EFI system partition.
    static func bootloaders(exists: (String) -> Bool, names: (String) -> [String]) -> Set<String> {
        var found: Set<String> = []
        if exists("/grub2/grub.cfg") || exists("/grub/grub.cfg") { found.insert("grub2") }
        if exists("/grub/menu.lst") || exists("/grub/grub.conf") { found.insert("grub") }
        if exists("/extlinux/extlinux.conf") || exists("/extlinux.conf") || exists("/syslinux/syslinux.cfg")
            || exists("/syslinux.cfg")
        {
            found.insert("syslinux")
        }
        if exists("/loader/loader.conf") || exists("/EFI/systemd/systemd-bootx64.efi") { found.insert("systemd-boot") }
        if exists("/EFI/Microsoft/Boot/bootmgfw.efi") || exists("/bootmgr") { found.insert("bootmgr") }
        for vendor in names("/EFI").prefix(64) {
            let files = names("/EFI/\(vendor)").map { $0.lowercased() }
            if files.contains("grub.cfg") || files.contains(where: { $0.hasPrefix("grub") && $0.hasSuffix(".efi") }) {
                found.insert("grub2")
            }
        }
        return found
    }
}

/// The records of the iSCSI initiator: open-iscsi's files.
///
/// iscsiadm(8). Passwords stand beside what is read; they are not looked at.
enum ISCSIRecords {
    private static let maximumTargets = 4096

    /// Returns the names by which the system logs in.
    static func initiators(_ tree: SystemTree) -> [String] {
        let text = tree.text("/etc/iscsi/initiatorname.iscsi") ?? tree.text("/etc/initiatorname.iscsi") ?? ""
        let values = ConfigurationText.lines(text).compactMap { line -> String? in
            guard line.hasPrefix("InitiatorName"), let sign = line.firstIndex(of: "=") else { return nil }
            let name = ConfigurationText.trim(line[line.index(after: sign)...])
            return name.isEmpty ? nil : name
        }
        return Set(values).sorted()
    }

    /// Returns the targets of all node records, and those that discovery found without making one.
    static func targets(_ tree: SystemTree) -> [ISCSITarget] {
        var found: Set<ISCSITarget> = []
        for base in ["/var/lib/iscsi/nodes", "/etc/iscsi/nodes"] {
            for name in tree.names(base) {
                for portal in tree.names("\(base)/\(name)") where found.count < maximumTargets {
                    let path = "\(base)/\(name)/\(portal)"
                    // A file in old versions, in new ones a directory with a file for each interface.
                    let files = tree.isDirectory(path) ? tree.names(path).map { "\(path)/\($0)" } : [path]
                    let records = files.compactMap(tree.text).compactMap(record)
                    found.formUnion(records.isEmpty ? target(named: name, portal).map { [$0] } ?? [] : records)
                }
            }
        }
        for base in ["/var/lib/iscsi/send_targets", "/etc/iscsi/send_targets"] {
            for portal in tree.names(base) {
                for name in tree.names("\(base)/\(portal)") where found.count < maximumTargets {
                    let parts = name.split(separator: ",", maxSplits: 1)
                    guard parts.count == 2, let known = target(named: String(parts[0]), String(parts[1])),
                        !found.contains(where: { $0.name == known.name && $0.portal == known.portal })
                    else { continue }
                    found.insert(known)
                }
            }
        }
        return found.sorted { ($0.name, $0.portal) < ($1.name, $1.portal) }
    }

    /// Decodes a node record.
    private static func record(_ text: String) -> ISCSITarget? {
        let values = ConfigurationText.assignments(text)
        guard let name = values["node.name"], let address = values["node.conn[0].address"] else { return nil }
        let port = values["node.conn[0].port"] ?? "3260"
        return ISCSITarget(
            name: name, portal: portal(address, port),
            startup: values["node.startup"] ?? values["node.conn[0].startup"],
            user: values["node.session.auth.username"].flatMap { $0.isEmpty ? nil : $0 })
    }

    /// Decodes the name of a record: `192.0.2.9,3260,1`, with the interface's name behind it in discovery records.
    private static func target(named name: String, _ place: String) -> ISCSITarget? {
        let parts = place.split(separator: ",").map(String.init)
        guard name.hasPrefix("iqn.") || name.hasPrefix("eui.") || name.hasPrefix("naa."), parts.count >= 2 else {
            return nil
        }
        return ISCSITarget(name: name, portal: portal(parts[0], parts[1]))
    }

    private static func portal(_ address: String, _ port: String) -> String {
        address.contains(":") && !address.hasPrefix("[") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
