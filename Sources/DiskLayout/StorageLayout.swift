// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// What lies on a machine's disks: tables, partitions, arrays, volume groups, and what is in each of them.
public struct StorageLayout: Sendable {
    /// A disk.
    public struct DiskVolume: Sendable {
        /// The disk itself.
        public var volume: StorageVolume
        /// Its partitions, in the order of their numbers; those that lie beyond it left out.
        public var partitions: [PartitionVolume] = []
    }

    /// A partition of a disk or array.
    public struct PartitionVolume: Sendable {
        /// Its entry in the table.
        public var partition: Partition
        /// What lies on it.
        public var volume: StorageVolume
    }

    /// An md array.
    public struct ArrayVolume: Sendable {
        /// The array as its members describe it.
        public var array: MDArray
        /// What lies on it; nil when its data cannot be read.
        public var volume: StorageVolume?
        /// Its partitions.
        public var partitions: [PartitionVolume] = []
    }

    /// An LVM2 volume group.
    public struct GroupVolume: Sendable {
        /// The group as its metadata describe it.
        public var group: LVMVolumeGroup
        /// Logical volumes whose data can be read, by name.
        public var volumes: [String: StorageVolume] = [:]
        /// Why the data of the other visible ones cannot be read, by name.
        public var obstacles: [String: String] = [:]
    }

    /// A volume of firmware RAID whose data can be read.
    public struct FirmwareContent: Sendable {
        /// Number of its set in `firmwareSets`.
        public var set: Int
        /// Number of the volume in the set.
        public var number: Int
        /// What lies on it.
        public var volume: StorageVolume
        /// Its partitions.
        public var partitions: [PartitionVolume] = []
    }

    /// The disks, in the order given.
    public var disks: [DiskVolume] = []
    /// The md arrays.
    public var arrays: [ArrayVolume] = []
    /// The volume groups.
    public var groups: [GroupVolume] = []
    /// Members of firmware RAID, by the set that they belong to.
    public var firmwareSets: [FirmwareSet] = []
    /// Their volumes, as far as the data can be read.
    public var firmwareContents: [FirmwareContent] = []
    /// Names of LVM2 physical volumes that no group found has.
    public var unusedPhysicalVolumes: [String] = []
    /// What is worth telling and stands nowhere else, in sentences.
    public var findings: [String] = []

    /// How often arrays and volume groups may lie on each other.
    private static let maximumRounds = 4

    /// Every volume whose content can be read, disks first.
    public var volumes: [StorageVolume] {
        var volumes: [StorageVolume] = []
        for disk in disks { volumes += [disk.volume] + disk.partitions.map(\.volume) }
        for item in firmwareContents { volumes += [item.volume] + item.partitions.map(\.volume) }
        for array in arrays {
            if let volume = array.volume { volumes.append(volume) }
            volumes += array.partitions.map(\.volume)
        }
        for group in groups {
            for volume in group.group.logicalVolumes {
                if let volume = group.volumes[volume.name] { volumes.append(volume) }
            }
        }
        return volumes
    }

    /// Reads what lies on `sources`; what cannot be read is told in its volume, and stops nothing else.
    ///
    /// - Parameter serials: serial numbers of disks by the names of their sources: some firmware RAID knows its disks by
    ///   nothing else.
    /// - Throws: `BlockError` when there are no threads.
    public static func read(
        _ sources: [any BlockSource], serials: [String: String] = [:], threads: Int = 16
    ) throws(BlockError) -> StorageLayout {
        var layout = StorageLayout()
        let scans = Mutex([DiskScan?](repeating: nil, count: sources.count))
        let next = Mutex(0)
        try ParallelWork.run(threads: min(threads, max(sources.count, 1))) { _ in
            while true {
                let index = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard index < sources.count else { return }
                let scan = DiskScan(sources[index], isDisk: true)
                scans.withLock { $0[index] = scan }
            }
        }
        var found = scans.withLock { $0.compactMap(\.self) }
        let volumes = layout.addFirmwareSets(&found, serials)
        layout.disks = found.map { DiskVolume(volume: $0.whole.volume, partitions: $0.partitionVolumes) }
        var known = found.flatMap(\.volumes) + volumes
        for _ in 0..<maximumRounds {
            let fresh = layout.addArrays(known) + layout.addGroups(known)
            guard !fresh.isEmpty else { break }
            known += fresh
        }
        layout.nameUnused(known)
        return layout
    }

    /// Puts firmware RAID together, and returns the volumes that come of it.
    ///
    /// What seemed to lie on a member of a volume that can be read lies on that volume.
    private mutating func addFirmwareSets(_ disks: inout [DiskScan], _ serials: [String: String]) -> [VolumeScan] {
        firmwareSets = FirmwareSet.group(disks.map(\.whole.volume), serials: serials)
        let known = disks.map(\.whole)
        var names: Set<String> = []
        var fresh: [VolumeScan] = []
        for (set, volumes) in firmwareSets.map(\.volumes).enumerated() {
            for (number, volume) in volumes.enumerated() {
                guard let source = volume.source({ Self.source($0, known) }), names.insert(source.name).inserted else {
                    continue
                }
                let scan = DiskScan(source, isDisk: false)
                firmwareContents.append(
                    FirmwareContent(
                        set: set, number: number, volume: scan.whole.volume, partitions: scan.partitionVolumes))
                fresh += scan.volumes
                for device in volume.members.compactMap(\.device) {
                    disks.firstIndex { $0.whole.volume.name == device }.map { disks[$0].leaveToFirmware() }
                }
            }
        }
        return fresh
    }

    /// Puts arrays together from all members in `known`, and returns the volumes that come of those not seen before.
    private mutating func addArrays(_ known: [VolumeScan]) -> [VolumeScan] {
        let members = known.compactMap { scan in
            scan.superblock.map { MDMember(device: scan.volume.name, superblock: $0) }
        }
        var fresh: [VolumeScan] = []
        for array in MDArray.group(members) {
            let place: Int
            if let known = arrays.firstIndex(where: { $0.array.uuid == array.uuid }) {
                // A later round may have found more members.
                guard arrays[known].volume == nil else { continue }
                place = known
                arrays[place].array = array
            } else {
                place = arrays.count
                arrays.append(ArrayVolume(array: array))
            }
            guard let source = array.source({ Self.source($0, known) }) else { continue }
            let scan = DiskScan(source, isDisk: false)
            arrays[place].volume = scan.whole.volume
            arrays[place].partitions = scan.partitionVolumes
            fresh += scan.volumes
        }
        return fresh
    }

    /// Puts volume groups together from all labels in `known`, and returns the logical volumes not seen before.
    private mutating func addGroups(_ known: [VolumeScan]) -> [VolumeScan] {
        var fresh: [VolumeScan] = []
        for group in LVMVolumeGroup.group(Self.physicalVolumes(known)) {
            let place: Int
            if let known = groups.firstIndex(where: { $0.group.uuid == group.uuid }) {
                place = known
                // As long as nothing new was found, nothing new can be read.
                guard groups[place].group != group else { continue }
                groups[place].group = group
            } else {
                place = groups.count
                groups.append(GroupVolume(group: group))
            }
            let mapping = LVMMapping(group) { Self.source($0, known) }
            groups[place].obstacles = [:]
            for volume in group.logicalVolumes where volume.isVisible && groups[place].volumes[volume.name] == nil {
                do throws(BlockError) {
                    let scan = VolumeScan(try mapping.source(of: volume.name))
                    groups[place].volumes[volume.name] = scan.volume
                    fresh.append(scan)
                } catch {
                    groups[place].obstacles[volume.name] = error.description
                }
            }
        }
        return fresh
    }

    private static func physicalVolumes(_ known: [VolumeScan]) -> [LVMVolumeGroup.Found] {
        known.compactMap { scan in
            scan.label.map {
                LVMVolumeGroup.Found(
                    device: scan.volume.name, lengthInBytes: scan.volume.source.lengthInBytes, label: $0)
            }
        }
    }

    /// Names physical volumes without a group, and what is wrong with those.
    private mutating func nameUnused(_ known: [VolumeScan]) {
        let used = Set(groups.flatMap { $0.group.physicalVolumes.map(\.uuid) })
        for volume in Self.physicalVolumes(known) where !used.contains(LVMVolumeGroup.grouped(volume.label.uuid)) {
            unusedPhysicalVolumes.append(volume.device)
            findings += volume.label.findings.map { "\(volume.device): \($0)" }
            if volume.label.isMarkedUsed {
                findings.append("\(volume.device) belongs to a volume group of which no metadata were found")
            }
        }
    }

    private static func source(_ name: String, _ known: [VolumeScan]) -> (any BlockSource)? {
        known.first { $0.volume.name == name }?.volume.source
    }
}

/// Something that holds content: a disk, a partition, an array, a logical volume.
public struct StorageVolume: Sendable {
    /// What messages call it.
    public var name: String
    /// Its bytes.
    public var source: any BlockSource
    /// What libblkid finds on it.
    public var content = DetectedContent()
    /// Its partition table; nil for what cannot have one, or has none.
    public var table: PartitionTable?
    /// What pools disks, and is named but not followed.
    public var technology: PoolTechnology?
    /// Why something of it could not be read, and what was taken for a left-over, in sentences.
    public var problems: [String] = []

    /// Takes a volume of which nothing is read yet.
    init(_ source: any BlockSource) {
        name = source.name
        self.source = source
    }
}
