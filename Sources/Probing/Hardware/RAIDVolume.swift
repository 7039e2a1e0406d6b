// SPDX-License-Identifier: GPL-3.0-or-later

/// The virtual drive of a RAID controller, which looks like a disk.
///
/// Documentation/scsi/hpsa.rst and smartpqi.rst; Documentation/ABI/testing/sysfs-bus-pci-devices-cciss;
/// drivers/scsi/raid_class.c, aacraid/linit.c, megaraid/megaraid_sas.h, mpt3sas/mpt3sas_base.h.
struct RAIDVolume: Sendable, Hashable {
    /// RAID level as the driver exports it; nil where it does not.
    var level: String?

    private static let drivers: Set = [
        "3w-9xxx", "3w-sas", "aacraid", "arcmsr", "cciss", "dpt_i2o", "gdth", "hpsa", "ips", "megaraid",
        "megaraid_mbox", "megaraid_sas", "mpi3mr", "smartpqi", "stex",
    ]
    /// Drivers that show nothing but virtual drives.
    private static let volumesOnly: Set = [
        "3w-9xxx", "3w-sas", "3w-xxxx", "arcmsr", "cciss", "gdth", "ips", "megaraid", "megaraid_mbox", "stex",
    ]

    /// Tells whether a SCSI host's driver is that of a RAID controller.
    static func isRAIDDriver(_ driver: String?) -> Bool { driver.map(drivers.contains) ?? false }

    /// Reads the volume that the device at `device` is; nil when it is a drive of its own.
    init?(_ sysroot: Sysroot, _ device: String, hctl: String?, driver: String?) {
        guard let driver else { return nil }
        for name in sysroot.names(in: "\(device)/raid_devices") {
            if let level = sysroot.text("\(device)/raid_devices/\(name)/level"), level != "jbod" {
                self.level = level == "unknown" ? nil : level
                return
            }
        }
        let channel = hctl?.split(separator: ":").dropFirst().first.flatMap { Int($0) } ?? 0
        switch driver {
        case "hpsa", "smartpqi":
            // A physical drive has the attribute as well, without a level; older drivers have it for none.
            let level = sysroot.text("\(device)/raid_level")
            guard level != "N/A", level != nil || !device.contains("/end_device-") else { return nil }
            self.level = level
        case "aacraid":
            // Containers are on channel 0; another attribute than the others', and drives of their own have it too.
            let level = sysroot.text("\(device)/level")
            guard channel == 0, level != "JBOD", level != "Hidden" else { return nil }
            self.level = level
        case "megaraid_sas":
            // Plain drives are on channels 0 and 1.
            guard channel >= 2 else { return nil }
        case "mptsas", "mpt2sas", "mpt3sas":
            // Channel 1 is that of volumes.
            guard channel == 1 else { return nil }
        case _ where Self.volumesOnly.contains(driver): level = sysroot.text("\(device)/raid_level")
        default: return nil
        }
    }

    /// Returns the NAA identity that these drivers give a volume as `unique_id`, where the kernel has no `wwid` of it.
    static func identity(_ sysroot: Sysroot, _ device: String) -> String? {
        guard let text = sysroot.text("\(device)/unique_id")?.lowercased(), text.utf8.count == 32, text.hasPrefix("6"),
            text.allSatisfy(\.isHexDigit)
        else { return nil }
        return "naa.\(text)"
    }
}
