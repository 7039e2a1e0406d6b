// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import DiskLayout
internal import FileSystems

/// Looks for installed systems on all volumes of a machine.
struct SystemInspection {
    let layout: StorageLayout
    /// Gets the CHAP secrets of the systems; nil leaves them unread.
    var secrets: ISCSISecrets?

    /// Fills in the systems, and what they know of iSCSI.
    func fill(_ machine: inout Machine) {
        let volumes = layout.volumes
        let known = knownVolumes()
        var readers: [(name: String, reader: any FileSystemReader)] = []
        for volume in volumes where volume.content.usage == "filesystem" {
            // What cannot be read in place is told by its content's type; a damaged one is no system's root.
            guard let reader = try? FileSystemKind.open(volume.source) else { continue }
            readers.append((volume.name, reader))
        }
        findDirty(readers.map { ($0.name, $0.reader.state) }, &machine)
        for (name, reader) in readers {
            let others = readers.filter { $0.name != name }.map(\.reader)
            let found = InstalledSystemReader.look(
                at: reader, device: name, volumes: known,
                open: { wanted in readers.first { $0.name == wanted }?.reader }, others: others,
                secrets: secrets)
            if let found { machine.systems.append(found) }
        }
        for system in machine.systems {
            for initiator in system.iscsiInitiators where !machine.iscsi.initiators.contains(initiator) {
                machine.iscsi.initiators.append(initiator)
            }
            for node in system.iscsiTargets where !machine.iscsi.nodes.contains(node) {
                machine.iscsi.nodes.append(node)
            }
        }
    }

    /// Notes the state of each file system that was read.
    private func findDirty(_ states: [(name: String, state: FileSystemState)], _ machine: inout Machine) {
        let words = Dictionary(
            states.map { ($0.name, InstalledSystemReader.text($0.state)) }, uniquingKeysWith: { first, _ in first })
        machine.disks = machine.disks.map { disk in
            var disk = disk
            disk.content?.state = words[disk.name]
            let partitions = (disk.content?.table?.partitions ?? []).map { partition in
                var partition = partition
                partition.content?.state = partition.name.flatMap { words[$0] }
                return partition
            }
            disk.content?.table?.partitions = partitions
            return disk
        }
        machine.volumeGroups = machine.volumeGroups.map { group in
            var group = group
            group.logicalVolumes = group.logicalVolumes.map { volume in
                var volume = volume
                volume.content?.state = words["\(group.name)/\(volume.name)"]
                return volume
            }
            return group
        }
        machine.arrays = machine.arrays.map { array in
            var array = array
            array.content?.state = words["array \(array.uuid)"]
            return array
        }
    }

    private func knownVolumes() -> [KnownVolume] {
        var known: [KnownVolume] = []
        func add(_ volume: StorageVolume, _ partition: Partition? = nil, aliases: [String] = []) {
            var entry = KnownVolume(device: volume.name)
            entry.type = volume.content.type
            entry.uuid = volume.content.uuid
            entry.label = volume.content.label
            entry.partitionUUID = partition?.identifier
            entry.partitionLabel = partition?.name
            entry.aliases = aliases
            known.append(entry)
        }
        for disk in layout.disks {
            add(disk.volume)
            for item in disk.partitions { add(item.volume, item.partition) }
        }
        for array in layout.arrays {
            guard let volume = array.volume else { continue }
            add(volume, aliases: aliases(of: array.array))
            for item in array.partitions { add(item.volume, item.partition) }
        }
        for group in layout.groups {
            for volume in group.group.logicalVolumes where volume.isVisible {
                var entry = KnownVolume(device: "\(group.group.name)/\(volume.name)")
                let content = group.volumes[volume.name]?.content
                entry.type = content?.type
                entry.uuid = content?.uuid
                entry.label = content?.label
                entry.volumeGroup = group.group.name
                entry.logicalVolume = volume.name
                known.append(entry)
            }
        }
        return known
    }

    /// Names that an installed system may have for an array: mdadm.conf(5).
    private func aliases(of array: MDArray) -> [String] {
        guard let name = array.superblock?.name, !name.isEmpty else { return [] }
        let short = name.split(separator: ":").last.map(String.init) ?? name
        return ["/dev/md/\(short)", "/dev/md/\(name)", "/dev/md\(short)", "/dev/disk/by-id/md-name-\(name)"]
    }
}
