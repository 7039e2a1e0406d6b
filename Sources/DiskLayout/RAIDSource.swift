// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// The data of an array, read from its members without assembling it: for looking at, not for speed.
///
/// What a missing or failing member held is taken from a copy, or worked out by parity where one member of a row is gone.
public struct RAIDSource: BlockSource {
    /// What messages call it.
    public let name: String
    /// The largest of the members' in bytes.
    public let logicalSectorSize: Int
    /// The largest of the members' in bytes.
    public let physicalSectorSize: Int
    let geometry: RAIDGeometry
    let members: [(any BlockSource)?]
    let trustsRedundancy: Bool

    /// Takes an array's geometry and its members in order, nil for those that are missing.
    ///
    /// - Parameter trustsRedundancy: whether copies and parity agree, so that they may stand for what cannot be read.
    init(_ geometry: RAIDGeometry, members: [(any BlockSource)?], name: String, trustsRedundancy: Bool = true) {
        self.geometry = geometry
        self.members = members
        self.trustsRedundancy = trustsRedundancy
        self.name = name
        logicalSectorSize = members.compactMap { $0?.logicalSectorSize }.max() ?? 512
        physicalSectorSize = members.compactMap { $0?.physicalSectorSize }.max() ?? 512
    }

    /// Length in bytes.
    public var lengthInBytes: Int64 { geometry.length }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        var done = 0
        while done < buffer.count {
            let places = geometry.places(at: offset + Int64(done))
            let count = Int(min(Int64(buffer.count - done), places.first?.length ?? 0))
            guard count > 0 else {
                throw BlockError(.read, name, offset: offset, length: buffer.count, .invalid("it has no such place"))
            }
            try readPiece(places, into: buffer.part(done, count), at: offset + Int64(done))
            done += count
        }
    }

    private func readPiece(
        _ places: [RAIDGeometry.Place], into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(BlockError) {
        var failure = BlockError(
            .read, name, offset: offset, length: buffer.count, .invalid("the members that hold it are missing"))
        for place in places {
            guard let member = member(place.member) else { continue }
            do throws(BlockError) { return try member.read(into: buffer, at: place.offset) } catch { failure = error }
            if !trustsRedundancy { throw failure }
        }
        guard trustsRedundancy, let place = places.first, !place.group.isEmpty,
            place.group.allSatisfy({ member($0) != nil })
        else {
            throw failure
        }
        buffer.clear()
        let other = AlignedBuffer(count: buffer.count)
        for index in place.group {
            guard let member = member(index) else { throw failure }
            let bytes = other.prefix(buffer.count)
            try member.read(into: bytes, at: place.offset)
            Self.exclusiveOr(buffer, bytes)
        }
    }

    /// Changes each byte of `buffer` to its exclusive or with that of `other`, which is as long.
    private static func exclusiveOr(_ buffer: UnsafeMutableRawBufferPointer, _ other: UnsafeMutableRawBufferPointer) {
        let words = buffer.count / 8
        for word in 0..<words {
            let value =
                buffer.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
                ^ other.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
            buffer.storeBytes(of: value, toByteOffset: word * 8, as: UInt64.self)
        }
        for place in words * 8..<buffer.count { buffer[place] ^= other[place] }
    }

    private func member(_ index: Int) -> (any BlockSource)? { members.indices.contains(index) ? members[index] : nil }
}

extension MDArray {
    /// Returns the array's data as a source over its members' devices.
    ///
    /// - Parameter device: gives the device of a member by its name.
    /// - Returns: nil for levels without data, arrays that are reshaped, or when too much is missing.
    public func source(_ device: (String) -> (any BlockSource)?) -> RAIDSource? {
        guard let superblock, state != .incomplete, !superblock.features.contains(.reshaping),
            superblock.raidDisks > 0, let pattern = Self.pattern(superblock)
        else { return nil }
        var members = [(any BlockSource)?](repeating: nil, count: superblock.raidDisks)
        // A member that is missing is as long as the others: only its place counts.
        var lengths = [Int64](repeating: 0, count: superblock.raidDisks)
        for member in active {
            guard case .active(let role) = member.superblock.role, members.indices.contains(role),
                let base = device(member.device)
            else { continue }
            let used = Self.usedLength(member.superblock)
            let slice = SliceSource(
                base, name: member.device, firstByte: member.superblock.dataOffsetInBytes, length: used)
            guard slice.lengthInBytes > 0 else { continue }
            members[role] = slice
            lengths[role] = min(used, slice.lengthInBytes)
        }
        guard let shortest = lengths.filter({ $0 > 0 }).min() else { return nil }
        lengths = lengths.map { $0 > 0 ? $0 : shortest }
        let geometry = RAIDGeometry(
            pattern, chunk: superblock.chunkSizeInBytes, memberLengths: lengths,
            countsChunksFromZone: Self.countsChunksFromZone(superblock))
        return geometry.map { RAIDSource($0, members: members, name: "array \(uuid)") }
    }

    /// Bytes of the member that hold data: RAID 0 and linear use all that there is, others the same of each.
    private static func usedLength(_ superblock: MDSuperblock) -> Int64 {
        switch superblock.level {
        case .raid0: return superblock.dataSizeInBytes
        case .linear:
            // Whole chunks of each, where there are any.
            let chunk = superblock.chunkSizeInBytes
            return chunk > 0 ? superblock.dataSizeInBytes / chunk * chunk : superblock.dataSizeInBytes
        default:
            return superblock.usedSizeInBytes > 0
                ? min(superblock.usedSizeInBytes, superblock.dataSizeInBytes) : superblock.dataSizeInBytes
        }
    }

    /// md_p.h, MD_FEATURE_RAID0_LAYOUT (bit 12): then the layout is 1, original, or 2, alternate.
    private static func countsChunksFromZone(_ superblock: MDSuperblock) -> Bool? {
        guard superblock.features.rawValue & 1 << 12 != 0 else { return nil }
        return superblock.layout == 2 ? true : superblock.layout == 1 ? false : nil
    }

    private static func pattern(_ superblock: MDSuperblock) -> RAIDGeometry.Pattern? {
        let layout = superblock.layout
        switch superblock.level {
        case .linear: return .concatenated
        case .raid0: return .striped
        case .raid1: return .mirrored
        case .raid4: return .parity(count: 1, algorithm: 5)
        case .raid5: return .parity(count: 1, algorithm: Int(clamping: layout))
        case .raid6: return .parity(count: 2, algorithm: Int(clamping: layout))
        case .raid10:
            // Bits 17 and 18: sets of far copies, which only a few arrays have.
            guard layout >> 17 == 0 else { return nil }
            return .copied(
                near: Int(layout & 0xff), far: Int(layout >> 8 & 0xff), isOffset: layout & 1 << 16 != 0)
        case .multipath, .faulty, .container, .unknown: return nil
        }
    }
}
