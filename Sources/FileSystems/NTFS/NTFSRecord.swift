// SPDX-License-Identifier: GPL-3.0-or-later

/// A record of the master file table, its sectors' ends put right.
///
///      0 "FILE"      4 update sequence: offset, count     20 offset of the first attribute    22 flags
///     24 bytes in use   28 bytes allocated   32 base record   44 record number, since version 3.1
struct NTFSRecord: Sendable {
    static let signature: UInt32 = 0x454c_4946
    /// Bytes that end in a number of the update sequence, whatever the size of the sectors is.
    private static let stride = 512

    let number: UInt64
    let fields: ByteFields
    private let geometry: NTFSGeometry

    var isInUse: Bool { fields.little(22, as: UInt16.self) & 1 != 0 }
    var sequence: UInt16 { fields.little(16) }
    var bytesInUse: Int { Int(fields.little(24, as: UInt32.self)) }
    /// The record that this one continues; 0 where it stands for itself.
    var base: UInt64 { fields.little(32, as: UInt64.self) & 0xffff_ffff_ffff }
    /// Whether it continues another one.
    var isExtension: Bool { fields.little(32, as: UInt64.self) != 0 }

    /// Decodes and checks the record that `raw` holds.
    init(_ raw: ArraySlice<UInt8>, number: UInt64, _ geometry: NTFSGeometry) throws(FileSystemError) {
        self.number = number
        self.geometry = geometry
        var bytes = Array(raw)
        let head = ByteFields(bytes)
        guard bytes.count == geometry.recordSize, head.little(0, as: UInt32.self) == Self.signature else {
            throw geometry.damaged(number, "it is no record")
        }
        let place = Int(head.little(4, as: UInt16.self))
        let pieces = bytes.count / Self.stride
        guard place >= 40, place % 2 == 0, Int(head.little(6, as: UInt16.self)) == pieces + 1,
            place + 2 * (pieces + 1) <= min(Self.stride - 2, bytes.count)
        else { throw geometry.damaged(number, "its update sequence does not fit") }
        for piece in 0..<pieces {
            let end = (piece + 1) * Self.stride - 2
            guard bytes[end] == bytes[place], bytes[end + 1] == bytes[place + 1] else {
                throw geometry.damaged(number, "it was written in part only")
            }
            bytes[end] = bytes[place + 2 * (piece + 1)]
            bytes[end + 1] = bytes[place + 2 * (piece + 1) + 1]
        }
        fields = ByteFields(bytes)
        guard bytesInUse <= bytes.count, bytesInUse >= 48,
            fields.little(28, as: UInt32.self) == UInt32(bytes.count)
        else { throw geometry.damaged(number, "its length") }
        // Version 3.1 put the number between the header and the update sequence.
        guard place < 48 || UInt64(fields.little(44, as: UInt32.self)) == number & 0xffff_ffff else {
            throw geometry.damaged(number, "it carries the number \(fields.little(44, as: UInt32.self))")
        }
    }

    /// Returns its attributes, in the order of their types.
    func attributes() throws(FileSystemError) -> [NTFSAttribute] {
        var found: [NTFSAttribute] = []
        var place = Int(fields.little(20, as: UInt16.self))
        guard place >= 42, place % 8 == 0 else { throw geometry.damaged(number, "where its attributes begin") }
        var last: UInt32 = 0
        while true {
            guard place <= bytesInUse - 4 else { throw geometry.damaged(number, "its attributes have no end") }
            let type: UInt32 = fields.little(place)
            if type == .max { return found }
            let length = Int(fields.little(place + 4, as: UInt32.self))
            guard type >= max(last, 0x10), length >= 24, length % 8 == 0, length <= bytesInUse - place else {
                throw geometry.damaged(number, "its attribute at byte \(place)")
            }
            found.append(NTFSAttribute(type: type, record: self, start: place, length: length))
            last = type
            place += length
        }
    }

    /// Makes an error of this record.
    func damaged(_ what: String) -> FileSystemError { geometry.damaged(number, what) }
}

/// A piece of an attribute: clusters one behind another, or a hole.
struct NTFSRun: Sendable, Hashable {
    /// Its first cluster in the attribute.
    var start: Int64
    /// Its first cluster on the volume, nil for a hole.
    var cluster: Int64?
    /// Clusters.
    var length: Int64
}

/// An attribute of a record, or the part of it that this record holds.
///
///      0 type    4 length    8 not resident    9 name: length    10 name: offset    12 flags
///     16 length of the value    20 its offset; or, not resident,
///     16 first and 24 last cluster in the attribute    32 offset of the runs    40, 48, 56 sizes
struct NTFSAttribute: Sendable {
    static let list: UInt32 = 0x20
    static let data: UInt32 = 0x80
    static let bitmap: UInt32 = 0xb0
    static let indexAllocation: UInt32 = 0xa0

    let type: UInt32
    let record: NTFSRecord
    fileprivate let start: Int
    fileprivate let length: Int

    init(type: UInt32, record: NTFSRecord, start: Int, length: Int) {
        self.type = type
        self.record = record
        self.start = start
        self.length = length
    }

    private var fields: ByteFields { record.fields }
    var isResident: Bool { fields.byte(start + 8) == 0 }
    var isNamed: Bool { fields.byte(start + 9) != 0 }
    /// Whether it is compressed, sparse or encrypted.
    var isSpecial: Bool { fields.little(start + 12, as: UInt16.self) != 0 }
    /// First cluster of the attribute that this part holds.
    var firstCluster: Int64 { isResident ? 0 : fields.little(start + 16) }
    private var lastCluster: Int64 { fields.little(start + 24) }
    /// Bytes that its clusters hold; in the part with the first cluster only, as the other sizes.
    var allocatedSize: Int64 { fields.little(start + 40) }
    var dataSize: Int64 { fields.little(start + 48) }
    /// What lies behind reads as zeros.
    var initializedSize: Int64 { fields.little(start + 56) }

    /// Returns the value of a resident attribute.
    func value() throws(FileSystemError) -> ArraySlice<UInt8> {
        let count = Int(fields.little(start + 16, as: UInt32.self))
        let place = Int(fields.little(start + 20, as: UInt16.self))
        guard place >= 24, count <= length, place <= length - count else { throw damaged("its value does not fit") }
        return fields.part(start + place, count)
    }

    /// Returns where the clusters of an attribute that is not resident lie.
    ///
    /// A byte with two counts, then so many bytes of length and of distance from the last run's first cluster.
    func runs(_ geometry: NTFSGeometry) throws(FileSystemError) -> [NTFSRun] {
        var place = Int(fields.little(start + 32, as: UInt16.self))
        guard length >= 64, place >= 64, place < length else { throw damaged("its runs do not fit") }
        guard firstCluster >= 0, firstCluster < 1 << 52, lastCluster >= -1, lastCluster < 1 << 52 else {
            throw damaged("its first and last cluster")
        }
        var runs: [NTFSRun] = []
        var next = firstCluster
        var cluster: Int64 = 0
        while place < length {
            let counts = fields.byte(start + place)
            if counts == 0 { break }
            let (lengthBytes, distanceBytes) = (Int(counts & 15), Int(counts >> 4))
            guard lengthBytes > 0, lengthBytes <= 8, distanceBytes <= 8,
                place + 1 + lengthBytes + distanceBytes <= length
            else { throw damaged("a run that does not fit") }
            let count = signed(place + 1, lengthBytes)
            let (end, overflow) = next.addingReportingOverflow(count)
            guard count > 0, !overflow, end <= 1 << 52 else { throw damaged("a run of \(count) clusters") }
            if distanceBytes == 0 {
                runs.append(NTFSRun(start: next, cluster: nil, length: count))
            } else {
                let (sum, overflow) = cluster.addingReportingOverflow(signed(place + 1 + lengthBytes, distanceBytes))
                guard !overflow, sum >= 0, sum < geometry.clusterCount, count <= geometry.clusterCount - sum else {
                    throw damaged("a run outside the volume")
                }
                cluster = sum
                runs.append(NTFSRun(start: next, cluster: cluster, length: count))
            }
            next = end
            place += 1 + lengthBytes + distanceBytes
        }
        guard next == lastCluster + 1 else { throw damaged("its runs hold \(next - firstCluster) clusters") }
        return runs
    }

    /// Returns the signed number in `count` bytes, 1 to 8, at `place`.
    private func signed(_ place: Int, _ count: Int) -> Int64 {
        var value = UInt64(bitPattern: Int64(Int8(bitPattern: fields.byte(start + place + count - 1))))
        for index in stride(from: count - 2, through: 0, by: -1) {
            value = value << 8 | UInt64(fields.byte(start + place + index))
        }
        return Int64(bitPattern: value)
    }

    func damaged(_ what: String) -> FileSystemError {
        record.damaged("attribute \(hexadecimal(type, width: 2)): \(what)")
    }
}
