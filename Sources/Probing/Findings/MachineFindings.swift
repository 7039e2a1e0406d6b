// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// Draws from an inventory what decides whether the clone will be whole, worst first.
public struct MachineFindings: Sendable {
    private var findings: [Finding] = []

    /// Returns the findings of `machine`, worst first, else in the order of the inventory.
    ///
    /// - Parameter remarks: what was found out about its disks that stands nowhere in the inventory, in sentences.
    public static func of(_ machine: Machine, remarks: [String] = []) -> [Finding] {
        var collector = MachineFindings()
        for remark in remarks {
            collector.add(
                .warning, "layout", "disks", what: remark, why: "a disk or LUN may be missing, or be left over",
                action: "compare with what the installed system shows")
        }
        collector.controllers(machine)
        collector.disks(machine)
        collector.layout(machine)
        collector.arrays(machine)
        for set in machine.firmwareSets { collector.firmwareRAID(set) }
        collector.volumeGroups(machine)
        collector.systems(machine)
        collector.iscsi(machine)
        collector.licences(machine)
        let rank = Dictionary(
            uniqueKeysWithValues: Finding.Severity.allCases.enumerated().map { ($0.element, $0.offset) })
        return collector.findings.enumerated().sorted { left, right in
            let ranks = (rank[left.element.severity] ?? 0, rank[right.element.severity] ?? 0)
            return ranks.0 == ranks.1 ? left.offset < right.offset : ranks.0 < ranks.1
        }.map(\.element)
    }

    mutating func add(
        _ severity: Finding.Severity, _ code: String, _ subject: String, what: String, why: String, action: String
    ) {
        findings.append(Finding(severity, code: code, subject: subject, what: what, why: why, action: action))
    }

    private mutating func controllers(_ machine: Machine) {
        for controller in machine.controllers {
            let name = controller.product ?? controller.pciId
            if let mode = controller.hidingMode {
                add(
                    .critical, "disks-hidden", controller.pciAddress,
                    what: "\(name) is in \(mode) mode, which hides disks from all but its own driver",
                    why: "what this system does not see will not be in the clone",
                    action:
                        "set the controller to AHCI or NVMe mode in the firmware set-up for the time of the capture, "
                        + "and back afterwards; do not start the installed system in between")
            }
            if controller.driver == nil {
                add(
                    .critical, "controller-without-driver", controller.pciAddress,
                    what: "no driver drives \(name) [\(controller.pciId)]",
                    why: "the disks behind it are invisible, and will not be in the clone",
                    action: Self.driverAdvice(controller))
            }
            for port in controller.ports where !Self.isUp(port) {
                add(
                    .warning, "port-down", port.host,
                    what: "the port \(port.name ?? port.host) of \(name) is \(port.state ?? "in no known state")",
                    why: "LUNs that are reached through it only are invisible",
                    action: "check cable, switch zoning and array; or ignore it when the port is not used")
            }
        }
    }

    private static func driverAdvice(_ controller: StorageController) -> String {
        if let module = controller.availableModules.first { return "modprobe \(module), then probe again" }
        if let module = controller.modules.first {
            return "boot a live system that has the module \(module), then probe again"
        }
        return "boot a live system that has the vendor's driver for \(controller.pciId), then probe again"
    }

    private static func isUp(_ port: HostPort) -> Bool {
        ["online", "up", "link up", "unknown"].contains(port.state?.lowercased() ?? "unknown")
    }

    private mutating func disks(_ machine: Machine) {
        if !machine.disks.contains(where: { $0.kind != "optical" }) {
            add(
                .critical, "no-disk", "machine", what: "no disk is visible",
                why: "there is nothing to clone", action: "look at the controllers and their drivers")
        }
        for disk in machine.disks where disk.size == 0 && disk.kind != "optical" {
            add(
                .critical, "disk-without-size", disk.name, what: "\(disk.name) does not tell how long it is",
                why: "it has failed, or its controller hides it; nothing of it can be captured",
                action: "check its power and cables, and what the controller says of it")
        }
        for disk in machine.disks where !disk.isLiveMedium {
            if let health = disk.smart { smart(disk, health) }
            if disk.logicalSectors == 4096 {
                add(
                    .note, "4kn-disk", disk.name, what: "its logical sectors have 4096 bytes",
                    why: "the clone starts only where its virtual disk has the same sector size",
                    action: "keep the blockio line of domain.xml")
            }
            if disk.paths.count > 1 {
                add(
                    .note, "multipath", disk.name,
                    what: "\(disk.paths.count) paths lead to it: \(disk.paths.map(\.name).joined(separator: ", "))",
                    why: "it is one disk, and is captured once",
                    action: "name \(disk.name) only")
                for path in disk.paths where path.state != nil && path.state != "running" {
                    add(
                        .warning, "path-down", path.name,
                        what: "this path to \(disk.name) is \(path.state ?? "")",
                        why: "one more failure, and the capture stops", action: "check cable, switch and port")
                }
            }
        }
    }

    private mutating func smart(_ disk: Disk, _ health: DriveHealth) {
        if health.passed == false {
            add(
                .critical, "smart-failing", disk.name, what: "the drive itself expects to fail",
                why: "it may not live through the reading of all of it",
                action: "capture it first, with little else running, and expect unreadable ranges")
        } else if let pending = health.pendingSectors, pending > 0 {
            add(
                .warning, "smart-pending", disk.name, what: "\(pending) sectors could not be read lately",
                why: "they may be missing in the clone", action: "capture it before the others")
        }
    }

    private mutating func layout(_ machine: Machine) {
        for disk in machine.disks where !disk.isLiveMedium {
            guard let content = disk.content else { continue }
            volume(disk.name, content)
            guard let table = content.table else { continue }
            for (copy, place) in [(table.primary, "start"), (table.backup, "end")] {
                guard let copy, copy != "good" else { continue }
                add(
                    .warning, "gpt-damaged", disk.name, what: "the GPT at the disk's \(place) is \(copy)",
                    why: "systems disagree about such a disk, and the clone's firmware may not start from it",
                    action: "clone it as it is; repair the clone with gdisk, never the source")
            }
            for problem in table.problems {
                add(
                    .warning, "partition-table", disk.name, what: problem,
                    why: "what lies between partitions cannot be told: nothing there is skipped",
                    action: "compare with what the installed system shows")
            }
            for partition in table.partitions {
                guard let content = partition.content else { continue }
                volume(partition.name ?? "\(disk.name) partition \(partition.number)", content)
            }
        }
    }

    mutating func volume(_ name: String, _ content: VolumeContent) {
        switch content.state {
        case "hibernated":
            add(
                .warning, "hibernated", name, what: "its file system is hibernated, not shut down",
                why: "part of its data is in the hibernation image, and the clone resumes on other hardware",
                action: "start the system and shut it down fully, or delete the hibernation image in the clone")
        case "needs recovery", "dirty":
            add(
                .warning, "dirty-file-system", name, what: "its file system was not unmounted cleanly",
                why: "it is copied whole, and recovers when the clone starts, as after a power cut",
                action: "start the installed system and shut it down cleanly, or accept that")
        default: break
        }
        for problem in content.problems {
            add(
                .warning, "volume-problem", name, what: problem,
                why: "what lies there cannot be told for certain: all of it is copied",
                action: "if it could not be read, check the disk's health, cables and power")
        }
        if content.ambivalent.count > 1 {
            add(
                .warning, "ambivalent", name,
                what: "it carries signatures of \(content.ambivalent.joined(separator: ", "))",
                why: "nobody can tell which is in use", action: "it is copied whole; look at it in the clone")
        }
        switch content.type {
        case "crypto_LUKS", "BitLocker":
            add(
                .note, "encrypted", name, what: "it is encrypted (\(content.type ?? ""))",
                why: "used and free space look alike: all of it is copied, and the clone needs its key",
                action: "have the passphrase or recovery key at hand")
        case "zfs_member", "bcache", "VMFS_volume_member", "VMFS", "ceph_bluestore", "stratis", "drbd", "vdo",
            "Windows dynamic disk (LDM)", "Storage Spaces":
            add(
                .note, "foreign-volume-manager", name, what: "it belongs to \(content.type ?? "")",
                why: "members make sense only together, and are copied whole",
                action: "capture all disks of the set")
        default: break
        }
    }

    private mutating func arrays(_ machine: Machine) {
        for array in machine.arrays {
            let name = array.name ?? array.uuid
            let missing = array.missing.map(String.init).joined(separator: ", ")
            if array.state == "incomplete" {
                add(
                    .critical, "array-incomplete", name,
                    what: "\(array.level) of \(array.raidDevices): members \(missing) are missing",
                    why: "its data cannot be read from what is here",
                    action: "find the missing disks: an unplugged cable, a controller without driver")
            } else if array.state == "degraded" {
                add(
                    .warning, "array-degraded", name,
                    what: "\(array.level) of \(array.raidDevices): members \(missing) are missing",
                    why: "the clone will be degraded as well, and a further failure loses data",
                    action: "find the missing disks, or go on: redundancy makes up for them")
            }
            if let content = array.content { volume(name, content) }
            for member in array.members where member.state == "stale" {
                add(
                    .warning, "member-stale", member.device,
                    what: "it was left behind by the array \(name), at event count \(member.events)",
                    why: "its content is old", action: "capture it with the others, and do not start it by itself")
            }
        }
    }

    private mutating func volumeGroups(_ machine: Machine) {
        for group in machine.volumeGroups {
            for item in group.logicalVolumes {
                if let content = item.content { volume("\(group.name)/\(item.name)", content) }
            }
            let missing = group.physicalVolumes.filter { $0.device == nil }
            guard !missing.isEmpty else { continue }
            let lost = group.logicalVolumes.filter { !$0.isComplete && !$0.isHidden }.map(\.name)
            add(
                .critical, "physical-volume-missing", group.name,
                what: "\(missing.count) of its \(group.physicalVolumes.count) physical volumes are not here",
                why: lost.isEmpty
                    ? "none of its logical volumes is on them"
                    : "these logical volumes are not whole: \(lost.joined(separator: ", "))",
                action: "find the disk or LUN with the physical volume \(missing[0].uuid)")
        }
    }

    private mutating func systems(_ machine: Machine) {
        for system in machine.systems {
            let name = system.prettyName ?? system.family
            // A volume whose own state says so has its finding already.
            let isTold = findings.contains { $0.code == "hibernated" && $0.subject == system.device }
            if system.state == "hibernated", !isTold {
                add(
                    .warning, "hibernated", system.device, what: "\(name) is hibernated, not shut down",
                    why: "part of its data is in the hibernation image, and the clone resumes on other hardware",
                    action: "start it and shut it down fully, or delete the hibernation image in the clone")
            }
            for mount in system.mounts {
                switch mount.resolution {
                case "network":
                    add(
                        .warning, "network-mount", mount.mountPoint,
                        what: "\(name) mounts \(mount.source) (\(mount.type)) there",
                        why: "its data is on another machine: no disk image holds it",
                        action: "see that the clone reaches it, or copy the files")
                case "unresolved":
                    add(
                        .warning, "unresolved-mount", mount.mountPoint,
                        what: "\(name) mounts \(mount.source) there, which is none of the volumes seen",
                        why: "a disk or LUN may be missing", action: "find it before capturing, or remove the line")
                default: break
                }
            }
        }
    }

    private mutating func iscsi(_ machine: Machine) {
        // A session whose target is not known may be that of any.
        let sessions = machine.disks.filter { $0.transport == "iscsi" }.map(\.target)
        var told = Set<String>()
        for target in machine.iscsi.boot + machine.iscsi.nodes where told.insert(target.name).inserted {
            guard !sessions.contains(target.name), !sessions.contains(nil) else { continue }
            add(
                .warning, "lun-not-logged-in", target.name,
                what: "the machine uses this target at \(target.portal), and none of its LUNs is among the disks",
                why: "its data is not on any disk seen here",
                action:
                    "name iscsi:known as a source, or coldclone capture iscsi://\(target.portal)/\(target.name)/\(target.lun ?? 0)"
                    + (machine.iscsi.initiators.first.map { " --initiator-name \($0)" } ?? ""))
        }
    }

    private mutating func licences(_ machine: Machine) {
        for licence in machine.licences {
            let system = licence.table == "MSDM" ? "Windows 8 or later" : "Windows Vista to Server 2012"
            add(
                .note, "oem-licence", licence.table,
                what: "the firmware carries an OEM licence for \(system)",
                why: "such a licence is bound to this hardware", action: "plan a licence for the virtual machine")
        }
    }
}
