// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskLayout

/// Puts what lies on the disks into an inventory.
struct LayoutInventory {
    let layout: StorageLayout

    /// Fills in contents, arrays, firmware RAID sets and volume groups; disks go by their names.
    func fill(_ machine: inout Machine) {
        for disk in layout.disks {
            guard let place = machine.disks.firstIndex(where: { $0.name == disk.volume.name }) else { continue }
            machine.disks[place].content = content(disk.volume, disk.partitions)
        }
        machine.arrays = layout.arrays.map(array)
        machine.firmwareSets = layout.firmwareSets.indices.map(firmwareSet)
        machine.volumeGroups = layout.groups.map(group)
    }

    func content(
        _ volume: StorageVolume, _ partitions: [StorageLayout.PartitionVolume] = []
    ) -> VolumeContent {
        var content = VolumeContent()
        content.type = volume.content.type
        content.usage = volume.content.usage
        content.version = volume.content.version
        content.uuid = volume.content.uuid
        content.label = volume.content.label
        content.ambivalent = volume.content.ambivalent
        // These have no signature that libblkid knows: their partitions' types tell.
        if content.type == nil, content.ambivalent.isEmpty, let technology = volume.technology {
            content.type = technology.rawValue
            content.usage = "raid"
        }
        content.table = volume.table.map { table($0, partitions) }
        content.problems = volume.problems
        return content
    }

    private func table(
        _ table: PartitionTable, _ partitions: [StorageLayout.PartitionVolume]
    ) -> PartitionTableRecord {
        let word: String
        switch table.kind {
        case .gpt: word = "gpt"
        case .mbr, .none: word = "dos"
        case .hybrid: word = "hybrid"
        }
        var record = PartitionTableRecord(type: word)
        record.uuid = table.identifier?.lowercased()
        record.primary = table.primaryCopy?.description
        record.backup = table.backupCopy?.description
        record.problems = table.findings
        record.partitions = table.partitions.map { partition in
            var entry = PartitionRecord(
                number: partition.number, offset: partition.firstByte, size: partition.lengthInBytes,
                type: partition.type.description.lowercased(), flags: partition.flags)
            entry.uuid = partition.identifier.isEmpty ? nil : partition.identifier.lowercased()
            entry.label = partition.name.isEmpty ? nil : partition.name
            if let volume = partitions.first(where: { $0.partition.number == partition.number })?.volume {
                entry.name = volume.name
                entry.content = content(volume)
            }
            return entry
        }
        return record
    }

    private func array(_ item: StorageLayout.ArrayVolume) -> SoftwareArray {
        let array = item.array
        let superblock = array.superblock
        var record = SoftwareArray(
            uuid: array.uuid.description, metadata: array.version.rawValue,
            level: superblock?.level.description ?? "unknown", raidDevices: superblock?.raidDisks ?? 0,
            state: state(array))
        record.name = superblock.flatMap { $0.name.isEmpty ? nil : $0.name }
        record.layout = superblock?.layoutName
        record.chunkSize = superblock.flatMap { $0.chunkSizeInBytes > 0 ? $0.chunkSizeInBytes : nil }
        record.size = item.volume?.source.lengthInBytes
        record.missing = array.missing
        record.members =
            array.active.map { member($0, "active") } + array.spares.map { member($0, "spare") }
            + array.stale.map { member($0, "stale") } + array.others.map { member($0, "other") }
        record.problems = array.findings
        record.content = item.volume.map { content($0, item.partitions) }
        return record
    }

    private func state(_ array: MDArray) -> String {
        switch array.state {
        case .complete: return array.superblock?.isClean == true ? "clean" : "active"
        case .degraded: return "degraded"
        case .incomplete: return "incomplete"
        }
    }

    private func member(_ member: MDMember, _ state: String) -> ArrayMember {
        let role: String
        switch member.superblock.role {
        case .active(let number): role = "\(number)"
        case .spare: role = "spare"
        case .faulty: role = "faulty"
        case .journal: role = "journal"
        case .unknown(let raw): role = "unknown(\(raw))"
        }
        let word = member.superblock.role == .faulty ? "faulty" : state
        var record = ArrayMember(
            device: member.device, role: role, state: word, events: member.superblock.eventCount,
            dataOffset: member.superblock.dataOffsetInBytes)
        record.uuid = member.superblock.deviceUUID?.description
        return record
    }

    private func group(_ item: StorageLayout.GroupVolume) -> VolumeGroup {
        let group = item.group
        var record = VolumeGroup(
            name: group.name, uuid: group.uuid, sequence: group.sequence, extentSize: group.extentLength)
        record.physicalVolumes = group.physicalVolumes.map { volume in
            PhysicalVolume(
                uuid: volume.uuid, device: volume.device, size: volume.lengthInBytes,
                free: bytes(volume.freeExtents, group.extentLength))
        }
        record.logicalVolumes = group.logicalVolumes.map { volume in
            var entry = LogicalVolume(
                name: volume.name, uuid: volume.uuid, segmentTypes: volume.types,
                size: bytes(volume.extentCount, group.extentLength), isHidden: !volume.isVisible,
                isComplete: group.isComplete(volume))
            entry.content = item.volumes[volume.name].map { content($0) }
            return entry
        }
        record.problems = group.findings
        return record
    }

    private func bytes(_ extents: Int64, _ length: Int64) -> Int64 {
        let (bytes, overflow) = extents.multipliedReportingOverflow(by: length)
        return overflow ? .max : bytes
    }
}
