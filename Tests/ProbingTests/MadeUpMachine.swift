// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

@testable internal import Probing

/// A machine written by hand from the kernel's documented sysfs attributes: for hardware that no emulator has.
struct MadeUpMachine {
    private(set) var entries: [String: Sysroot.Entry] = [:]

    /// Adds a PCI function below the root bus.
    mutating func add(
        _ address: String, _ pciClass: String, _ id: String, driver: String?, subsystem: String = "0000:0000",
        files: [String: String] = [:]
    ) {
        let path = "/sys/devices/pci0000:00/\(address)"
        let parts = id.split(separator: ":")
        let other = subsystem.split(separator: ":")
        entries["/sys/bus/pci/devices/\(address)"] = .link("../../../devices/pci0000:00/\(address)")
        file("\(path)/class", "0x\(pciClass)")
        file("\(path)/vendor", "0x\(parts[0])")
        file("\(path)/device", "0x\(parts[1])")
        file("\(path)/subsystem_vendor", "0x\(other[0])")
        file("\(path)/subsystem_device", "0x\(other[1])")
        file(
            "\(path)/modalias",
            "pci:v0000\(parts[0].uppercased())d0000\(parts[1].uppercased())sv00000000sd00000000bc\(pciClass.prefix(2))sc"
                + "\(pciClass.dropFirst(2).prefix(2))i\(pciClass.suffix(2))")
        if let driver {
            entries["\(path)/driver"] = .link("../../../bus/pci/drivers/\(driver)")
            entries["/sys/bus/pci/drivers/\(driver)"] = .folder
        }
        for (name, text) in files { file("\(path)/\(name)", text) }
    }

    /// Adds a SCSI host's class links.
    mutating func host(_ number: Int, at path: String, driver: String) {
        entries["/sys/class/scsi_host/host\(number)"] = .link(
            "../../devices/\(path)/host\(number)/scsi_host/host\(number)")
        file("/sys/devices/\(path)/host\(number)/scsi_host/host\(number)/proc_name", driver)
    }

    /// Adds a block device whose device's folder is `path` below /sys/devices.
    mutating func disk(
        _ name: String, at path: String, sectors: Int64 = 2_097_152, block: [String: String] = [:],
        device: [String: String] = [:], logical: Int = 512
    ) {
        let folder = "/sys/devices/\(path)/block/\(name)"
        entries["/sys/block/\(name)"] = .link("../devices/\(path)/block/\(name)")
        entries["\(folder)/device"] = .link("../../../" + (path.split(separator: "/").last ?? ""))
        file("\(folder)/size", "\(sectors)")
        file("\(folder)/queue/logical_block_size", "\(logical)")
        file("\(folder)/queue/physical_block_size", "\(max(logical, 512))")
        file("\(folder)/removable", "0")
        file("\(folder)/ro", "0")
        for (name, text) in block { file("\(folder)/\(name)", text) }
        for (name, text) in device { file("/sys/devices/\(path)/\(name)", text) }
    }

    /// Adds a file.
    mutating func file(_ path: String, _ text: String) { entries[path] = .file(Array("\(text)\n".utf8)) }

    /// Adds a link.
    mutating func link(_ path: String, to target: String) { entries[path] = .link(target) }

    /// What the probe makes of it, findings included.
    var machine: Machine { MachineInspection(sysroot: Sysroot(entries: entries)).machine() }
}
