// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
internal import DiskLayout

/// Looks at a whole machine: its hardware, what lies on its disks, the systems installed there, and what follows.
public struct MachineInspection: Sendable {
    private let sysroot: Sysroot
    /// Whether drives are asked for their health, where that is possible.
    public var asksDrives = true
    /// Gets the CHAP secrets that the firmware and the installed systems' records hold; nil, the default, leaves them
    /// unread.
    public var iscsiSecrets: ISCSISecrets?

    /// Prepares to look at the machine of `sysroot`; disks are read only when it is the running one.
    public init(sysroot: Sysroot) { self.sysroot = sysroot }

    /// Returns the inventory, findings included.
    public func machine() -> Machine {
        var machine = MachineProbe(sysroot).hardware()
        // The firmware's first: it logs in before any installed system does.
        if let iscsiSecrets { BootFirmwareTable(sysroot: sysroot).keepAccounts(in: iscsiSecrets) }
        if asksDrives {
            for index in machine.disks.indices {
                machine.disks[index].smart = DriveHealthReader(sysroot: sysroot).health(of: machine.disks[index])
            }
        }
        let remarks = sysroot.isLive ? readDisks(of: &machine) : []
        machine.findings = MachineFindings.of(machine, remarks: remarks)
        return machine
    }

    /// Opens the machine's disks read-only, and reads what lies on them.
    private func readDisks(of machine: inout Machine) -> [String] {
        var sources: [any BlockSource] = []
        for index in machine.disks.indices {
            let disk = machine.disks[index]
            // An array is read from its members, as it is on a machine where nobody has assembled it.
            guard disk.kind != "optical", disk.kind != "md", disk.size > 0, !disk.isLiveMedium else { continue }
            do throws(BlockError) {
                sources.append(try FileSource(disk.name))
            } catch {
                var content = VolumeContent()
                content.problems = [error.description]
                machine.disks[index].content = content
            }
        }
        return read(sources, into: &machine)
    }

    /// Fills in what lies on `sources`, and returns what stands nowhere in the inventory.
    private func read(_ sources: [any BlockSource], into machine: inout Machine) -> [String] {
        let serials = Dictionary(
            machine.disks.compactMap { disk in disk.serial.map { (disk.name, $0) } },
            uniquingKeysWith: { first, _ in first })
        guard let layout = try? StorageLayout.read(sources, serials: serials) else {
            return ["there were no threads to read the disks"]
        }
        LayoutInventory(layout: layout).fill(&machine)
        SystemInspection(layout: layout, secrets: iscsiSecrets).fill(&machine)
        return layout.findings
    }

    /// Returns an inventory of nothing but the disks or images at `paths`.
    ///
    /// - Throws: `BlockError` for one that cannot be opened.
    public func images(_ paths: [String]) throws(BlockError) -> Machine {
        var machine = Machine()
        var sources: [any BlockSource] = []
        for path in paths {
            let source = try FileSource(path)
            sources.append(source)
            machine.disks.append(
                Disk(
                    name: path, size: source.lengthInBytes, logicalSectors: source.logicalSectorSize,
                    physicalSectors: source.physicalSectorSize, kind: source.isBlockDevice ? "disk" : "image"))
        }
        let remarks = read(sources, into: &machine)
        machine.findings = MachineFindings.of(machine, remarks: remarks)
        return machine
    }
}
