// SPDX-License-Identifier: GPL-3.0-or-later

/// A mass-storage controller: a PCI function of class 01, or a platform device such as a virtio-mmio disk.
public struct StorageController: Sendable, Hashable, Codable {
    /// PCI address: `0000:03:00.0`.
    public var pciAddress: String
    /// Class, subclass and programming interface, six hexadecimal digits: `010400`.
    public var pciClass: String
    /// Vendor and device number: `1000:005b`.
    public var pciId: String
    /// Subsystem's vendor and device number.
    public var pciSubsystemId: String?
    /// Vendor's name, by pci.ids.
    public var vendor: String?
    /// Device's name, by pci.ids.
    public var product: String?
    /// Subsystem's name, by pci.ids.
    public var subsystem: String?
    /// What it is: `raid`, `sas`, `scsi`, `ahci`, `sata`, `nvme`, `ide`, `fc`, `iscsi`, `virtio`, `vmd`, `other`.
    public var kind: String
    /// Driver that is bound; nil is how disks go unnoticed.
    public var driver: String?
    /// Modules that claim it by modules.alias, whether or not they are loaded.
    public var modules: [String] = []
    /// Those of `modules` whose file is in the live system.
    public var availableModules: [String] = []
    /// Firmware RAID mode that hides disks: `Intel RST`, `Intel VMD`, `AMD RAID`; nil where there is none.
    public var hidingMode: String?
    /// SCSI hosts behind it: `host0`.
    public var hosts: [String] = []
    /// Ports of an FC or iSCSI adapter.
    public var ports: [HostPort] = []
    /// Names of the disks behind it.
    public var disks: [String] = []

    /// Makes a controller's record.
    public init(pciAddress: String, pciClass: String, pciId: String, kind: String) {
        self.pciAddress = pciAddress
        self.pciClass = pciClass
        self.pciId = pciId
        self.kind = kind
    }
}

/// A port of a Fibre Channel or iSCSI adapter.
public struct HostPort: Sendable, Hashable, Codable {
    /// SCSI host.
    public var host: String
    /// WWPN as `0x` and 16 digits, or the initiator's IQN.
    public var name: String?
    /// State as the driver has it: `Online`, `Linkdown`.
    public var state: String?
    /// Speed as the driver has it: `8 Gbit`.
    public var speed: String?

    /// Makes a port's record.
    public init(host: String, name: String?, state: String?, speed: String?) {
        self.host = host
        self.name = name
        self.state = state
        self.speed = speed
    }
}

/// A disk as the machine's operating system would see it; several paths to one LUN are one disk.
public struct Disk: Sendable, Hashable, Codable {
    /// Path of the device: `/dev/sda`.
    public var name: String
    /// Length in bytes.
    public var size: Int64
    /// Smallest addressable unit in bytes.
    public var logicalSectors: Int
    /// Sector size of the medium in bytes.
    public var physicalSectors: Int
    /// What it is: `disk`, `raid volume`, `nvme`, `lun`, `multipath`, `md`, `virtual`, `card`, `optical`, `image`.
    public var kind: String
    /// Vendor.
    public var vendor: String?
    /// Model.
    public var model: String?
    /// Serial number.
    public var serial: String?
    /// World wide name as `0x…`, as udev's ID_WWN has it.
    public var wwn: String?
    /// Identity as the kernel has it: `naa.…`, `eui.…`, `t10.…`.
    public var wwid: String?
    /// Host, channel, target and LUN: `0:2:0:0`.
    public var hctl: String?
    /// How it is attached: `sas`, `sata`, `ata`, `scsi`, `nvme`, `usb`, `fc`, `iscsi`, `virtio`, `mmc`, `raid`, `xen`.
    public var transport: String?
    /// The link's negotiated rate as people write it: `6.0 Gbit/s`, `480 Mbit/s`, `PCIe 8.0 GT/s x4`.
    public var link: String?
    /// Bytes a second that the link can carry, its coding taken off; nil where the rate is unknown.
    public var linkBytesPerSecond: Int64?
    /// Whether it has spinning platters, as the kernel believes.
    public var rotational = false
    /// Whether the medium can be taken out.
    public var removable = false
    /// Whether the kernel refuses writes.
    public var readOnly = false
    /// RAID level of a controller's virtual drive, as its driver exports it.
    public var raidLevel: String?
    /// PCI address of the controller it is behind.
    public var controller: String?
    /// Name of the target that offers it: an IQN, or the WWPN of the remote port.
    public var target: String?
    /// Path in sysfs below `devices/`: the same in every boot of one machine, unlike the name.
    public var path: String?
    /// Whether the live system runs from it.
    public var isLiveMedium = false
    /// Whether a clone could be written to it: it is removable or on USB, e-SATA or FireWire.
    public var isPossibleTarget = false
    /// Health as the drive itself reports it; nil where it was not asked or cannot say.
    public var smart: DriveHealth?
    /// All paths, when there is more than one.
    public var paths: [DiskPath] = []
    /// What lies on it; nil where it was not read.
    public var content: VolumeContent?

    /// Makes a disk's record.
    public init(name: String, size: Int64, logicalSectors: Int, physicalSectors: Int, kind: String) {
        self.name = name
        self.size = size
        self.logicalSectors = logicalSectors
        self.physicalSectors = physicalSectors
        self.kind = kind
    }
}

/// One way to a disk that has several.
public struct DiskPath: Sendable, Hashable, Codable {
    /// Path of the device.
    public var name: String
    /// Host, channel, target and LUN.
    public var hctl: String?
    /// State as the kernel has it: `running`, `offline`.
    public var state: String?

    /// Makes a path's record.
    public init(name: String, hctl: String?, state: String?) {
        self.name = name
        self.hctl = hctl
        self.state = state
    }
}

/// A drive's health: smartctl(8), --json.
public struct DriveHealth: Sendable, Hashable, Codable {
    /// Whether the drive's own verdict is good; nil where it has none.
    public var passed: Bool?
    /// Sectors that were replaced.
    public var reallocatedSectors: Int64?
    /// Sectors that wait to be replaced: they could not be read.
    public var pendingSectors: Int64?
    /// Hours in operation.
    public var powerOnHours: Int64?
    /// Temperature in degrees Celsius.
    public var temperature: Int?
    /// Share of an SSD's life that is used, in percent.
    public var percentageUsed: Int?

    /// Makes one of which nothing is known.
    public init() {}
}

/// One thing that decides whether the clone will be whole.
public struct Finding: Sendable, Hashable, Codable {
    /// How bad it is, worst first.
    public enum Severity: String, Sendable, Hashable, Codable, CaseIterable {
        /// Without action, data will be missing in the clone.
        case critical
        /// The clone may be incomplete, or may not start.
        case warning
        /// Worth knowing.
        case note
    }

    /// How bad it is.
    public var severity: Severity
    /// Stable word for programs: `controller-without-driver`.
    public var code: String
    /// What it is about: a device's or file's name.
    public var subject: String
    /// What was found.
    public var what: String
    /// Why it matters.
    public var why: String
    /// What to do.
    public var action: String

    /// Makes a finding.
    public init(
        _ severity: Severity, code: String, subject: String, what: String, why: String, action: String
    ) {
        self.severity = severity
        self.code = code
        self.subject = subject
        self.what = what
        self.why = why
        self.action = action
    }
}
