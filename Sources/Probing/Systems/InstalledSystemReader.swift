// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat
public import FileSystems

/// Tells which operating system is installed on a volume, without starting or mounting it.
public enum InstalledSystemReader {
    /// Subvolumes that installers put a system's root in, where it is not the default one.
    private static let rootSubvolumes = ["@", "@rootfs", "root", "__active/rootvol"]

    /// Returns what is installed on the volume that `reader` reads; nil when it holds no system's root.
    ///
    /// `device` is the volume's name in the inventory, `volumes` are all volumes of the machine, among which the
    /// fstab's are looked for, `open` opens one of them by its name (for a `/boot` or `/usr` of its own), and
    /// `others` are readers of further volumes where a bootloader may lie, such as the EFI system partition.
    /// Secrets are never kept, but those of iSCSI by `secrets`, where there is one.
    public static func look(
        at reader: any FileSystemReader, device: String, volumes: [KnownVolume] = [],
        open: (String) -> (any FileSystemReader)? = { _ in nil }, others: [any FileSystemReader] = [],
        secrets: ISCSISecrets? = nil
    ) -> InstalledSystem? {
        if reader.kind == .ntfs || reader.kind == .vfat {
            var system = WindowsSystem.look(at: reader, device: device, others: others)
            system?.state = Self.text(reader.state)
            return system
        }
        var roots = [reader]
        if reader.kind == .btrfs {
            let top = RootedReader(reader, root: FileID(tree: 5, 256))
            roots += rootSubvolumes.compactMap { (try? RootedReader(top, at: $0)).flatMap { $0 } }
        }
        for root in roots {
            if var system = LinuxSystem.look(
                at: root, device: device, volumes: volumes, open: open, others: others, secrets: secrets)
            {
                system.state = Self.text(reader.state)
                if reader.state == .clean, LinuxSystem.isAsleep(system, volumes: volumes) {
                    system.state = "hibernated"
                }
                return system
            }
        }
        return nil
    }

    /// The word for `state` in an inventory.
    public static func text(_ state: FileSystemState) -> String {
        switch state {
        case .clean: "clean"
        case .needsRecovery: "needs recovery"
        case .dirty: "dirty"
        case .hibernated: "hibernated"
        case .unknown: "unknown"
        }
    }
}
