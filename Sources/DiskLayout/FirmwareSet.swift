// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Members of firmware RAID that belong together.
public struct FirmwareSet: Sendable, Hashable {
    /// libblkid's TYPE: `isw_raid_member`.
    public var type: String
    /// What the metadata call the set; nil where they are not read, so that the members only look alike.
    public var identifier: String?
    /// The UUID that mdadm(8) gives the set.
    public var uuid: MDUUID?
    /// Names of the members' volumes.
    public var members: [String]
    /// What members of Intel's firmware say, by their names; nothing of those whose metadata are not read.
    public var imsm: [String: IMSMMetadata] = [:]
    /// What members of SNIA's format say, by their names.
    public var ddf: [String: DDFMetadata] = [:]
    /// The disks of the set, as its newest metadata describe them.
    public var disks: [FirmwareDisk] = []
    /// The volumes of the set, as its newest metadata describe them; empty where they are not read.
    public var volumes: [FirmwareVolume] = []
    /// Number of disks that the set has by its metadata; nil where they do not say.
    public var diskCount: Int?
    /// What is wrong with it, in sentences.
    public var problems: [String] = []

    private static let types = Set(ContentProbe.firmwareRAIDTypes)

    /// Groups the members among `volumes` by type and identifier, in the order in which they come.
    ///
    /// - Parameter serials: serial numbers of the disks, by the names of their volumes.
    static func group(_ volumes: [StorageVolume], serials: [String: String]) -> [FirmwareSet] {
        var sets: [FirmwareSet] = []
        for volume in volumes {
            guard
                let type = ([volume.content.type].compactMap(\.self) + volume.content.ambivalent).first(
                    where: types.contains)
            else { continue }
            let set = read(volume, type)
            if let place = sets.firstIndex(where: { $0.type == type && $0.identifier == set.identifier }) {
                sets[place].members += set.members
                sets[place].imsm.merge(set.imsm) { first, _ in first }
                sets[place].ddf.merge(set.ddf) { first, _ in first }
                sets[place].problems += set.problems
            } else {
                sets.append(set)
            }
        }
        for place in sets.indices { sets[place].describe(serials) }
        return sets
    }

    /// Reads what one member says of its set.
    private static func read(_ volume: StorageVolume, _ type: String) -> FirmwareSet {
        var set = FirmwareSet(type: type, identifier: volume.content.uuid, members: [volume.name])
        // What is unreadable was told when the disk was probed.
        if type == "isw_raid_member", let metadata = try? IMSMMetadata.read(volume.source) {
            set.identifier = "family \(hex(metadata.identity, width: 8))"
            if metadata.isChecksumCorrect {
                set.imsm[volume.name] = metadata
            } else {
                set.identifier = nil
                set.problems.append("\(volume.name): the checksum of its metadata is wrong")
            }
        }
        if type == "ddf_raid_member", let metadata = try? DDFMetadata.read(volume.source) {
            set.identifier = metadata.anchor.guid.description
            set.ddf[volume.name] = metadata
            if metadata.active == nil {
                set.problems.append("\(volume.name): neither the primary nor the secondary header can be used")
            }
            set.problems += metadata.damage.map { "\(volume.name): \($0)" }
        }
        return set
    }

    /// Fills in what all members' metadata together say.
    private mutating func describe(_ serials: [String: String]) {
        describe(members.compactMap { name in imsm[name].map { (name, $0) } }, serials)
        describe(members.compactMap { name in ddf[name].map { (name, $0) } })
    }
}

/// A disk of a firmware RAID set, present or not.
public struct FirmwareDisk: Sendable, Hashable {
    /// What the metadata call it: its serial number, or its reference number.
    public var label: String
    /// Name of the volume that it is; nil where it is not here, or nothing tells which one it is.
    public var device: String?
    /// How it is, in the metadata's words.
    public var state: String
    /// Length in bytes, or those that volumes may take.
    public var lengthInBytes: Int64
}

/// A volume of a firmware RAID set.
public struct FirmwareVolume: Sendable, Hashable {
    /// A member, in the order of the slots.
    public struct Member: Sendable, Hashable {
        /// What the metadata call the disk; nil where they do not name one.
        public var label: String?
        /// Name of the volume that it is; nil where it is not here, or nothing tells which one it is.
        public var device: String?
        /// Whether the metadata say that what it holds is right.
        public var isInSync: Bool
        /// First byte of the data on it.
        public var firstByte: Int64
        /// Ranges of the disk whose content is lost, by the metadata.
        public var lost: [Range<Int64>] = []

        /// Whether its data can be read.
        public var isAvailable: Bool { device != nil && isInSync }
    }

    /// Name.
    public var name: String
    /// RAID level: `raid5`; nil where it is not read.
    public var level: String?
    /// The UUID that mdadm(8) gives it.
    public var uuid: MDUUID?
    /// Length in bytes.
    public var lengthInBytes: Int64 = 0
    /// Bytes of a chunk; nil where the level has none.
    public var chunkSizeInBytes: Int64?
    /// Bytes of each member that it takes.
    public var memberLengthInBytes: Int64 = 0
    /// How it is, in the metadata's words.
    public var recordedState = ""
    /// Whether parity and copies agree, by the metadata.
    public var isConsistent = true
    /// The members in order.
    public var members: [Member] = []
    /// Whether its data can be read from what is here; nil where that cannot be told.
    public var state: MDArray.State?
    /// How data lie on the members; nil where that is not known.
    var pattern: RAIDGeometry.Pattern?

    /// Numbers of the members that are not here, or not right.
    public var missing: [Int] { members.indices.filter { !members[$0].isAvailable } }

    /// Makes one of which only the name is known.
    init(name: String) { self.name = name }

    /// Works out the state from the members.
    mutating func judge() {
        let missing = Set(missing)
        if missing.isEmpty {
            state = members.isEmpty ? nil : .complete
        } else if let pattern {
            state = pattern.survives(without: missing, of: members.count) ? .degraded : .incomplete
        } else {
            state = .incomplete
        }
    }

    /// Returns the volume's data as a source over its members.
    ///
    /// - Parameter device: gives a member by its name.
    /// - Returns: nil when too much is missing, or the layout is not known.
    func source(_ device: (String) -> (any BlockSource)?) -> (any BlockSource)? {
        guard let pattern, let uuid, state == .complete || state == .degraded, lengthInBytes > 0 else { return nil }
        // Parity that was not brought up to date makes nonsense of what is missing.
        if case .parity = pattern, !isConsistent, state == .degraded { return nil }
        let sources: [(any BlockSource)?] = members.map { member in
            guard member.isAvailable, let base = member.device.flatMap(device) else { return nil }
            let sound: any BlockSource = member.lost.isEmpty ? base : LossySource(base: base, lost: member.lost)
            let slice = SliceSource(
                sound, name: base.name, firstByte: member.firstByte, length: memberLengthInBytes)
            return slice.lengthInBytes == memberLengthInBytes ? slice : nil
        }
        let gone = Set(sources.indices.filter { sources[$0] == nil })
        let geometry = RAIDGeometry(
            pattern, chunk: chunkSizeInBytes ?? 0,
            memberLengths: [Int64](repeating: memberLengthInBytes, count: members.count))
        guard let geometry, geometry.length >= lengthInBytes, gone == Set(missing) else { return nil }
        let name = "volume \(uuid)"
        let whole = RAIDSource(geometry, members: sources, name: name, trustsRedundancy: isConsistent)
        return SliceSource(whole, name: name, firstByte: 0, length: lengthInBytes)
    }
}

/// A disk that cannot be read where its content is known to be lost, whatever stands there.
private struct LossySource: BlockSource {
    let base: any BlockSource
    let lost: [Range<Int64>]

    var name: String { base.name }
    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        let range = offset..<offset + Int64(buffer.count)
        guard !lost.contains(where: range.overlaps) else {
            throw BlockError(
                .read, name, offset: offset, length: buffer.count, .invalid("the firmware says that it is lost"))
        }
        try base.read(into: buffer, at: offset)
    }
}
