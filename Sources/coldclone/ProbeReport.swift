// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console

/// What `coldclone probe` shows people: sections of tables, the findings last, where they stay on the screen.
struct ProbeReport {
    let machine: Machine

    /// Returns all sections that have anything to show.
    func text() -> String {
        let sections = [
            ("machine", summary), ("controllers", controllers), ("disks", disks), ("layout", layout),
            ("software RAID", arrays), ("firmware RAID", firmwareSets), ("LVM", volumeGroups),
            ("installed systems", systems), ("iSCSI", iscsi), ("network interfaces", interfaces),
            ("findings", findings),
        ]
        return sections.filter { !$0.1.isEmpty }.map { "\($0.0.uppercased())\n\($0.1)" }.joined(separator: "\n")
    }

    private var summary: String {
        let vendor = machine.systemVendor
        let firmware = [vendor.firmware.vendor, vendor.firmware.version, vendor.firmware.buildDate]
        let secure = machine.boot.secureBoot.map { $0 ? "Secure Boot on" : "Secure Boot off" }
        let cpu = machine.cpu
        let rows: [(String, String?)] = [
            ("machine", Self.join([vendor.manufacturer, vendor.productName])),
            ("serial", vendor.serialNumber), ("uuid", vendor.uuid),
            ("firmware", Self.join([machine.boot.currentBootMode?.uppercased(), Self.join(firmware), secure], ", ")),
            (
                "processors",
                cpu.count == 0
                    ? nil
                    : Self.join(
                        [
                            "\(cpu.count)", cpu.socketCount > 0 ? "on \(cpu.socketCount) sockets" : nil, cpu.modelName,
                        ])
            ),
            ("memory", machine.memory.total > 0 ? HumanBytes.format(machine.memory.total) : nil),
            (
                "bmc",
                Self.join(machine.bmc.map { Self.join([$0.interface, $0.ipmiVersion.map { "IPMI \($0)" }]) }, "; ")
            ),
        ]
        let shown = rows.compactMap { row in row.1.map { (row.0, $0) } }
        let width = shown.map(\.0.count).max() ?? 0
        return shown.map { name, value in
            "\(name)\(String(repeating: " ", count: width - name.count))  \(Terminal.visible(value))\n"
        }.joined()
    }

    private var controllers: String {
        var table = TextTable(columns: [
            .left("address"), .left("kind"), .left("driver"), .left("disks"), .left("device"),
        ])
        for controller in machine.controllers {
            let name = Self.join([controller.vendor, controller.product ?? controller.pciId])
            table.rows.append([
                controller.pciAddress, controller.kind, controller.driver ?? "NONE",
                controller.disks.isEmpty ? "-" : controller.disks.map(Self.short).joined(separator: " "),
                Self.join([name, controller.hidingMode.map { "(\($0) HIDES DISKS)" }]) ?? "",
            ])
        }
        return Self.render(table)
    }

    private var disks: String {
        var table = TextTable(columns: [
            .left("disk"), .right("size"), .right("sector"), .left("kind"), .left("link"), .left("model"),
            .left("serial"), .left("notes"),
        ])
        for disk in machine.disks {
            let sector =
                disk.logicalSectors == disk.physicalSectors
                ? "\(disk.logicalSectors)" : "\(disk.logicalSectors)/\(disk.physicalSectors)"
            table.rows.append([
                Self.short(disk.name), HumanBytes.format(disk.size), sector,
                Self.join([disk.kind, disk.raidLevel]) ?? "", Self.join([disk.transport, disk.link]) ?? "-",
                Self.join([disk.vendor, disk.model]) ?? "-", disk.serial ?? "-", Self.notes(disk),
            ])
        }
        return Self.render(table)
    }

    private static func notes(_ disk: Disk) -> String {
        var notes: [String] = []
        if disk.isLiveMedium { notes.append("live medium") }
        if disk.isPossibleTarget { notes.append("possible target") }
        if disk.removable { notes.append("removable") }
        if disk.paths.count > 1 { notes.append("\(disk.paths.count) paths") }
        if disk.smart?.passed == false { notes.append("SMART: FAILING") }
        if let pending = disk.smart?.pendingSectors, pending > 0 { notes.append("\(pending) pending sectors") }
        return notes.joined(separator: ", ")
    }

    private var layout: String {
        var table = TextTable(columns: [
            .left("volume"), .right("offset"), .right("size"), .left("content"), .left("label"), .left("uuid"),
        ])
        for disk in machine.disks {
            guard let content = disk.content else { continue }
            table.rows.append(
                [Self.short(disk.name), "", HumanBytes.format(disk.size)] + Self.cells(content, disk.name))
            for partition in content.table?.partitions ?? [] {
                table.rows.append(
                    [
                        "  \(Self.short(partition.name ?? "\(partition.number)"))", HumanBytes.format(partition.offset),
                        HumanBytes.format(partition.size),
                    ] + Self.cells(partition.content ?? VolumeContent(), partition.name, label: partition.label))
            }
        }
        return Self.render(table)
    }

    /// Content, label and UUID of a volume.
    private static func cells(_ content: VolumeContent, _ name: String?, label: String? = nil) -> [String] {
        let what =
            content.ambivalent.isEmpty
            ? content.type ?? content.table.map { "\($0.type) table" } ?? "-"
            : "AMBIVALENT: \(content.ambivalent.joined(separator: ", "))"
        return [what, content.label ?? label ?? "-", content.uuid ?? content.table?.uuid ?? "-"]
    }

    private var arrays: String {
        var table = TextTable(columns: [
            .left("array"), .left("level"), .right("size"), .left("state"), .left("metadata"), .left("content"),
            .left("members in order"),
        ])
        for array in machine.arrays {
            let members = array.members.map { member in
                "\(Self.short(member.device))\(member.state == "active" ? "" : " (\(member.state))")"
            }
            let missing = array.missing.map { "\($0): MISSING" }
            table.rows.append([
                array.name ?? array.uuid, Self.join([array.level, array.layout]) ?? "",
                array.size.map(HumanBytes.format) ?? "-", array.state, array.metadata,
                array.content.map { Self.cells($0, nil)[0] } ?? "-", (members + missing).joined(separator: " "),
            ])
        }
        return Self.render(table)
    }

    private var firmwareSets: String {
        var table = TextTable(columns: [
            .left("volume"), .left("level"), .right("size"), .right("chunk"), .left("state"), .left("content"),
            .left("members in order"),
        ])
        for set in machine.firmwareSets {
            table.rows.append([
                set.uuid ?? set.type, set.type, "", "", "", "", set.members.map(Self.short).joined(separator: " "),
            ])
            for volume in set.raidVolumes ?? [] {
                let members = volume.members.enumerated().map { slot, member in
                    let name = member.device.map(Self.short) ?? member.label ?? "-"
                    let isMissing = volume.missing.contains(slot) && member.device == nil
                    return name + (isMissing ? " (MISSING)" : member.isInSync ? "" : " (not in sync)")
                }
                table.rows.append([
                    "  \(volume.name)", volume.level ?? "", volume.size.map(HumanBytes.format) ?? "-",
                    volume.chunkSize.map(HumanBytes.format) ?? "", "\(volume.state) (\(volume.recordedState))",
                    volume.content.map { Self.cells($0, nil)[0] } ?? "-", members.joined(separator: " "),
                ])
            }
        }
        return Self.render(table)
    }

    private var volumeGroups: String {
        var table = TextTable(columns: [
            .left("volume"), .left("type"), .right("size"), .right("free"), .left("content"), .left("label"),
            .left("uuid"),
        ])
        for group in machine.volumeGroups {
            let size = group.physicalVolumes.reduce(into: Int64(0)) { $0 = $0.addingReportingOverflow($1.size).0 }
            let free = group.physicalVolumes.reduce(into: Int64(0)) { $0 = $0.addingReportingOverflow($1.free).0 }
            table.rows.append([
                group.name, "volume group", HumanBytes.format(size), HumanBytes.format(free), "", "", group.uuid,
            ])
            for volume in group.physicalVolumes {
                table.rows.append([
                    "  \(volume.device.map(Self.short) ?? "MISSING")", "physical volume",
                    HumanBytes.format(volume.size), HumanBytes.format(volume.free), "", "", volume.uuid,
                ])
            }
            for volume in group.logicalVolumes where !volume.isHidden {
                let type = volume.segmentTypes.joined(separator: "+")
                table.rows.append(
                    [
                        "  \(group.name)/\(volume.name)", volume.isComplete ? type : "\(type) INCOMPLETE",
                        HumanBytes.format(volume.size), "",
                    ] + Self.cells(volume.content ?? VolumeContent(), nil))
            }
        }
        return Self.render(table)
    }

    private var systems: String {
        var table = TextTable(columns: [
            .left("volume"), .left("system"), .left("host name"), .left("state"), .left("boot"),
            .left("not on its disks"),
        ])
        for system in machine.systems {
            let elsewhere = system.mounts.filter { $0.resolution == "network" || $0.resolution == "unresolved" }
            table.rows.append([
                Self.short(system.device), system.prettyName ?? system.family, system.hostname ?? "-", system.state,
                system.bootloaders.isEmpty ? "-" : system.bootloaders.joined(separator: ", "),
                elsewhere.isEmpty ? "-" : elsewhere.map { "\($0.mountPoint) (\($0.source))" }.joined(separator: ", "),
            ])
        }
        return Self.render(table)
    }

    private var iscsi: String {
        var table = TextTable(columns: [.left("known from"), .left("target"), .left("portal"), .right("lun")])
        for (origin, targets) in [("firmware", machine.iscsi.boot), ("cold disk", machine.iscsi.nodes)] {
            for target in targets {
                table.rows.append([origin, target.name, target.portal, target.lun.map { "\($0)" } ?? "-"])
            }
        }
        let names = ([machine.iscsi.bootInitiator].compactMap(\.self) + machine.iscsi.initiators)
        return Self.render(table) + names.map { "initiator name \(Terminal.visible($0))\n" }.joined()
    }

    private var interfaces: String {
        var table = TextTable(columns: [
            .left("interface"), .left("mac"), .left("link"), .right("mbit/s"), .left("driver"), .left("device"),
        ])
        for interface in machine.interfaces {
            table.rows.append([
                interface.name, interface.permanentMacAddress ?? interface.macAddress ?? "-",
                interface.hasCarrier.map { $0 ? "yes" : "no" } ?? "down", interface.speedMbps.map { "\($0)" } ?? "-",
                interface.driver ?? "-", Self.join([interface.vendor, interface.product]) ?? "-",
            ])
        }
        return Self.render(table)
    }

    private var findings: String {
        guard !machine.findings.isEmpty else { return "none: everything that can be seen is in order\n" }
        return machine.findings.map { finding in
            """
            \(finding.severity.rawValue.uppercased())  \(Terminal.visible(finding.subject)): \
            \(Terminal.visible(finding.what))
              why:   \(Terminal.visible(finding.why))
              to do: \(Terminal.visible(finding.action))

            """
        }.joined()
    }

    private static func short(_ device: String) -> String {
        device.hasPrefix("/dev/") ? String(device.dropFirst(5)) : device
    }

    /// Returns what there is of `parts`, nil when there is nothing.
    private static func join(_ parts: [String?], _ separator: String = " ") -> String? {
        let found = parts.compactMap(\.self).filter { !$0.isEmpty }
        return found.isEmpty ? nil : found.joined(separator: separator)
    }

    private static func render(_ table: TextTable) -> String { table.rows.isEmpty ? "" : table.render() }
}
