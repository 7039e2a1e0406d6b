// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// Reads what a machine has from its sysroot.
public struct MachineProbe: Sendable {
    private let sysroot: Sysroot

    /// Prepares to read from `sysroot`.
    public init(_ sysroot: Sysroot) { self.sysroot = sysroot }

    /// Serial number of the machine, the name that its clones get; nil where the firmware has none worth the name.
    ///
    /// sysfs, class/dmi/id.
    public var serialNumber: String? { SystemInformation(sysroot: sysroot).serialNumber }

    /// Returns the inventory of the hardware; what lies on the disks, and findings, are for others to fill in.
    public func hardware() -> Machine {
        var machine = Machine()
        SystemInformation(sysroot: sysroot).read(into: &machine)
        let functions = PCIFunction.all(sysroot)
        let names = PCINames(sysroot, for: functions)
        machine.interfaces = NetworkInterfaces(sysroot: sysroot, functions: functions, names: names).all()
        machine.controllers = StorageControllers(sysroot: sysroot, functions: functions, names: names).all()
        let found = BlockDevices(sysroot: sysroot, functions: functions).all(liveDisks: LiveMedium.disks(sysroot))
        machine.disks = found.map(\.disk)
        for index in machine.controllers.indices {
            let address = machine.controllers[index].pciAddress
            machine.controllers[index].disks = found.filter { $0.controllers.contains(address) }.map(\.disk.name)
        }
        BootFirmwareTable(sysroot: sysroot).read(into: &machine.iscsi)
        return machine
    }
}
