// SPDX-License-Identifier: GPL-3.0-or-later

/// Software that pools disks in ways that are named here, but not followed.
public enum PoolTechnology: String, Sendable, Hashable, CaseIterable {
    case zfs = "ZFS"
    case bcache = "bcache"
    case ldm = "Windows dynamic disk (LDM)"
    case storageSpaces = "Storage Spaces"
    case vmfs = "VMFS"
    case ceph = "Ceph"
    case stratis = "Stratis"
    case drbd = "DRBD"
    case vdo = "VDO"

    /// Returns the technology of libblkid's TYPE, nil for all others.
    init?(type: String?) {
        switch type {
        case "zfs_member": self = .zfs
        case "bcache": self = .bcache
        case "VMFS_volume_member", "VMFS": self = .vmfs
        case "ceph_bluestore": self = .ceph
        case "stratis": self = .stratis
        case "drbd", "drbdmanage_control_volume", "drbdproxy_datalog": self = .drbd
        case "vdo": self = .vdo
        default: return nil
        }
    }

    /// Returns the technology whose partitions are of `type`, nil for all others.
    ///
    /// Windows SDK, ntdddisk.h: PARTITION_LDM, PARTITION_LDM_METADATA_GUID, PARTITION_LDM_DATA_GUID,
    /// PARTITION_SPACES_GUID.
    init?(partition type: PartitionType) {
        switch type {
        case .mbr(0x42): self = .ldm
        case .mbr: return nil
        case .guid(let guid):
            switch guid.description {
            case "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", "AF9B60A0-1431-4F62-BC68-3311714A69AD": self = .ldm
            case "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D": self = .storageSpaces
            default: return nil
            }
        }
    }
}
