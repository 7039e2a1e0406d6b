// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// Tells which disks slow each other down when they are read at the same time.
public struct DiskLanes: Sendable {
    private let machine: Machine

    /// Takes what the machine has.
    public init(_ machine: Machine) { self.machine = machine }

    /// Returns what the disk at `path` shares with others: equal names are better read in turns.
    ///
    /// A RAID controller's volumes may lie on the same spindles, and nobody says so; USB disks share their
    /// controller's link; paths and LUNs of one target share its network or fabric. All others have their own.
    public func lane(of path: String) -> String {
        guard let disk = machine.disks.first(where: { $0.name == path || $0.paths.contains { $0.name == path } }) else {
            return "other"
        }
        switch disk.transport {
        case "raid", "usb", "scsi": return disk.controller ?? disk.transport ?? "other"
        case "iscsi", "fc": return disk.target ?? disk.controller ?? "fabric"
        default: break
        }
        if disk.kind == "raid volume" || disk.raidLevel != nil { return disk.controller ?? "raid" }
        return disk.name
    }
}
