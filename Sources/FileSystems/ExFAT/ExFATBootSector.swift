// SPDX-License-Identifier: GPL-3.0-or-later

/// The first sectors of an exFAT volume.
///
/// Microsoft, "exFAT file system specification", section 3. Twelve sectors, the last of them full of the others'
/// checksum, then the same again as a copy.
///
///     64 partition's start    72 volume's sectors    80 table: first sector, 84 sectors
///     88 clusters: first sector, 92 count    96 root's cluster    100 serial number    104 revision    106 flags
///     108, 109 sector and cluster size as powers of two    110 tables
struct ExFATBootSector: Sendable {
    /// Sectors of the region that a checksum covers, with the sector that holds it.
    static let regionSectors = 12
    /// Lowest value in the table that ends a chain.
    static let endMark: UInt32 = 0xffff_fff8

    let sectorSize: Int
    let clusterSize: Int64
    let clusterCount: UInt32
    /// Where the table in force begins.
    let tableOffset: Int64
    let heapOffset: Int64
    let rootCluster: UInt32
    let serialNumber: String
    /// Tables, and allocation bitmaps.
    let tableCount: Int
    /// Which of them is in force.
    let active: Int
    let isMarkedDirty: Bool
    let hasMediaFailure: Bool

    /// Bytes up to the end of the last cluster.
    var lengthInBytes: Int64 { heapOffset + Int64(clusterCount) * clusterSize }

    static func isPresent(_ sector: ByteFields) -> Bool {
        sector.text(3, 8) == "EXFAT   " && sector.part(11, 53).allSatisfy { $0 == 0 }
            && sector.little(510, as: UInt16.self) == 0xaa55
    }

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
        guard let sector = try bytes.fieldsIfPresent(at: 0, count: 512), Self.isPresent(sector) else {
            throw damaged("there is no exFAT boot sector")
        }
        guard sector.byte(105) == 1 else {
            throw FileSystemError(bytes.name, .unsupported("revision \(sector.byte(105)) of exFAT"))
        }
        let (sectorBits, clusterBits) = (Int(sector.byte(108)), Int(sector.byte(109)))
        guard (9...12).contains(sectorBits), clusterBits <= 25 - sectorBits else {
            throw damaged("its sector or cluster size")
        }
        sectorSize = 1 << sectorBits
        clusterSize = Int64(1) << Int64(sectorBits + clusterBits)
        clusterCount = sector.little(92)
        tableCount = Int(sector.byte(110))
        let flags: UInt16 = sector.little(106)
        active = Int(flags & 1)
        isMarkedDirty = flags & 2 != 0
        hasMediaFailure = flags & 4 != 0
        rootCluster = sector.little(96)
        let digits = hexadecimal(sector.little(100, as: UInt32.self), width: 8).uppercased()
        serialNumber = "\(digits.prefix(4))-\(digits.suffix(4))"

        // All in sectors: each fits 32 bits, and so their sums fit 64.
        let table = Int64(sector.little(80, as: UInt32.self))
        let tableLength = Int64(sector.little(84, as: UInt32.self))
        let heap = Int64(sector.little(88, as: UInt32.self))
        let length = Int64(clamping: sector.little(72, as: UInt64.self))
        guard (1...2).contains(tableCount), active < tableCount, table >= 2 * Int64(Self.regionSectors),
            table + tableLength * Int64(tableCount) <= heap, clusterCount > 0, clusterCount <= 0xffff_fff5,
            tableLength << Int64(sectorBits) >= (Int64(clusterCount) + 2) * 4,
            heap + Int64(clusterCount) << Int64(clusterBits) <= length,
            length <= bytes.lengthInBytes >> Int64(sectorBits)
        else { throw damaged("its table and clusters do not fit the volume") }
        tableOffset = (table + Int64(active) * tableLength) << Int64(sectorBits)
        heapOffset = heap << Int64(sectorBits)
        guard offset(ofCluster: rootCluster) != nil else { throw damaged("its root lies outside") }

        let region = try bytes.fields(at: 0, count: Self.regionSectors * sectorSize)
        guard Self.isWhole(region, sectorSize) else { throw damaged("its boot sectors' checksum") }
    }

    /// Tells whether a region's last sector is full of the checksum of the others.
    private static func isWhole(_ region: ByteFields, _ sectorSize: Int) -> Bool {
        let end = (regionSectors - 1) * sectorSize
        var sum: UInt32 = 0
        // The volume's flags and how full it is change without the checksum.
        for (place, byte) in region.part(0, end).enumerated() where ![106, 107, 112].contains(place) {
            sum = (sum >> 1 | sum << 31) &+ UInt32(byte)
        }
        return stride(from: end, to: end + sectorSize, by: 4).allSatisfy { region.little($0, as: UInt32.self) == sum }
    }

    /// Holds the sectors against their copy.
    func checkCopy(_ bytes: VolumeBytes) throws(FileSystemError) {
        let count = Self.regionSectors * sectorSize
        var one = try bytes.fields(at: 0, count: count).bytes
        var other = try bytes.fields(at: Int64(count), count: count).bytes
        for place in [106, 107, 112] { (one[place], other[place]) = (0, 0) }
        guard one == other else {
            throw FileSystemError(bytes.name, .damaged("its boot sectors are not the same as their copy"))
        }
    }

    /// Returns the byte where `cluster` begins, nil when there is no such.
    func offset(ofCluster cluster: UInt32) -> Int64? {
        guard cluster >= 2, cluster - 2 < clusterCount else { return nil }
        return heapOffset + Int64(cluster - 2) * clusterSize
    }

    /// Returns how many clusters `length` bytes need.
    func clusters(_ length: Int64) -> Int64 { length / clusterSize + (length % clusterSize == 0 ? 0 : 1) }
}

/// Where the bytes of a file or a directory lie.
struct ExFATPlace: Sendable, Hashable {
    /// Its first cluster; 0 when it has none.
    var first: UInt32
    /// Whether its clusters follow each other, and the table says nothing of them.
    var isContiguous: Bool
    /// Bytes of it; nil for the root, whose chain alone tells.
    var length: Int64?
}

/// Follows chains of clusters.
struct ExFATChains {
    private let bytes: VolumeBytes
    private let boot: ExFATBootSector
    /// A piece of the table: entries of a chain lie close together.
    private var window = ByteFields([])
    private var windowStart: Int64 = 0

    init(_ bytes: VolumeBytes, _ boot: ExFATBootSector) {
        self.bytes = bytes
        self.boot = boot
    }

    /// Returns the table's entry of `cluster`, which exists.
    mutating func next(_ cluster: UInt32) throws(FileSystemError) -> UInt32 {
        let offset = boot.tableOffset + Int64(cluster) * 4
        if offset < windowStart || offset + 4 > windowStart + Int64(window.count) {
            let end = boot.tableOffset + (Int64(boot.clusterCount) + 2) * 4
            window = try bytes.fields(at: offset, count: Int(min(4096, max(end - offset, 4))))
            windowStart = offset
        }
        return window.little(Int(offset - windowStart))
    }

    /// Calls `body` with the clusters of `place`, neighbours together, up to `most` of them, until it returns false.
    ///
    /// - Returns: how many there were.
    @discardableResult
    mutating func follow(
        _ place: ExFATPlace, most: Int64, _ file: String,
        _ body: (_ offset: Int64, _ clusters: Int64) throws(FileSystemError) -> Bool
    ) throws(FileSystemError) -> Int64 {
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, file: file, .damaged(what)) }
        let wanted = min(place.length.map { boot.clusters($0) } ?? .max, most)
        guard wanted > 0 else { return 0 }
        guard var start = boot.offset(ofCluster: place.first) else {
            throw damaged("its chain leads to cluster \(place.first)")
        }
        if place.isContiguous {
            guard wanted <= Int64(boot.clusterCount) - Int64(place.first - 2) else {
                throw damaged("its clusters do not fit the volume")
            }
            _ = try body(start, wanted)
            return wanted
        }
        var cluster = place.first
        var count: Int64 = 1
        var run: Int64 = 1
        while count < wanted {
            let next = try next(cluster)
            if next >= ExFATBootSector.endMark {
                guard place.length == nil else { throw damaged("its chain ends before its size") }
                break
            }
            guard let offset = boot.offset(ofCluster: next) else { throw damaged("its chain leads to cluster \(next)") }
            // A run that grows no further is handed on, so that a ring of clusters meets its end there.
            if next == cluster + 1, run < 1 << 16 {
                run += 1
            } else {
                guard try body(start, run) else { return count }
                (start, run) = (offset, 1)
            }
            cluster = next
            count += 1
        }
        _ = try body(start, run)
        return count
    }

    /// Tells whether the chain of `place` ends behind its last cluster, as its length says.
    mutating func ends(_ place: ExFATPlace, last offset: Int64) throws(FileSystemError) -> Bool {
        if place.isContiguous { return true }
        let cluster = UInt32((offset - boot.heapOffset) / boot.clusterSize) + 2
        return try next(cluster) >= ExFATBootSector.endMark
    }
}
