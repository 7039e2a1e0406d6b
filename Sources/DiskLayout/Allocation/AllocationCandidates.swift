// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// The volumes of a layout that may have free space: each place of a disk belongs to one of them at most.
struct AllocationCandidates {
    /// A volume, and what is known of it from those around it.
    struct Candidate {
        var volume: StorageVolume
        /// Why it must be copied whole, whatever its content says.
        var obstacle: String?
        /// What is free, where that stands outside of the volume: in a volume group's metadata.
        var free: [Range<Int64>]?
        /// Disks that it lies on, as places in the survey.
        var disks: [Int]

        init(_ volume: StorageVolume, obstacle: String? = nil, free: [Range<Int64>]? = nil) {
            self.volume = volume
            self.obstacle = obstacle
            self.free = free
            disks = AllocationCandidates.disks(beneath: volume.source)
        }
    }

    private(set) var volumes: [Candidate] = []

    /// Volumes of firmware RAID and their partitions, by name: whether the firmware is done with them, only it knows.
    private let firmwareVolumes: Set<String>

    init(_ layout: StorageLayout) {
        firmwareVolumes = Set(layout.firmwareContents.flatMap { [$0.volume.name] + $0.partitions.map(\.volume.name) })
        for disk in layout.disks { add(disk.volume, disk.partitions, obstacle: nil) }
        for array in layout.arrays { add(array) }
        for group in layout.groups { add(group, layout) }
    }

    private mutating func add(
        _ volume: StorageVolume, _ partitions: [StorageLayout.PartitionVolume], obstacle: String?
    ) {
        guard let table = volume.table else {
            if !Self.isConsumed(volume) { volumes.append(Candidate(volume, obstacle: obstacle)) }
            return
        }
        if let obstacle = obstacle ?? Self.obstacle(volume, table) {
            return volumes.append(Candidate(volume, obstacle: obstacle))
        }
        for partition in partitions where !Self.isConsumed(partition.volume) {
            volumes.append(Candidate(partition.volume))
        }
    }

    /// Members of what is put together from several are spoken for by that.
    private static func isConsumed(_ volume: StorageVolume) -> Bool {
        volume.content.type == "LVM2_member" || volume.content.type == "linux_raid_member"
    }

    /// Returns why what a table says of its disk is not to be relied on.
    private static func obstacle(_ volume: StorageVolume, _ table: PartitionTable) -> String? {
        if !table.isTrustworthy {
            return "its partition table is doubtful: " + (table.findings.first ?? "it contradicts itself")
        }
        if let problem = volume.problems.first { return problem }
        if let technology = volume.technology { return technology.rawValue }
        if let type = volume.content.type ?? volume.content.ambivalent.first {
            return "\(type) beside a partition table"
        }
        return nil
    }

    private mutating func add(_ item: StorageLayout.ArrayVolume) {
        let level = item.array.superblock?.level.description ?? "unknown level"
        guard let volume = item.volume else { return }
        var obstacle: String?
        if (item.array.active + item.array.stale + item.array.others).contains(where: {
            firmwareVolumes.contains($0.device)
        }) {
            obstacle = "it lies on firmware RAID"
        } else if item.array.superblock?.isClean != true {
            obstacle = "the \(level) array was not stopped"
        } else if !item.array.stale.isEmpty || !item.array.others.isEmpty {
            obstacle = "not all members of the \(level) array are up to date"
        } else if item.array.state != .complete && level != "raid1" {
            obstacle = "the \(level) array is \(item.array.state)"
        }
        add(volume, item.partitions, obstacle: obstacle)
    }

    private mutating func add(_ item: StorageLayout.GroupVolume, _ layout: StorageLayout) {
        let group = item.group
        let free = group.freeExtentRanges()
        let obstacle: String?
        if group.physicalVolumes.contains(where: { firmwareVolumes.contains($0.device ?? "") }) {
            obstacle = "it lies on firmware RAID"
        } else if let finding = group.findings.first {
            obstacle = finding
        } else if !group.isUnderstood {
            obstacle = "the metadata of volume group \(group.name) say more than is known here"
        } else if free == nil {
            obstacle = "volumes of group \(group.name) overlap, or lie beyond their physical volumes"
        } else {
            obstacle = nil
        }
        for physical in group.physicalVolumes {
            guard let device = physical.device,
                let volume = layout.volumes.first(where: { $0.name == device && $0.content.type == "LVM2_member" })
            else { continue }
            let ranges = free?[physical.key]?.compactMap { Self.bytes($0, group, physical) } ?? []
            volumes.append(
                Candidate(volume, obstacle: obstacle ?? volume.problems.first, free: obstacle == nil ? ranges : nil))
        }
        for logical in group.logicalVolumes {
            guard let volume = item.volumes[logical.name], !Self.isConsumed(volume) else { continue }
            let own = logical.isOrigin ? "it has snapshots, which need what is free now" : nil
            volumes.append(Candidate(volume, obstacle: obstacle ?? own))
        }
    }

    private static func bytes(
        _ extents: Range<Int64>, _ group: LVMVolumeGroup, _ volume: LVMVolumeGroup.PhysicalVolume
    ) -> Range<Int64>? {
        let (start, over) = extents.lowerBound.multipliedReportingOverflow(by: group.extentLength)
        let (end, beyond) = extents.upperBound.multipliedReportingOverflow(by: group.extentLength)
        guard !over, !beyond, volume.dataOffset >= 0, end <= .max - volume.dataOffset else { return nil }
        return start + volume.dataOffset..<end + volume.dataOffset
    }

    /// Returns the disks under `source`, each once.
    private static func disks(beneath source: any BlockSource) -> [Int] {
        if let leaf = source as? DiskLeaf { return [leaf.index] }
        guard let composed = source as? any ComposedSource else { return [] }
        return composed.bases.flatMap(disks(beneath:)).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}
