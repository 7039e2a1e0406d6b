// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The mass-storage controllers: PCI class 01, Fibre Channel (0c04), and whatever else has SCSI hosts of an HBA.
struct StorageControllers {
    let sysroot: Sysroot
    let functions: [PCIFunction]
    let names: PCINames

    /// Returns the controllers in the order of their addresses, their disks not yet filled in.
    func all() -> [StorageController] {
        let hosts = scsiHosts()
        let storage = functions.filter { function in
            function.pciClass.hasPrefix("01") || function.pciClass.hasPrefix("0c04")
                || hosts.contains { isBelow($0.path, function.path, functions) && isHBA($0.name) }
        }
        let aliases = ModuleAliases(
            sysroot, for: storage.filter { $0.driver == nil }.compactMap(\.modalias).sorted())
        return storage.map { function in
            var controller = StorageController(
                pciAddress: function.address, pciClass: function.pciClass,
                pciId: "\(function.vendor):\(function.device)", kind: Self.kind(function))
            if function.subsystemVendor != "0000" {
                controller.pciSubsystemId = "\(function.subsystemVendor):\(function.subsystemDevice)"
            }
            controller.vendor = names.vendor(function.vendor)
            controller.product = names.device(function)
            controller.subsystem = names.subsystem(function)
            controller.driver = function.driver
            let claims = function.driver == nil ? aliases.claims(function.modalias) : []
            controller.modules = claims.map(\.module)
            controller.availableModules = claims.filter(\.isAvailable).map(\.module)
            let own = hosts.filter { isBelow($0.path, function.path, functions) }
            controller.hosts = own.map(\.name)
            controller.ports = own.compactMap { port($0.name) }
            if controller.ports.contains(where: { $0.name?.hasPrefix("0x") == true }) { controller.kind = "fc" }
            controller.hidingMode = hidingMode(function)
            return controller
        }
    }

    private func scsiHosts() -> [(name: String, path: String)] {
        sysroot.names(in: "/sys/class/scsi_host").filter { $0.hasPrefix("host") }.compactMap { name in
            sysroot.resolve("/sys/class/scsi_host/\(name)").map { (name, $0) }
        }.sorted { (Int($0.0.dropFirst(4)) ?? 0) < (Int($1.0.dropFirst(4)) ?? 0) }
    }

    /// Tells whether `path` lies below the function `folder`, and below no function that is nearer.
    private func isBelow(_ path: String, _ folder: String, _ functions: [PCIFunction]) -> Bool {
        guard path.hasPrefix("\(folder)/") else { return false }
        return !functions.contains { $0.path.count > folder.count && path.hasPrefix("\($0.path)/") }
    }

    private func isHBA(_ host: String) -> Bool {
        sysroot.exists("/sys/class/fc_host/\(host)")
            || (sysroot.exists("/sys/class/iscsi_host/\(host)")
                && sysroot.text("/sys/class/scsi_host/\(host)/proc_name") != "iscsi_tcp")
    }

    /// Documentation/ABI/testing/sysfs-class-fc_host, drivers/scsi/scsi_transport_iscsi.c.
    private func port(_ host: String) -> HostPort? {
        let fibre = "/sys/class/fc_host/\(host)"
        if sysroot.exists(fibre) {
            return HostPort(
                host: host, name: sysroot.text("\(fibre)/port_name"), state: sysroot.text("\(fibre)/port_state"),
                speed: sysroot.text("\(fibre)/speed"))
        }
        let iscsi = "/sys/class/iscsi_host/\(host)"
        guard sysroot.exists(iscsi) else { return nil }
        return HostPort(
            host: host, name: sysroot.text("\(iscsi)/initiatorname"), state: sysroot.text("\(iscsi)/port_state"),
            speed: sysroot.text("\(iscsi)/port_speed"))
    }

    /// PCI Code and ID Assignment Specification, class 01h and 0C04h.
    private static func kind(_ function: PCIFunction) -> String {
        if isVMD(function) { return "vmd" }
        if function.vendor == "1af4" { return "virtio" }
        switch function.pciClass.prefix(4) {
        case "0100": return "scsi"
        case "0101": return "ide"
        case "0104": return "raid"
        case "0106": return function.pciClass.hasSuffix("01") ? "ahci" : "sata"
        case "0107": return "sas"
        case "0108": return "nvme"
        case "0c04": return "fc"
        default: return "other"
        }
    }

    /// Intel Volume Management Device: linux drivers/pci/controller/vmd.c, vmd_ids.
    private static func isVMD(_ function: PCIFunction) -> Bool {
        function.vendor == "8086"
            && ["201d", "28c0", "467f", "4c3d", "7d0b", "9a0b", "a77f", "ad0b", "b06f", "b60b"].contains(
                function.device)
    }

    /// Returns the firmware RAID mode that keeps disks from their usual drivers.
    private func hidingMode(_ function: PCIFunction) -> String? {
        // drivers/ata/ahci.c counts NVMe drives that RST mode has taken behind the SATA controller.
        if let remapped = sysroot.number("\(function.path)/remapped_nvme"), remapped > 0 { return "Intel RST" }
        if Self.isVMD(function) { return function.driver == "vmd" ? nil : "Intel VMD" }
        guard function.pciClass.hasPrefix("0104"), function.driver != "ahci" else { return nil }
        switch function.vendor {
        // Desktop and server chipsets' SATA in RAID mode, without the AHCI class; real Intel RAID cards have LSI's IDs.
        case "8086": return "Intel RST"
        case "1022", "1002": return "AMD RAID"
        default: return nil
        }
    }
}
