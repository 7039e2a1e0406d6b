// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Members of firmware RAID that belong together.
public struct FirmwareSet: Sendable, Hashable {
    /// libblkid's TYPE: `isw_raid_member`.
    public var type: String
    /// What the metadata call the set; nil where they are not read.
    public var identifier: String?
    /// Names of the members' volumes.
    public var members: [String]

    private static let types = Set(ContentProbe.firmwareRAIDTypes)

    /// Groups the members among `volumes` by type and identifier, in the order in which they come.
    static func group(_ volumes: [StorageVolume]) -> [FirmwareSet] {
        var sets: [FirmwareSet] = []
        for volume in volumes {
            guard
                let type = ([volume.content.type].compactMap(\.self) + volume.content.ambivalent).first(
                    where: types.contains)
            else { continue }
            let identifier = identifier(of: volume, type)
            if let place = sets.firstIndex(where: { $0.type == type && $0.identifier == identifier }) {
                sets[place].members.append(volume.name)
            } else {
                sets.append(FirmwareSet(type: type, identifier: identifier, members: [volume.name]))
            }
        }
        return sets
    }

    /// Intel's metadata lie in the last sector but one: 24 bytes signature, and a family number of 32 bits at 40; DDF's
    /// identifier is what libblkid has as UUID.
    private static func identifier(of volume: StorageVolume, _ type: String) -> String? {
        guard type == "isw_raid_member" else { return volume.content.uuid }
        let sector = Int64(volume.source.logicalSectorSize)
        guard volume.source.lengthInBytes >= 2 * sector,
            let bytes = try? volume.source.bytes(at: volume.source.lengthInBytes - 2 * sector, count: Int(sector))
        else { return nil }
        let fields = Fields(bytes)
        guard fields.text(0, 24) == "Intel Raid ISM Cfg Sig. " else { return nil }
        return "family \(hex(fields.integer(40, as: UInt32.self), width: 8))"
    }
}
