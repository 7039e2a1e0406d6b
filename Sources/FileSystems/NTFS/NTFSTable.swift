// SPDX-License-Identifier: GPL-3.0-or-later

/// All of an attribute: where its bytes lie, or the bytes.
struct NTFSStream: Sendable {
    /// Runs of an attribute, whose memory is bounded by this.
    private static let maximumRuns = 1 << 20

    private(set) var runs: [NTFSRun] = []
    private(set) var dataSize: Int64 = 0
    private(set) var initializedSize: Int64 = 0
    private var allocatedSize: Int64 = 0
    private var resident: ArraySlice<UInt8>?
    /// Whether any part is compressed, sparse or encrypted.
    private(set) var isSpecial = false

    /// Clusters that its runs hold so far.
    var clusterCount: Int64 { runs.last.map { $0.start + $0.length } ?? 0 }

    /// Adds the part of it that a record holds.
    mutating func append(_ part: NTFSAttribute, _ geometry: NTFSGeometry) throws(FileSystemError) {
        guard resident == nil, part.firstCluster == clusterCount else { throw part.damaged("its parts do not join") }
        if part.isSpecial { isSpecial = true }
        guard !part.isResident else {
            guard runs.isEmpty else { throw part.damaged("its parts do not join") }
            let value = try part.value()
            resident = value
            dataSize = Int64(value.count)
            initializedSize = dataSize
            return
        }
        if part.firstCluster == 0 {
            (dataSize, initializedSize, allocatedSize) = (part.dataSize, part.initializedSize, part.allocatedSize)
            guard initializedSize >= 0, initializedSize <= dataSize, dataSize <= allocatedSize else {
                throw part.damaged("its sizes")
            }
        }
        runs += try part.runs(geometry)
        guard runs.count <= Self.maximumRuns else {
            throw FileSystemError(geometry.volume, .unsupported("an attribute of so many runs"))
        }
    }

    /// Tells whether the parts are all there.
    func isWhole(_ geometry: NTFSGeometry) -> Bool {
        resident != nil || clusterCount == allocatedSize / geometry.clusterSize
    }

    /// Fills `result` from byte `offset` of what is initialised; holes are an error, metadata have none.
    func read(
        _ count: Int, at offset: Int64, _ bytes: VolumeBytes, _ geometry: NTFSGeometry
    ) throws(FileSystemError) -> [UInt8] {
        let (end, overflow) = offset.addingReportingOverflow(Int64(count))
        guard offset >= 0, count >= 0, !overflow, end <= initializedSize else {
            throw FileSystemError(geometry.volume, .damaged("it is read behind its end"))
        }
        if let resident { return Array(resident.dropFirst(Int(offset)).prefix(count)) }
        var result = [UInt8](repeating: 0, count: count)
        var done: Int64 = 0
        var index = run(holding: offset / geometry.clusterSize)
        while done < Int64(count) {
            guard index < runs.count, let cluster = runs[index].cluster else {
                throw FileSystemError(geometry.volume, .damaged("its metadata have a hole"))
            }
            let skip = offset + done - runs[index].start * geometry.clusterSize
            let part = min(Int64(count) - done, runs[index].length * geometry.clusterSize - skip)
            try bytes.copy(Int(part), from: cluster * geometry.clusterSize + skip, to: Int(done), of: &result)
            done += part
            index += 1
        }
        return result
    }

    /// Returns the index of the first run that ends behind `cluster`.
    private func run(holding cluster: Int64) -> Int {
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = low + (high - low) / 2
            if runs[middle].start + runs[middle].length <= cluster { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// The master file table, read raw.
struct NTFSTable: Sendable {
    /// Most bytes of a list of attributes.
    private static let maximumList = 1 << 20

    let geometry: NTFSGeometry
    let bytes: VolumeBytes
    private(set) var data = NTFSStream()

    /// Records that may be in use.
    var recordCount: UInt64 { UInt64(data.initializedSize) / UInt64(geometry.recordSize) }

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        self.bytes = bytes
        geometry = try NTFSGeometry(bytes)
        let place = geometry.tableCluster * geometry.clusterSize
        guard let raw = try bytes.fieldsIfPresent(at: place, count: geometry.recordSize) else {
            throw geometry.damaged(0, "it lies outside")
        }
        let first = try NTFSRecord(raw.bytes[...], number: 0, geometry)
        guard first.isInUse, !first.isExtension else { throw first.damaged("it is not in use") }
        // A table in many pieces says in its own later records where they are: piece by piece.
        for part in try parts(of: first, NTFSAttribute.data) {
            try data.append(try attribute(part, of: first), geometry)
        }
        guard data.isWhole(geometry), !data.isSpecial, data.runs.first?.cluster == geometry.tableCluster,
            data.initializedSize >= 16 * Int64(geometry.recordSize)
        else { throw first.damaged("where the MFT lies") }
    }

    /// Returns the record `number`.
    func record(_ number: UInt64) throws(FileSystemError) -> NTFSRecord {
        guard number < recordCount else { throw geometry.damaged(number, "it lies behind the MFT's end") }
        let raw = try data.read(
            geometry.recordSize, at: Int64(number) * Int64(geometry.recordSize), bytes, geometry)
        return try NTFSRecord(raw[...], number: number, geometry)
    }

    /// Returns all of an attribute without a name of a record in use; nil when there is none.
    func stream(of number: UInt64, _ type: UInt32) throws(FileSystemError) -> NTFSStream? {
        let record = try record(number)
        guard record.isInUse, !record.isExtension else { throw record.damaged("it is not in use") }
        let parts = try parts(of: record, type)
        guard !parts.isEmpty else { return nil }
        var stream = NTFSStream()
        for part in parts { try stream.append(try attribute(part, of: record), geometry) }
        guard stream.isWhole(geometry) else { throw record.damaged("a part of it is missing") }
        return stream
    }

    /// Where a part of an attribute is kept.
    private struct Part {
        var type: UInt32
        var firstCluster: Int64
        var record: UInt64
        var sequence: UInt16?
    }

    /// Returns where the parts of an attribute without a name are, in order.
    ///
    /// An entry of the list: 0 type, 4 length, 6 name: length, 8 first cluster, 16 record and sequence.
    private func parts(of base: NTFSRecord, _ type: UInt32) throws(FileSystemError) -> [Part] {
        let attributes = try base.attributes()
        guard let list = attributes.first(where: { $0.type == NTFSAttribute.list }) else {
            let own = attributes.filter { $0.type == type && !$0.isNamed }
            return own.map { Part(type: type, firstCluster: $0.firstCluster, record: base.number, sequence: nil) }
        }
        var stream = NTFSStream()
        try stream.append(list, geometry)
        guard stream.dataSize <= Int64(Self.maximumList), stream.initializedSize == stream.dataSize else {
            throw list.damaged("its length")
        }
        let fields = ByteFields(try stream.read(Int(stream.dataSize), at: 0, bytes, geometry))
        var found: [Part] = []
        var place = 0
        while place < fields.count {
            let length = Int(fields.little(place + 4, as: UInt16.self))
            guard length >= 26, length <= fields.count - place else { throw list.damaged("an entry of it") }
            if fields.little(place, as: UInt32.self) == type, fields.byte(place + 6) == 0 {
                let reference: UInt64 = fields.little(place + 16)
                found.append(
                    Part(
                        type: type, firstCluster: fields.little(place + 8), record: reference & 0xffff_ffff_ffff,
                        sequence: UInt16(reference >> 48)))
            }
            place += length
        }
        return found
    }

    private func attribute(_ part: Part, of base: NTFSRecord) throws(FileSystemError) -> NTFSAttribute {
        let record = part.record == base.number ? base : try record(part.record)
        guard record.number == base.number || record.isInUse && record.isExtension && record.base == base.number,
            part.sequence == nil || record.sequence == part.sequence
        else { throw record.damaged("it does not belong to record \(base.number)") }
        let match = try record.attributes().first {
            $0.type == part.type && !$0.isNamed && $0.firstCluster == part.firstCluster
        }
        guard let match else { throw record.damaged("an attribute is missing") }
        return match
    }
}
