// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat

/// Looks at a whole machine: its hardware, what lies on its disks, the systems installed there, and what follows.
public struct MachineInspection: Sendable {
    private let sysroot: Sysroot
    /// Whether drives are asked for their health, where that is possible.
    public var asksDrives = true

    /// Prepares to look at the machine of `sysroot`; disks are read only when it is the running one.
    public init(sysroot: Sysroot) { self.sysroot = sysroot }

    /// Returns the inventory, findings included.
    public func machine() -> Machine {
        var machine = MachineProbe(sysroot).hardware()
        if asksDrives {
            for index in machine.disks.indices {
                machine.disks[index].smart = DriveHealthReader(sysroot: sysroot).health(of: machine.disks[index])
            }
        }
        machine.findings = MachineFindings.of(machine)
        return machine
    }

    /// Returns an inventory of nothing but the disks or images at `paths`.
    ///
    /// - Throws: `BlockError` for one that cannot be opened.
    public func images(_ paths: [String]) throws(BlockError) -> Machine {
        var machine = Machine()
        for path in paths {
            let source = try FileSource(path)
            machine.disks.append(
                Disk(
                    name: path, size: source.lengthInBytes, logicalSectors: source.logicalSectorSize,
                    physicalSectors: source.physicalSectorSize, kind: source.isBlockDevice ? "disk" : "image"))
        }
        machine.findings = MachineFindings.of(machine)
        return machine
    }
}
