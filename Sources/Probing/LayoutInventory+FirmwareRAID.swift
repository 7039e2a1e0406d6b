// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import DiskLayout

extension LayoutInventory {
    /// Returns the record of the firmware RAID set of that number.
    func firmwareSet(_ number: Int) -> FirmwareRAIDSet {
        let set = layout.firmwareSets[number]
        var record = FirmwareRAIDSet(type: set.type, uuid: set.identifier, members: set.members)
        record.mdUuid = set.uuid?.description
        record.volumes = set.volumes.map { volume in
            volume.level.map { "\(volume.name) (\($0))" } ?? volume.name
        }
        record.diskCount = set.diskCount
        if !set.imsm.isEmpty || !set.ddf.isEmpty {
            record.disks = set.disks.map {
                FirmwareRAIDDisk(label: $0.label, device: $0.device, state: $0.state, size: $0.lengthInBytes)
            }
            record.raidVolumes = set.volumes.enumerated().map { index, volume in
                let content = layout.firmwareContents.first { $0.set == number && $0.number == index }
                return firmwareVolume(volume, content)
            }
        }
        record.problems = set.problems.isEmpty ? nil : set.problems
        return record
    }

    private func firmwareVolume(
        _ volume: FirmwareVolume, _ item: StorageLayout.FirmwareContent?
    ) -> FirmwareRAIDVolume {
        var record = FirmwareRAIDVolume(
            name: volume.name, level: volume.level, state: Self.word(volume.state),
            recordedState: volume.recordedState, isConsistent: volume.isConsistent)
        record.uuid = volume.uuid?.description
        record.size = volume.lengthInBytes > 0 ? volume.lengthInBytes : nil
        record.chunkSize = volume.chunkSizeInBytes
        record.members = volume.members.map {
            FirmwareRAIDMember(
                label: $0.label, device: $0.device, isInSync: $0.isInSync, dataOffset: $0.firstByte)
        }
        // As long as nothing tells which disk is which, nothing is missing for sure.
        record.missing = volume.state == nil ? [] : volume.missing
        record.content = item.map { content($0.volume, $0.partitions) }
        return record
    }

    private static func word(_ state: MDArray.State?) -> String {
        switch state {
        case .complete: return "complete"
        case .degraded: return "degraded"
        case .incomplete: return "incomplete"
        case nil: return "unknown"
        }
    }
}
