// SPDX-License-Identifier: GPL-3.0-or-later

extension FATReader {
    /// Returns which clusters have a free entry in the table, held against the chains of all files and directories.
    ///
    /// The count of free clusters in FAT32's FSInfo sector is not looked at: it is a hint, which formatters and
    /// drivers leave out of date on volumes that are otherwise sound, and it says nothing of a single cluster.
    /// Clusters marked bad are in use: nobody knows what lies there.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        guard !boot.hasOneActiveTable else {
            throw FileSystemError(volume, .unsupported("a table whose copy is not kept"))
        }
        guard boot.isRootWhole else { throw FileSystemError(volume, .damaged("its root has half a sector")) }
        try checkBackup()
        var table = FATTable(bytes, boot)
        try table.scan(options)
        var use = SpaceUse(free: table.free)
        guard options.isChecked else { return use }
        var walk = FATWalk(bytes, boot, options)
        try walk.run()
        use.checkedExtents = walk.chains
        return use
    }

    /// Holds the sizes in FAT32's boot sector against the copy of it, where there is one.
    ///
    /// Only them: labels, flags and boot code are often changed in one of the two.
    private func checkBackup() throws(FileSystemError) {
        guard boot.width == 32, let sector = try bytes.fieldsIfPresent(at: 0, count: 512) else { return }
        let place = Int64(sector.little(50, as: UInt16.self)) * Int64(sector.little(11, as: UInt16.self))
        guard place > 0, place < boot.tablesOffset, let copy = try bytes.fieldsIfPresent(at: place, count: 512),
            copy.little(510, as: UInt16.self) == 0xaa55
        else { return }
        guard copy.part(11, 13) == sector.part(11, 13), copy.part(32, 16) == sector.part(32, 16) else {
            throw FileSystemError(volume, .damaged("its boot sector and the copy of it give different sizes"))
        }
    }
}

/// The file allocation table, read from its begin to its end.
struct FATTable {
    private static let pieceLength = 1 << 20

    private let bytes: VolumeBytes
    private let boot: FATBootSector
    private(set) var free = FreeRuns()

    init(_ bytes: VolumeBytes, _ boot: FATBootSector) {
        self.bytes = bytes
        self.boot = boot
    }

    /// Reads the table: its copies must be the same, and no entry may lead out of it.
    mutating func scan(_ options: SpaceOptions) throws(FileSystemError) {
        let count = Int64(boot.clusterCount) + 2
        let length = (count * Int64(boot.width) + 7) / 8
        var place: Int64 = 0
        while place < length {
            guard options.goesOn() else { throw FileSystemError(bytes.name, .stopped) }
            let size = Int(min(Int64(Self.pieceLength), length - place))
            let piece = try bytes.fields(at: boot.tablesOffset + place, count: size)
            for copy in 1..<max(boot.tableCount, 1) {
                let other = try bytes.fields(
                    at: boot.tablesOffset + Int64(copy) * boot.tableSize + place, count: size)
                guard piece.bytes == other.bytes else {
                    throw damaged("its allocation tables differ near byte \(place)")
                }
            }
            switch boot.width {
            case 12: try scan12(piece)
            case 16: try scan(piece, first: place / 2, most: count) { UInt32(UInt16(littleEndian: $0)) }
            default: try scan(piece, first: place / 4, most: count) { UInt32(littleEndian: $0) & 0x0fff_ffff }
            }
            place += Int64(size)
        }
    }

    /// Reads a table of 12 bits an entry, which is never longer than 6 KiB.
    private mutating func scan12(_ piece: ByteFields) throws(FileSystemError) {
        for cluster in 0..<boot.clusterCount + 2 {
            let place = Int(cluster) * 3 / 2
            let pair = UInt32(piece.byte(place)) | UInt32(piece.byte(place + 1)) << 8
            try note(cluster, cluster % 2 == 0 ? pair & 0xfff : pair >> 4)
        }
    }

    /// Reads a piece of a table whose entries are whole numbers, from the entry `first` on.
    private mutating func scan<Entry: FixedWidthInteger>(
        _ piece: ByteFields, first: Int64, most: Int64, _ value: (Entry) -> UInt32
    ) throws(FileSystemError) {
        let size = MemoryLayout<Entry>.size
        for index in 0..<piece.count / size where first + Int64(index) < most {
            let entry = piece.bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * size, as: Entry.self) }
            try note(UInt32(first) + UInt32(index), value(entry))
        }
    }

    /// Takes note of an entry: free, the next cluster of a chain, or one of the marks above.
    private mutating func note(_ cluster: UInt32, _ value: UInt32) throws(FileSystemError) {
        guard cluster >= 2 else {
            // The first one repeats the boot sector's byte, the second one is an end with the volume's flags in it.
            guard cluster == 1 || UInt8(truncatingIfNeeded: value) == boot.mediaByte else {
                throw damaged("its allocation table begins with \(hexadecimal(value, width: 3))")
            }
            return
        }
        if value == 0 {
            guard let offset = boot.offset(ofCluster: cluster) else { return }
            free.append(offset..<offset + Int64(boot.clusterSize))
        } else if value == 1 || value - 2 >= boot.clusterCount && value < boot.reservedMark {
            throw damaged("cluster \(cluster) leads to cluster \(value)")
        }
    }

    private func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
}

/// Follows the chains of all directories and files.
struct FATWalk {
    /// Directories that wait to be read: more than any real volume has.
    private static let maximumWaiting = 1 << 20
    private static let itself = ".          "
    private static let parent = "..         "

    private let bytes: VolumeBytes
    private let boot: FATBootSector
    private let options: SpaceOptions
    /// A bit a cluster that a chain went through: 32 MiB at most.
    private var seen: [UInt64]
    private var window = FATReader.Window()
    private var waiting: [(cluster: UInt32, entry: Int64)] = []
    private var steps = 0
    /// Pieces of chains, of neighbouring clusters each.
    private(set) var chains = 0

    init(_ bytes: VolumeBytes, _ boot: FATBootSector, _ options: SpaceOptions) {
        self.bytes = bytes
        self.boot = boot
        self.options = options
        seen = [UInt64](repeating: 0, count: (Int(boot.clusterCount) + 63) / 64)
    }

    /// Goes through the tree: a chain with a free or a bad cluster, or with one of another chain, is an error.
    ///
    /// What lies in no chain though its entry is not free - lost - stays in use.
    mutating func run() throws(FileSystemError) {
        if boot.width == 32 {
            waiting.append((boot.rootCluster, 0))
        } else {
            try scan([(boot.rootOffset, boot.rootSize)])
        }
        while let next = waiting.popLast() {
            let most = max(FATReader.maximumDirectory / boot.clusterSize, 1)
            let runs = try follow(next.cluster, of: next.entry, most: most)
            if next.entry != 0 { try checkSelf(runs, of: next) }
            try scan(runs)
        }
    }

    /// Tells whether a directory begins with an entry for itself.
    ///
    /// With a wrong number in the boot sector, which FAT12 and FAT16 have no copy of, other bytes would be looked at.
    private func checkSelf(
        _ runs: [(offset: Int64, count: Int)], of directory: (cluster: UInt32, entry: Int64)
    ) throws(FileSystemError) {
        guard let place = runs.first?.offset else { return }
        let fields = try bytes.fields(at: place, count: 64)
        guard fields.text(0, 11) == Self.itself, fields.text(32, 11) == Self.parent, fields.byte(11) & 0x10 != 0,
            fields.byte(43) & 0x10 != 0, cluster(fields, 0) == directory.cluster
        else { throw damaged(directory.entry, "the directory does not begin with itself") }
    }

    /// Returns the first cluster that an entry gives.
    private func cluster(_ fields: ByteFields, _ place: Int) -> UInt32 {
        let high = boot.width == 32 ? UInt32(fields.little(place + 20, as: UInt16.self)) << 16 : 0
        return high | UInt32(fields.little(place + 26, as: UInt16.self))
    }

    /// Reads a directory's entries up to the one that ends it, and follows what they name.
    private mutating func scan(_ runs: [(offset: Int64, count: Int)]) throws(FileSystemError) {
        for run in runs {
            var done = 0
            while done < run.count {
                let offset = run.offset + Int64(done)
                let fields = try bytes.fields(at: offset, count: min(run.count - done, 64 << 10))
                for place in stride(from: 0, to: fields.count - 31, by: 32) {
                    if fields.byte(place) == 0 { return }
                    try look(at: fields, place, offset + Int64(place))
                }
                done += fields.count
            }
        }
    }

    /// Follows what an entry names.
    private mutating func look(at fields: ByteFields, _ place: Int, _ offset: Int64) throws(FileSystemError) {
        let attributes = fields.byte(place + 11)
        // Free, part of a long name, or the label.
        if fields.byte(place) == 0xe5 || attributes & 0x3f == 0x0f || attributes & 0x08 != 0 { return }
        let first = cluster(fields, place)
        if attributes & 0x10 != 0 {
            // `.` and `..` name what is on the way already, and the root by 0.
            if [Self.itself, Self.parent].contains(fields.text(place, 11)) { return }
            guard waiting.count < Self.maximumWaiting else {
                throw FileSystemError(bytes.name, .unsupported("so many directories"))
            }
            waiting.append((first, offset))
        } else {
            let size = Int64(fields.little(place + 28, as: UInt32.self))
            if first == 0, size == 0 { return }
            _ = try follow(first, of: offset, most: 0, least: size)
        }
    }

    /// Follows a chain to its end, and returns its clusters, neighbours together: those of a directory.
    ///
    /// A directory has `most` clusters at most; with 0 it is a file, of which none are returned. The chain must have
    /// room for `least` bytes; it may be longer.
    private mutating func follow(
        _ first: UInt32, of entry: Int64, most: Int, least: Int64 = 1
    ) throws(FileSystemError) -> [(offset: Int64, count: Int)] {
        var runs: [(offset: Int64, count: Int)] = []
        var cluster = first
        var count = 0
        while true {
            guard let offset = boot.offset(ofCluster: cluster) else {
                throw damaged(entry, "its chain leads to cluster \(cluster)")
            }
            let (word, bit) = (Int(cluster - 2) / 64, UInt64(1) << UInt64((cluster - 2) % 64))
            guard seen[word] & bit == 0 else { throw damaged(entry, "cluster \(cluster) is in two chains") }
            seen[word] |= bit
            if count < most {
                if let last = runs.last, last.offset + Int64(last.count) == offset {
                    runs[runs.count - 1].count += boot.clusterSize
                } else {
                    runs.append((offset, boot.clusterSize))
                }
            }
            count += 1
            steps += 1
            if steps % 4096 == 0, !options.goesOn() { throw FileSystemError(bytes.name, .stopped) }
            let next = try FATReader.entry(cluster, bytes, boot, &window)
            guard next != 0 else { throw damaged(entry, "it uses cluster \(cluster), which is called free") }
            if next != cluster + 1 { chains += 1 }
            if next >= boot.endMark { break }
            cluster = next
        }
        guard most == 0 || count <= most else { throw damaged(entry, "a directory longer than any can be") }
        guard Int64(count) * Int64(boot.clusterSize) >= least else {
            throw damaged(entry, "its chain ends before its size")
        }
        return runs
    }

    private func damaged(_ entry: Int64, _ what: String) -> FileSystemError {
        FileSystemError(bytes.name, file: "inode \(entry)", .damaged(what))
    }
}
