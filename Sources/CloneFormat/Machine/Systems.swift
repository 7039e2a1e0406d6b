// SPDX-License-Identifier: GPL-3.0-or-later

/// An operating system as found on its cold disk.
public struct InstalledSystem: Sendable, Hashable, Codable {
    /// Name of the volume that holds its root.
    public var device: String
    /// `linux` or `windows`.
    public var family: String
    /// Name and version as it calls itself: `Debian GNU/Linux 12 (bookworm)`.
    public var prettyName: String?
    /// Identifier for programs: `debian`.
    public var id: String?
    /// Version for programs: `12`.
    public var versionId: String?
    /// Host name.
    public var hostname: String?
    /// What it mounts.
    public var mounts: [MountEntry] = []
    /// Its network configuration, by file.
    public var networkFiles: [NetworkFile] = []
    /// Bootloaders found: `grub2`, `systemd-boot`, `bootmgr`, `lilo`, `syslinux`.
    public var bootloaders: [String] = []
    /// Kernels found in its boot folder.
    public var kernels: [String] = []
    /// `clean`, `needs recovery`, `dirty`, `hibernated`, `unknown`.
    public var state: String = "unknown"
    /// Names by which it logs in to iSCSI targets.
    public var iscsiInitiators: [String] = []
    /// iSCSI targets that it has records of.
    public var iscsiTargets: [ISCSITarget] = []

    /// Makes a system's record.
    public init(device: String, family: String) {
        self.device = device
        self.family = family
    }
}

/// A line of a system's fstab.
public struct MountEntry: Sendable, Hashable, Codable {
    /// What is mounted, its password options taken out.
    public var source: String
    /// Where.
    public var mountPoint: String
    /// Type of the file system.
    public var type: String
    /// `local` with a volume of this machine, `network`, `unresolved`, `pseudo`, `swap`.
    public var resolution: String
    /// The volume of this machine that it names; nil where there is none.
    public var device: String?

    /// Makes a line's record.
    public init(source: String, mountPoint: String, type: String, resolution: String, device: String?) {
        self.source = source
        self.mountPoint = mountPoint
        self.type = type
        self.resolution = resolution
        self.device = device
    }
}

/// What one file says of a network interface.
public struct NetworkFile: Sendable, Hashable, Codable {
    /// Path in the installed system.
    public var path: String
    /// Interface's name.
    public var interface: String?
    /// MAC address it is bound to, in lower case.
    public var macAddress: String?
    /// Addresses with prefix lengths: `192.0.2.5/24`; `dhcp` stands for itself.
    public var addresses: [String] = []
    /// Gateways.
    public var gateways: [String] = []
    /// Name servers.
    public var nameServers: [String] = []
    /// The bond or team it belongs to.
    public var bond: String?
    /// Mode of the bond that it is: `802.3ad`, `active-backup`, or its number.
    public var bondMode: String?
    /// The bridge it belongs to.
    public var bridge: String?
    /// VLAN number.
    public var vlan: Int?
    /// The interface that carries the VLAN.
    public var parent: String?

    /// Makes a file's record.
    public init(path: String) { self.path = path }
}

/// iSCSI as firmware and cold disks have it.
public struct ISCSIInventory: Sendable, Hashable, Codable {
    /// What the firmware boots from: the iBFT.
    public var boot: [ISCSITarget] = []
    /// Initiator of the iBFT.
    public var bootInitiator: String?
    /// Initiator names found on the cold disks.
    public var initiators: [String] = []
    /// Targets in the node records of the cold disks.
    public var nodes: [ISCSITarget] = []

    /// Makes an empty one.
    public init() {}
}

/// An iSCSI target that the machine knows of; never its secrets.
public struct ISCSITarget: Sendable, Hashable, Codable {
    /// The target's IQN.
    public var name: String
    /// Address and port: `192.0.2.9:3260`.
    public var portal: String
    /// LUN; nil where all of the target's are meant.
    public var lun: UInt64?
    /// `manual`, `automatic` or `onboot`, in node records; `persistent` in Windows.
    public var startup: String?
    /// User name of CHAP.
    public var user: String?
    /// The local address the firmware uses for it.
    public var localAddress: String?
    /// MAC address of the interface the firmware uses for it.
    public var localMac: String?

    /// Makes a target's record.
    public init(name: String, portal: String, lun: UInt64? = nil, startup: String? = nil, user: String? = nil) {
        self.name = name
        self.portal = portal
        self.lun = lun
        self.startup = startup
        self.user = user
    }
}
