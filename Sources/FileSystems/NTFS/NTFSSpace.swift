// SPDX-License-Identifier: GPL-3.0-or-later

extension NTFSReader {
    /// Returns what `$Bitmap` calls free, held against the runs of every record of the master file table.
    ///
    /// Read raw: libntfs-3g would do it a file at a time.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        let table = try NTFSTable(bytes)
        try Self.checkMirror(table)
        var bits = try Self.clusterBits(table, options)
        let used = bits.usedCount
        let free = bits.finish()
        // The boot sector; the copy of it lies behind the last cluster, where nothing is called free.
        guard !free.overlaps(0..<table.geometry.clusterSize) else {
            throw FileSystemError(volume, .damaged("the boot sector's cluster is called free"))
        }
        var tally = Tally()
        let walk = try NTFSWalk(table, options)
        // Unchecked, the file system's own files are looked at all the same.
        try walk.run(most: options.isChecked ? .max : NTFSWalk.ownRecords) { record throws(FileSystemError) in
            for attribute in try record.attributes() where !attribute.isResident {
                try tally.hold(attribute, against: free, table.geometry)
            }
        }
        // Clusters that belong to two files at once would pass otherwise.
        guard tally.clusters <= used else {
            throw FileSystemError(volume, .damaged("files use \(tally.clusters) clusters, \(used) are marked as used"))
        }
        return SpaceUse(free: free, checkedExtents: options.isChecked ? tally.extents : nil)
    }

    /// What was held against the free space.
    private struct Tally {
        var extents = 0
        var clusters: Int64 = 0

        mutating func hold(
            _ attribute: NTFSAttribute, against free: FreeRuns, _ geometry: NTFSGeometry
        ) throws(FileSystemError) {
            for run in try attribute.runs(geometry) {
                guard let cluster = run.cluster else { continue }
                extents += 1
                clusters += run.length
                guard !free.overlaps(geometry.bytes(cluster, run.length)) else {
                    throw attribute.damaged("it uses clusters from \(cluster) on that are called free")
                }
            }
        }
    }

    /// Returns the bytes of the volume that the contents of plain files lie in, those that exist.
    ///
    /// They are held against all other files: nobody else's bytes are among them.
    func ranges(ofFiles paths: [String]) throws(FileSystemError) -> FreeRuns {
        let table = try NTFSTable(bytes)
        var owners: Set<UInt64> = []
        var ranges: [Range<Int64>] = []
        for path in paths {
            guard let file = try locate(path), try status(of: file).type == .file else { continue }
            let number = file.number & 0xffff_ffff_ffff
            guard number >= NTFSWalk.ownRecords, owners.insert(number).inserted,
                let stream = try table.stream(of: number, NTFSAttribute.data)
            else { continue }
            for run in stream.runs {
                if let cluster = run.cluster { ranges.append(table.geometry.bytes(cluster, run.length)) }
            }
        }
        var found = FreeRuns()
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where !found.append(range) {
            throw FileSystemError(volume, .damaged("two files use the cluster at byte \(range.lowerBound)"))
        }
        guard !ranges.isEmpty else { return found }
        try NTFSWalk(table, SpaceOptions()).run { record throws(FileSystemError) in
            let isOwner = owners.contains(record.isExtension ? record.base : record.number)
            for attribute in try record.attributes() where !attribute.isResident {
                if isOwner, attribute.type == NTFSAttribute.data, !attribute.isNamed { continue }
                var tally = Tally()
                try tally.hold(attribute, against: found, table.geometry)
            }
        }
        return found
    }

    /// Reads `$Bitmap`: a bit a cluster, and set ones to its end.
    private static func clusterBits(
        _ table: NTFSTable, _ options: SpaceOptions
    ) throws(FileSystemError) -> AllocationBits {
        let geometry = table.geometry
        guard let stream = try table.stream(of: 6, NTFSAttribute.data) else {
            throw geometry.damaged(6, "the bitmap is missing")
        }
        let count = (geometry.clusterCount + 7) / 8
        // What is not initialised would read as free.
        guard !stream.isSpecial, stream.initializedSize == stream.dataSize, stream.dataSize >= count,
            stream.dataSize <= count + (1 << 20)
        else { throw geometry.damaged(6, "the bitmap's size") }
        // Should a formatter have forgotten to leave room for it, the last sector holds the boot sector's copy.
        let limit = min(geometry.lengthInBytes, table.bytes.lengthInBytes - geometry.sectorSize)
        var bits = AllocationBits(base: 0, unit: geometry.clusterSize, limit: limit)
        var place: Int64 = 0
        while place < stream.dataSize {
            guard options.goesOn() else { throw FileSystemError(geometry.volume, .stopped) }
            let piece = try stream.read(
                Int(min(1 << 20, stream.dataSize - place)), at: place, table.bytes, geometry)
            let left = max(geometry.clusterCount - place * 8, 0)
            bits.add(piece, count: Int(min(left, Int64(piece.count * 8))))
            guard Self.isSet(piece, from: left) else {
                throw geometry.damaged(6, "the bitmap calls clusters behind the last one free")
            }
            place += Int64(piece.count)
        }
        return bits
    }

    /// Tells whether all bits from `first` on are set.
    private static func isSet(_ bytes: [UInt8], from first: Int64) -> Bool {
        guard first < Int64(bytes.count * 8) else { return true }
        let index = Int(first / 8)
        return bytes[index] >> UInt8(first % 8) == 0xff >> UInt8(first % 8)
            && bytes[(index + 1)...].allSatisfy { $0 == 0xff }
    }

    /// Holds the first four records against their copy.
    private static func checkMirror(_ table: NTFSTable) throws(FileSystemError) {
        let geometry = table.geometry
        let count = geometry.recordSize * 4
        guard
            let copy = try table.bytes.fieldsIfPresent(at: geometry.mirrorCluster * geometry.clusterSize, count: count)
        else { throw geometry.damaged(1, "$MFTMirr lies outside") }
        for number in 0..<4 {
            let one = try table.record(UInt64(number))
            let start = number * geometry.recordSize
            let other = try NTFSRecord(
                copy.bytes[start..<start + geometry.recordSize], number: UInt64(number), geometry)
            guard one.fields.part(0, one.bytesInUse) == other.fields.part(0, one.bytesInUse) else {
                throw one.damaged("$MFTMirr has another one")
            }
        }
        guard let stream = try table.stream(of: 1, NTFSAttribute.data),
            stream.runs.first?.cluster == geometry.mirrorCluster, stream.dataSize >= Int64(count)
        else { throw geometry.damaged(1, "$MFTMirr is not where the boot sector says") }
    }
}

/// Goes through the records of the master file table that are in use.
struct NTFSWalk {
    /// Records below this one are the file system's own.
    static let ownRecords: UInt64 = 24
    /// From this one on, up to the above, records are kept for the table itself and marked without being in use.
    private static let reservedRecords: UInt64 = 12
    private static let pieceLength = 1 << 20

    private let table: NTFSTable
    private let options: SpaceOptions
    private let marks: NTFSStream

    init(_ table: NTFSTable, _ options: SpaceOptions) throws(FileSystemError) {
        self.table = table
        self.options = options
        guard let marks = try table.stream(of: 0, NTFSAttribute.bitmap), !marks.isSpecial else {
            throw table.geometry.damaged(0, "its bitmap is missing")
        }
        self.marks = marks
    }

    /// Calls `body` with every record in use below `most`.
    ///
    /// A record in use without a mark in the table's bitmap is an error. One with a mark that is not in use is not:
    /// it is looked at nevertheless, since its flag may be what is wrong.
    func run(
        most: UInt64 = .max, _ body: (NTFSRecord) throws(FileSystemError) -> Void
    ) throws(FileSystemError) {
        let size = table.geometry.recordSize
        let count = min(table.recordCount, most)
        let perPiece = UInt64(Self.pieceLength / size)
        var first: UInt64 = 0
        while first < count {
            guard options.goesOn() else { throw FileSystemError(table.geometry.volume, .stopped) }
            let records = Int(min(perPiece, count - first))
            let piece = try table.data.read(
                records * size, at: Int64(first) * Int64(size), table.bytes, table.geometry)
            let marks = try marks(from: first, records)
            for index in 0..<records {
                let number = first + UInt64(index)
                let isMarked = marks[index / 8] >> UInt8(index % 8) & 1 == 1
                if let record = try record(piece[index * size..<(index + 1) * size], number, isMarked: isMarked) {
                    try body(record)
                }
            }
            first += UInt64(records)
        }
    }

    /// Returns the bits of `count` records; those that the bitmap does not reach are not marked.
    private func marks(from first: UInt64, _ count: Int) throws(FileSystemError) -> [UInt8] {
        let place = Int64(first / 8)
        let wanted = (count + 7) / 8
        let present = Int(max(min(Int64(wanted), marks.initializedSize - place), 0))
        guard present > 0 else { return [UInt8](repeating: 0, count: wanted) }
        let bits = try marks.read(present, at: place, table.bytes, table.geometry)
        return bits + [UInt8](repeating: 0, count: wanted - present)
    }

    /// Decodes a record that is in use, by itself or by its mark; nil when neither says so.
    private func record(
        _ raw: ArraySlice<UInt8>, _ number: UInt64, isMarked: Bool
    ) throws(FileSystemError) -> NTFSRecord? {
        let start = raw.startIndex
        let signature = raw[start..<start + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let isRecord = signature == NTFSRecord.signature
        guard isMarked else {
            guard !isRecord || raw[start + 22] & 1 == 0 else {
                throw table.geometry.damaged(number, "it is in use, but not in the MFT's bitmap")
            }
            return nil
        }
        if !isRecord, (Self.reservedRecords..<Self.ownRecords).contains(number) { return nil }
        return try NTFSRecord(raw, number: number, table.geometry)
    }
}
