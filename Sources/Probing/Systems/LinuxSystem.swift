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
        open: (String) -> (any FileSystemReader)?, others: [any FileSystemReader], secrets: ISCSISecrets? = nil
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
        system.iscsiTargets = ISCSIRecords.targets(tree, secrets)
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
