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
    }

    /// The disks, in the order given.
    public var disks: [DiskVolume] = []
    /// The md arrays.
    public var arrays: [ArrayVolume] = []
    /// The volume groups.
    public var groups: [GroupVolume] = []
    /// Members of firmware RAID, by the set that they belong to.
    public var firmwareSets: [FirmwareSet] = []

    /// How often arrays and volume groups may lie on each other.
    private static let maximumRounds = 4

    /// Every volume whose content can be read, disks first.
    public var volumes: [StorageVolume] {
        var volumes: [StorageVolume] = []
        for disk in disks { volumes += [disk.volume] + disk.partitions.map(\.volume) }
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
    /// - Throws: `BlockError` when there are no threads.
    public static func read(_ sources: [any BlockSource], threads: Int = 16) throws(BlockError) -> StorageLayout {
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
                let scan = DiskScan(sources[index])
                scans.withLock { $0[index] = scan }
            }
        }
        let found = scans.withLock { $0.compactMap(\.self) }
        layout.disks = found.map { DiskVolume(volume: $0.whole.volume, partitions: $0.partitionVolumes) }
        var known = found.flatMap(\.volumes)
        for _ in 0..<maximumRounds {
            let fresh = layout.addArrays(known) + layout.addGroups(known)
            guard !fresh.isEmpty else { break }
            known += fresh
        }
        layout.firmwareSets = FirmwareSet.group(known.map(\.volume))
        return layout
    }

    /// Puts arrays together from all members in `known`, and returns the volumes that come of those not seen before.
    private mutating func addArrays(_ known: [VolumeScan]) -> [VolumeScan] {
        let members = known.flatMap { scan in
            scan.superblocks.map { MDMember(device: scan.volume.name, superblock: $0) }
        }
        var fresh: [VolumeScan] = []
        for array in MDArray.group(members) {
            if let place = arrays.firstIndex(where: { $0.array.uuid == array.uuid }) {
                // A later round may have found more members.
                guard arrays[place].volume == nil else { continue }
                arrays[place].array = array
            } else {
                arrays.append(ArrayVolume(array: array))
            }
            guard let source = array.source({ Self.source($0, known) }) else { continue }
            let scan = DiskScan(source)
            guard let place = arrays.firstIndex(where: { $0.array.uuid == array.uuid }) else { continue }
            arrays[place].volume = scan.whole.volume
            arrays[place].partitions = scan.partitionVolumes
            fresh += scan.volumes
        }
        return fresh
    }

    /// Puts volume groups together from all labels in `known`, and returns the logical volumes not seen before.
    private mutating func addGroups(_ known: [VolumeScan]) -> [VolumeScan] {
        let labels = known.compactMap { scan in
            scan.label.map { LVMVolumeGroup.Found(device: scan.volume.name, label: $0) }
        }
        var fresh: [VolumeScan] = []
        for group in LVMVolumeGroup.group(labels) {
            let place: Int
            if let known = groups.firstIndex(where: { $0.group.uuid == group.uuid }) {
                place = known
                groups[place].group = group
            } else {
                place = groups.count
                groups.append(GroupVolume(group: group))
            }
            for volume in group.logicalVolumes where volume.isVisible && groups[place].volumes[volume.name] == nil {
                guard !volume.isSnapshotStore, let source = group.source(of: volume.name, { Self.source($0, known) })
                else { continue }
                let scan = VolumeScan(source)
                groups[place].volumes[volume.name] = scan.volume
                fresh.append(scan)
            }
        }
        return fresh
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
    /// Why something of it could not be read, in sentences.
    public var problems: [String] = []

    /// Takes a volume of which nothing is read yet.
    init(_ source: any BlockSource) {
        name = source.name
        self.source = source
    }
}

/// What is found on one volume.
struct VolumeScan: Sendable {
    var volume: StorageVolume
    var superblocks: [MDSuperblock] = []
    var label: LVMLabel?

    init(_ source: any BlockSource, isWholeDisk: Bool = false) {
        volume = StorageVolume(source)
        do throws(BlockError) {
            superblocks = try MDSuperblock.all(on: source)
            volume.content = try ContentProbe.read(source, isWholeDisk: isWholeDisk)
            // On a member, what looks like content is the array's.
            if !superblocks.contains(where: \.isChecksumCorrect) { label = try LVMLabel(source) }
        } catch {
            volume.problems.append(error.description)
        }
    }
}

/// What is found on a disk or array, and on its partitions.
struct DiskScan: Sendable {
    var whole: VolumeScan
    private var partitions: [(partition: Partition, scan: VolumeScan)] = []

    var partitionVolumes: [StorageLayout.PartitionVolume] {
        partitions.map { StorageLayout.PartitionVolume(partition: $0.partition, volume: $0.scan.volume) }
    }

    var volumes: [VolumeScan] { [whole] + partitions.map(\.scan) }

    init(_ source: any BlockSource) {
        whole = VolumeScan(source, isWholeDisk: true)
        // What is a member as a whole has no table of its own, whatever is left of an old one.
        let isMember = whole.superblocks.contains { $0.isChecksumCorrect && $0.offset < source.lengthInBytes / 2 }
        guard !isMember, whole.label == nil else { return }
        do throws(BlockError) {
            let table = try PartitionTable(reading: source)
            guard table.kind != .none else { return }
            // The boot sector of these has an MBR's signature, and code where its entries would be.
            let isBootSector = ["exfat", "ntfs", "vfat"].contains(whole.volume.content.type)
            guard !(table.kind == .mbr && isBootSector) else { return }
            whole.volume.table = table
            for partition in table.partitions where !partition.type.isExtended {
                let name = Self.name(of: partition.number, on: source.name)
                let slice = SliceSource(
                    source, name: name, firstByte: partition.firstByte, length: partition.lengthInBytes)
                guard slice.lengthInBytes > 0 else { continue }
                partitions.append((partition, VolumeScan(slice)))
            }
        } catch {
            whole.volume.problems.append(error.description)
        }
        dropWhatIsAPartitions()
    }

    /// A superblock at the end of the last partition is at the end of the disk as well.
    private mutating func dropWhatIsAPartitions() {
        let places = Set(
            partitions.flatMap { item in item.scan.superblocks.map { $0.offset + item.partition.firstByte } })
        guard whole.superblocks.contains(where: { places.contains($0.offset) }) else { return }
        whole.superblocks.removeAll { places.contains($0.offset) }
        if whole.superblocks.isEmpty, whole.volume.content.type == "linux_raid_member" {
            whole.volume.content = DetectedContent()
        }
    }

    /// Names a partition as the kernel does: `sda1`, `nvme0n1p1`.
    static func name(of number: Int, on disk: String) -> String {
        "\(disk)\(disk.last?.isNumber == true ? "p" : "")\(number)"
    }
}
