// SPDX-License-Identifier: GPL-3.0-or-later

/// The first sector of a FAT volume.
struct FATBootSector: Sendable {
    /// Bits of a table's entry: 12, 16 or 32, which follows from the number of clusters alone.
    let width: Int
    let clusterSize: Int
    let clusterCount: UInt32
    let mediaByte: UInt8
    /// Where the table in force begins.
    let tableOffset: Int64
    /// Where the first table begins; they follow each other.
    let tablesOffset: Int64
    let tableSize: Int64
    let tableCount: Int
    /// Whether only the table in force is kept up to date.
    let hasOneActiveTable: Bool
    /// First byte of the root directory, where it does not lie in clusters.
    let rootOffset: Int64
    let rootSize: Int
    /// Whether the root's entries fill its last sector.
    let isRootWhole: Bool
    let rootCluster: UInt32
    let dataOffset: Int64
    let serialNumber: String?
    let label: String?
    let isMarkedDirty: Bool

    /// The lowest entry that is no cluster, but a mark: reserved, bad, an end.
    var reservedMark: UInt32 { endMark - 8 }
    /// The lowest entry that ends a chain.
    var endMark: UInt32 { width == 12 ? 0xff8 : width == 16 ? 0xfff8 : 0x0fff_fff8 }

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        guard let sector = try bytes.fieldsIfPresent(at: 0, count: 512), let boot = FATBootSector(sector) else {
            throw FileSystemError(bytes.name, .damaged("there is no FAT boot sector"))
        }
        self = boot
        guard dataOffset + Int64(clusterCount) * Int64(clusterSize) <= bytes.lengthInBytes else {
            throw FileSystemError(bytes.name, .damaged("its clusters do not fit the volume"))
        }
    }

    /// Decodes a sector; nil when it is no FAT's.
    init?(_ sector: ByteFields) {
        let sectorSize = Int(sector.little(11, as: UInt16.self))
        let perCluster = Int(sector.byte(13))
        let reserved = Int64(sector.little(14, as: UInt16.self))
        let tables = Int64(sector.byte(16))
        let rootEntries = Int(sector.little(17, as: UInt16.self))
        let smallCount: UInt16 = sector.little(19)
        let smallTable: UInt16 = sector.little(22)
        let count = Int64(smallCount != 0 ? UInt32(smallCount) : sector.little(32, as: UInt32.self))
        let table = Int64(smallTable != 0 ? UInt32(smallTable) : sector.little(36, as: UInt32.self))
        guard sector.byte(510) == 0x55, sector.byte(511) == 0xaa, [512, 1024, 2048, 4096].contains(sectorSize),
            perCluster > 0, perCluster & (perCluster - 1) == 0, reserved > 0, (1...2).contains(tables), table > 0,
            [0xeb, 0xe9].contains(sector.byte(0)), sector.byte(21) >= 0xf0, sector.text(3, 8) != "NTFS    "
        else { return nil }
        let rootSectors = Int64((rootEntries * 32 + sectorSize - 1) / sectorSize)
        let dataSector = reserved + tables * table + rootSectors
        let clusters = (count - dataSector) / Int64(perCluster)
        guard count > dataSector, clusters > 0, clusters < 0x0fff_fff5 else { return nil }
        clusterSize = perCluster * sectorSize
        clusterCount = UInt32(clusters)
        // fatgen103: by these limits, and by nothing else; but FAT32 alone has its table's length further behind.
        width = smallTable == 0 ? 32 : clusters < 4085 ? 12 : 16
        guard width == 32 || clusters < 65525, (width == 32) == (rootEntries == 0) else { return nil }
        // An entry for every cluster.
        guard table * Int64(sectorSize) * 8 / Int64(width) >= clusters + 2 else { return nil }
        mediaByte = sector.byte(21)
        tablesOffset = reserved * Int64(sectorSize)
        tableSize = table * Int64(sectorSize)
        tableCount = Int(tables)
        // FAT32 can leave its tables different, and names the one that counts.
        let flags: UInt16 = width == 32 ? sector.little(40) : 0
        hasOneActiveTable = flags & 0x80 != 0
        let active = hasOneActiveTable ? Int64(flags & 15) : 0
        guard active < tables else { return nil }
        tableOffset = tablesOffset + active * tableSize
        rootOffset = (reserved + tables * table) * Int64(sectorSize)
        rootSize = Int(rootSectors) * sectorSize
        isRootWhole = rootEntries * 32 == rootSize
        rootCluster = width == 32 ? sector.little(44) : 0
        dataOffset = dataSector * Int64(sectorSize)
        let extended = width == 32 ? 64 : 36
        isMarkedDirty = sector.byte(extended + 1) & 3 != 0
        let hasLabel = sector.byte(extended + 2) == 0x29
        let serial: UInt32 = sector.little(extended + 3)
        let digits = hexadecimal(serial, width: 8).uppercased()
        serialNumber = hasLabel || sector.byte(extended + 2) == 0x28 ? "\(digits.prefix(4))-\(digits.suffix(4))" : nil
        label = hasLabel ? Self.trimmed(sector.text(extended + 7, 11)) : nil
    }

    /// Returns the byte where `cluster` begins, nil when there is no such.
    func offset(ofCluster cluster: UInt32) -> Int64? {
        guard cluster >= 2, cluster - 2 < clusterCount else { return nil }
        return dataOffset + Int64(cluster - 2) * Int64(clusterSize)
    }

    /// Returns a label without its padding; nil when there is none.
    static func trimmed(_ text: String) -> String? {
        var text = text[...]
        while text.last == " " { text = text.dropLast() }
        return text.isEmpty || text == "NO NAME" ? nil : String(text)
    }
}

/// The parts of a long name, which stand before the entry with the short one, last part first.
struct FATLongName {
    private var parts: [[UInt16]] = []
    private var checksum: UInt8 = 0
    private var next: UInt8 = 0

    /// Adds a part: order, 5 characters, attributes, checksum of the short name, 6 characters, 2 characters.
    mutating func add(_ part: ArraySlice<UInt8>) {
        let fields = ByteFields(part)
        let order = fields.byte(0)
        let number = order & 0x3f
        if order & 0x40 != 0 {
            parts = []
            checksum = fields.byte(13)
        } else if number != next || fields.byte(13) != checksum {
            self = FATLongName()
            return
        }
        guard (1...20).contains(number) else {
            self = FATLongName()
            return
        }
        next = number - 1
        let places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30]
        parts.append(places.map { fields.little($0) })
    }

    /// Returns the name, if all its parts were there and belong to the entry `short`.
    func text(for short: ByteFields) -> String? {
        guard !parts.isEmpty, next == 0 else { return nil }
        let sum = short.part(0, 11).reduce(UInt8(0)) { ($0 >> 1 | $0 << 7) &+ $1 }
        guard sum == checksum else { return nil }
        return String(decoding: parts.reversed().joined().prefix { $0 != 0 }, as: UTF16.self)
    }

    /// Returns the short name of an entry, in the case that its flags give it.
    static func shortName(_ fields: ByteFields) -> String {
        func text(_ place: Int, _ count: Int, isLower: Bool) -> String {
            var bytes = Array(fields.part(place, count))
            // 0xe5 as a first character would mark a free entry.
            if place == 0, bytes.first == 0x05 { bytes[0] = 0xe5 }
            while bytes.last == 0x20 { bytes.removeLast() }
            // The code page is unknown: what is not ASCII shows as a question mark.
            let text = String(decoding: bytes.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
            return isLower ? text.lowercased() : text
        }
        let flags = fields.byte(12)
        let name = text(0, 8, isLower: flags & 0x08 != 0)
        let ending = text(8, 3, isLower: flags & 0x10 != 0)
        return ending.isEmpty ? name : "\(name).\(ending)"
    }
}
