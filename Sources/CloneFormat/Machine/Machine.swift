// SPDX-License-Identifier: GPL-3.0-or-later

/// What a machine has, as `coldclone probe --json` prints it and the manifest's `machine` keeps it.
///
/// Keys are those of the OpenStack ironic-python-agent inventory where it has them. Sizes are in bytes. Text is as the
/// machine gives it, trimmed; what a machine does not tell is nil, never an empty text.
public struct Machine: Sendable, Hashable, Codable {
    /// The version written, and the newest that is read.
    public static let currentVersion = FormatVersion(major: 1, minor: 0)

    /// Version of these keys.
    public var version = Machine.currentVersion
    /// Who made the machine, and its firmware.
    public var systemVendor = SystemVendor()
    /// The processors.
    public var cpu = Processors()
    /// The memory.
    public var memory = Memory()
    /// How it was booted.
    public var boot = Boot()
    /// The management controllers; empty where none is seen.
    public var bmc: [ManagementController] = []
    /// Licences that are bound to this hardware.
    public var licences: [LicenceTable] = []
    /// The network interfaces, in the order of their PCI addresses, then names.
    public var interfaces: [NetworkInterface] = []
    /// The mass-storage controllers, in the order of their PCI addresses.
    public var controllers: [StorageController] = []
    /// The disks, in the kernel's order.
    public var disks: [Disk] = []
    /// The software RAID arrays.
    public var arrays: [SoftwareArray] = []
    /// Sets of members whose metadata belong to firmware RAID.
    public var firmwareSets: [FirmwareRAIDSet] = []
    /// The LVM2 volume groups.
    public var volumeGroups: [VolumeGroup] = []
    /// Operating systems found on the disks.
    public var systems: [InstalledSystem] = []
    /// iSCSI as the firmware and the cold disks have it.
    public var iscsi = ISCSIInventory()
    /// What decides whether the clone will be whole, worst first.
    public var findings: [Finding] = []

    /// Makes an inventory of nothing.
    public init() {}
}

/// Who made the machine: SMBIOS, as sysfs class/dmi/id shows it.
public struct SystemVendor: Sendable, Hashable, Codable {
    /// Product name.
    public var productName: String?
    /// Serial number of the machine.
    public var serialNumber: String?
    /// Manufacturer.
    public var manufacturer: String?
    /// System UUID, in lower case.
    public var uuid: String?
    /// Kind of chassis: `rack mount chassis`.
    public var chassis: String?
    /// The firmware.
    public var firmware = Firmware()

    /// Makes one of which nothing is known.
    public init() {}
}

/// The firmware's release.
public struct Firmware: Sendable, Hashable, Codable {
    /// Vendor.
    public var vendor: String?
    /// Version.
    public var version: String?
    /// Date as the firmware writes it.
    public var buildDate: String?

    /// Makes one of which nothing is known.
    public init() {}
}

/// The processors: /proc/cpuinfo and sysfs devices/system/cpu.
public struct Processors: Sendable, Hashable, Codable {
    /// Name of the model.
    public var modelName: String?
    /// Highest frequency in MHz, as text.
    public var frequency: String?
    /// Logical processors.
    public var count = 0
    /// Machine of uname(2): `x86_64`.
    public var architecture: String?
    /// Sockets that hold a processor.
    public var socketCount = 0
    /// Cores of all sockets.
    public var coreCount = 0
    /// Feature flags.
    public var flags: [String] = []

    /// Makes one of which nothing is known.
    public init() {}
}

/// The memory.
public struct Memory: Sendable, Hashable, Codable {
    /// Bytes that the kernel manages: /proc/meminfo, MemTotal.
    public var total: Int64 = 0
    /// Installed MiB: the sum of SMBIOS type 17, nil where it cannot be read.
    public var physicalMb: Int?

    /// Makes one of which nothing is known.
    public init() {}
}

/// How the live system was booted: what the installed one needs is most often the same.
public struct Boot: Sendable, Hashable, Codable {
    /// `bios` or `uefi`.
    public var currentBootMode: String?
    /// Whether Secure Boot was on; nil where there is none.
    public var secureBoot: Bool?

    /// Makes one of which nothing is known.
    public init() {}
}

/// A management controller.
public struct ManagementController: Sendable, Hashable, Codable {
    /// How it is reached: `kcs`, `bt`, `ssif`, `unknown`.
    public var interface: String
    /// What told of it: `SMBIOS type 38`, `ipmi device`.
    public var source: String
    /// Release of IPMI: `2.0`.
    public var ipmiVersion: String?

    /// Makes a controller's record.
    public init(interface: String, source: String, ipmiVersion: String? = nil) {
        self.interface = interface
        self.source = source
        self.ipmiVersion = ipmiVersion
    }
}

/// An ACPI table that ties a licence to this hardware; its key is never kept.
public struct LicenceTable: Sendable, Hashable, Codable {
    /// Signature: `MSDM` (Windows 8 and later) or `SLIC` (Windows Vista to 7, Server 2008 to 2012).
    public var table: String
    /// The OEM's identifier in the table.
    public var oemId: String?
    /// The OEM's identifier of the table.
    public var oemTableId: String?

    /// Makes a table's record.
    public init(table: String, oemId: String? = nil, oemTableId: String? = nil) {
        self.table = table
        self.oemId = oemId
        self.oemTableId = oemTableId
    }
}

/// A network interface of the machine, never a virtual one.
public struct NetworkInterface: Sendable, Hashable, Codable {
    /// The kernel's name in the live system.
    public var name: String
    /// MAC address in use, in lower case.
    public var macAddress: String?
    /// MAC address burnt in: SMBIOS or the driver; nil where it is the one in use.
    public var permanentMacAddress: String?
    /// Whether there is a link; nil while the interface is down.
    public var hasCarrier: Bool?
    /// Speed of the link in Mbit/s.
    public var speedMbps: Int?
    /// Driver.
    public var driver: String?
    /// Vendor, by pci.ids or its number.
    public var vendor: String?
    /// Product, by pci.ids or its number.
    public var product: String?
    /// PCI address: `0000:01:00.0`.
    public var pciAddress: String?
    /// Names that udev's rules would give it: onboard, slot, path, MAC.
    public var predictableNames: [String] = []

    /// Makes an interface of which only the name is known.
    public init(name: String) { self.name = name }
}
