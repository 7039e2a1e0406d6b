// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Members of firmware RAID that belong together.
public struct FirmwareSet: Sendable, Hashable {
    /// libblkid's TYPE: `isw_raid_member`.
    public var type: String
    /// What the metadata call the set; nil where they are not read, so that the members only look alike.
    public var identifier: String?
    /// Names of the members' volumes.
    public var members: [String]
    /// The volumes of the set, as its newest metadata describe them; empty where they are not read.
    public var volumes: [FirmwareVolume] = []
    /// Number of disks that the set has by its metadata; nil where they do not say.
    public var diskCount: Int?

    private static let types = Set(ContentProbe.firmwareRAIDTypes)

    /// Groups the members among `volumes` by type and identifier, in the order in which they come.
    static func group(_ volumes: [StorageVolume]) -> [FirmwareSet] {
        var sets: [FirmwareSet] = []
        var generations: [UInt32] = []
        for volume in volumes {
            guard
                let type = ([volume.content.type].compactMap(\.self) + volume.content.ambivalent).first(
                    where: types.contains)
            else { continue }
            let (set, generation) = read(volume, type)
            if let place = sets.firstIndex(where: { $0.type == type && $0.identifier == set.identifier }) {
                sets[place].members += set.members
                guard generation > generations[place] else { continue }
                (sets[place].volumes, sets[place].diskCount) = (set.volumes, set.diskCount)
                generations[place] = generation
            } else {
                sets.append(set)
                generations.append(generation)
            }
        }
        return sets
    }

    /// Reads what one member says of its set, and how new that is.
    private static func read(_ volume: StorageVolume, _ type: String) -> (FirmwareSet, generation: UInt32) {
        var set = FirmwareSet(type: type, identifier: volume.content.uuid, members: [volume.name])
        if type == "isw_raid_member" {
            // What is unreadable was told when the disk was probed.
            guard let metadata = try? IMSMMetadata.read(volume.source) else { return (set, 0) }
            set.identifier = "family \(hex(metadata.family, width: 8))"
            (set.volumes, set.diskCount) = (metadata.volumes, metadata.diskCount)
            return (set, metadata.generation)
        }
        if type == "ddf_raid_member", let metadata = try? DDFMetadata.read(volume.source) {
            set.identifier = metadata.guid
            set.volumes = metadata.volumes
        }
        return (set, 0)
    }
}

/// A volume of a firmware RAID set.
public struct FirmwareVolume: Sendable, Hashable {
    /// Name.
    public var name: String
    /// RAID level: `raid5`; nil where it is not read.
    public var level: String?
}
