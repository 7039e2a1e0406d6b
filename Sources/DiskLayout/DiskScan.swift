// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What is found on one volume.
struct VolumeScan: Sendable {
    var volume: StorageVolume
    /// The md superblock that makes it a member of an array.
    var superblock: MDSuperblock?
    /// The label that makes it a physical volume.
    var label: LVMLabel?

    /// Whether anything is known to lie on it.
    var isRecognized: Bool {
        !volume.content.isEmpty || superblock != nil || label != nil || volume.technology != nil
    }

    /// Reads what `source` holds; what cannot be read goes to the volume's problems, and hides nothing else.
    init(_ source: any BlockSource, isWholeDisk: Bool = false) {
        volume = StorageVolume(source)
        let superblocks = attempt { () throws(BlockError) in try MDSuperblock.all(on: source) } ?? []
        let content = attempt { () throws(BlockError) in try ContentProbe.read(source, isWholeDisk: isWholeDisk) }
        volume.content = content ?? DetectedContent()
        volume.technology = PoolTechnology(type: volume.content.type)
        label = attempt { () throws(BlockError) in try LVMLabel(source) } ?? nil
        choose(superblocks)
    }

    /// Calls `body`, and keeps what it throws.
    mutating func attempt<Value>(_ body: () throws(BlockError) -> Value) -> Value? {
        do throws(BlockError) {
            return try body()
        } catch {
            if !volume.problems.contains(error.description) { volume.problems.append(error.description) }
            return nil
        }
    }

    /// Takes nothing for an md member any more.
    mutating func dropSuperblock(_ reason: String?) {
        superblock = nil
        if let reason { volume.problems.append(reason) }
        if volume.content.type == "linux_raid_member" { volume.content = DetectedContent() }
    }

    /// Takes nothing for a physical volume any more.
    mutating func dropLabel(_ reason: String?) {
        label = nil
        if let reason { volume.problems.append(reason) }
        if volume.content.type == "LVM2_member" { volume.content = DetectedContent() }
    }

    /// Signatures outlive what they stood for: leaves one owner.
    private mutating func choose(_ superblocks: [MDSuperblock]) {
        let sound = superblocks.filter(\.isChecksumCorrect)
        superblock = (sound.isEmpty ? superblocks : sound).max { $0.updateTime < $1.updateTime }
        for other in superblocks where other != superblock {
            volume.problems.append("a second md superblock, \(other.version.rawValue), is taken for a left-over")
        }
        guard let superblock, let label else { return }
        let isAtEnd = superblock.version == .v0_90 || superblock.version == .v1_0
        if !superblock.isChecksumCorrect || (isAtEnd && label.deviceLength > superblock.offset) {
            // The physical volume was made on all of the device: the superblock was there before, or lies in a volume.
            dropSuperblock("an md superblock within the physical volume is taken for a left-over")
        } else {
            // In front of an array's data nothing of the array can lie: such a label is older.
            self.label = nil
            if !isAtEnd { volume.problems.append("an LVM2 label beside an md superblock is taken for a left-over") }
        }
    }
}

/// What is found on a disk or array, and on its partitions.
struct DiskScan: Sendable {
    private(set) var whole: VolumeScan
    private var partitions: [(partition: Partition, scan: VolumeScan)] = []

    var partitionVolumes: [StorageLayout.PartitionVolume] {
        partitions.map { StorageLayout.PartitionVolume(partition: $0.partition, volume: $0.scan.volume) }
    }

    var volumes: [VolumeScan] { [whole] + partitions.map(\.scan) }

    /// Reads what `source` and its partitions hold.
    ///
    /// - Parameter isDisk: whether firmware RAID metadata may be on it, which an array's data never hold.
    init(_ source: any BlockSource, isDisk: Bool) {
        whole = VolumeScan(source, isWholeDisk: isDisk)
        let table = whole.attempt { () throws(BlockError) in try PartitionTable(reading: source) }
        guard let table, table.kind != .none else { return }
        // The boot sector of these has an MBR's signature, and code where its entries would be.
        let isBootSector = ["exfat", "ntfs", "vfat"].contains(whole.volume.content.type)
        guard !(table.kind == .mbr && isBootSector) else { return }
        whole.volume.table = table
        for partition in table.partitions where !partition.type.isExtended {
            let name = Self.name(of: partition.number, on: source.name)
            let slice = SliceSource(
                source, name: name, firstByte: partition.firstByte, length: partition.lengthInBytes)
            guard slice.lengthInBytes > 0 else { continue }
            var scan = VolumeScan(slice)
            scan.volume.technology = scan.volume.technology ?? PoolTechnology(partition: partition.type)
            partitions.append((partition, scan))
        }
        dropWhatIsAPartitions()
        decide(table)
        nameDynamicDisk(source)
    }

    /// A superblock at the end of the last partition is at the end of the disk as well.
    private mutating func dropWhatIsAPartitions() {
        guard let offset = whole.superblock?.offset,
            let owner = partitions.first(where: { $0.partition.firstByte <= offset && offset < $0.partition.end })
        else { return }
        let isKnown = owner.scan.superblock?.offset == offset - owner.partition.firstByte
        whole.dropSuperblock(
            isKnown ? nil : "an md superblock within \(owner.scan.volume.name) is taken for a left-over")
    }

    /// Decides which is left over: the partitions, or what claims the whole device.
    private mutating func decide(_ table: PartitionTable) {
        let areUsed = partitions.contains { $0.scan.isRecognized }
        if let superblock = whole.superblock {
            if !superblock.isChecksumCorrect {
                whole.dropSuperblock("a damaged md superblock is taken for a left-over")
            } else if superblock.version == .v1_1 || superblock.version == .v1_2 {
                guard areUsed else { return dropTable("is taken for a left-over: the whole device is an md member") }
                whole.dropSuperblock("an md superblock in front of the partitions is taken for a left-over")
            } else if table.primaryCopy == .good, table.backupCopy == .good, areUsed {
                // A GPT that ends with the device was made for the device, not for an array on it.
                whole.dropSuperblock("an md superblock behind the partitions is taken for a left-over")
            } else {
                dropTable("is that of the array: the whole device is an md member")
            }
        } else if whole.label != nil {
            guard areUsed else { return dropTable("is taken for a left-over: the whole device is a physical volume") }
            whole.dropLabel("an LVM2 label in front of the partitions is taken for a left-over")
        }
    }

    /// Takes nothing on it for its own but that it is a member of firmware RAID, whose volumes hold the rest.
    mutating func leaveToFirmware() {
        if whole.volume.table != nil { dropTable("is that of a volume of firmware RAID") }
        whole.superblock = nil
        whole.label = nil
        whole.volume.technology = nil
        let types = [whole.volume.content.type].compactMap(\.self) + whole.volume.content.ambivalent
        guard let type = types.first(where: ContentProbe.firmwareRAIDTypes.contains) else { return }
        if whole.volume.content.type != type { whole.volume.content = DetectedContent() }
        (whole.volume.content.type, whole.volume.content.usage) = (type, "raid")
    }

    private mutating func dropTable(_ reason: String) {
        whole.volume.problems.append("the partition table \(reason)")
        whole.volume.table = nil
        partitions = []
    }

    /// Names a Windows dynamic disk: by its partitions' type, or by the private header in sector 6 of an MBR's disk.
    private mutating func nameDynamicDisk(_ source: any BlockSource) {
        guard whole.volume.technology == nil else { return }
        if partitions.contains(where: { PoolTechnology(partition: $0.partition.type) == .ldm }) {
            whole.volume.technology = .ldm
        } else if whole.volume.table?.kind == .mbr, source.lengthInBytes >= 4096 {
            let header = whole.attempt { () throws(BlockError) in try source.bytes(at: 6 * 512, count: 512) }
            if let header, Array(header.prefix(8)) == Array("PRIVHEAD".utf8) { whole.volume.technology = .ldm }
        }
    }

    /// Names a partition as the kernel does: `sda1`, `nvme0n1p1`.
    static func name(of number: Int, on disk: String) -> String {
        "\(disk)\(disk.last?.isNumber == true ? "p" : "")\(number)"
    }
}
