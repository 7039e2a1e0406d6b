// SPDX-License-Identifier: GPL-3.0-or-later

extension FirmwareSet {
    /// Fills in what Intel's metadata say.
    ///
    /// The newest are right: firmware writes them to all disks that take part. Which disk is which tells the serial
    /// number; a disk that failed or was taken out has another one there, and its own metadata stay as they were.
    mutating func describe(_ all: [(name: String, metadata: IMSMMetadata)], _ serials: [String: String]) {
        guard let newest = all.max(by: { $0.metadata.generation < $1.metadata.generation })?.metadata else { return }
        uuid = newest.uuid
        diskCount = newest.disks.count
        if !newest.isComplete { problems.append("the metadata of \(identifier ?? "the set") contradict themselves") }
        if newest.hasUnknownAttributes {
            problems.append("\(identifier ?? "the set") makes use of what is not known here")
        }
        let devices = devices(all, newest, serials)
        disks = newest.disks.enumerated().map { index, disk in
            FirmwareDisk(
                label: disk.serial, device: devices[index], state: disk.status.words, lengthInBytes: disk.lengthInBytes)
        }
        for disk in Set(newest.badBlocks.map(\.disk)).sorted() {
            let name = disks.indices.contains(disk) ? disks[disk].device ?? disks[disk].label : "disk \(disk)"
            let places = newest.badBlocks.filter { $0.disk == disk }
            let length = places.reduce(0 as Int64) { $0 + $1.lengthInBytes }
            problems.append("\(name): the firmware knows of \(length) bytes in \(places.count) places that are lost")
        }
        let lost = Dictionary(grouping: newest.badBlocks, by: \.disk).mapValues { places in
            places.map { $0.firstByte..<$0.firstByte + $0.lengthInBytes }
        }
        volumes = newest.volumes.map { volume($0, newest, lost, isKnown: !devices.isEmpty) }
    }

    /// Returns the names of the disks that are here, by their numbers in the newest metadata.
    private mutating func devices(
        _ all: [(name: String, metadata: IMSMMetadata)], _ newest: IMSMMetadata, _ serials: [String: String]
    ) -> [Int: String] {
        var devices: [Int: String] = [:]
        for (name, metadata) in all {
            if metadata.generation == newest.generation, metadata != newest {
                problems.append("\(name): its metadata are as new as those of other members, and contradict them")
            }
            guard let serial = serials[name].map(IMSMDisk.serial), !serial.isEmpty else {
                // One behind: the machine may have died between two writes.
                if newest.generation - metadata.generation > 1 { problems.append(Self.leftBehind(name)) }
                continue
            }
            let number = newest.disks.firstIndex { $0.serial == serial && !$0.status.contains(.failed) }
            if let number, devices[number] == nil {
                devices[number] = name
            } else if number != nil {
                problems.append("\(name): another disk has its serial number, \(serial)")
            } else if metadata.generation < newest.generation {
                problems.append(Self.leftBehind(name))
            } else {
                problems.append("\(name): its serial number, \(serial), is none of the set's")
            }
        }
        return devices
    }

    static func leftBehind(_ name: String) -> String { "\(name) was left behind by its set: what it holds is old" }

    private func volume(_ volume: IMSMVolume, _ metadata: IMSMMetadata, _ lost: [Int: [Range<Int64>]], isKnown: Bool)
        -> FirmwareVolume
    {
        var result = FirmwareVolume(name: volume.name)
        let map = volume.map
        result.level = "raid\(map.level)"
        result.uuid = volume.uuid
        result.lengthInBytes = volume.lengthInBytes
        result.chunkSizeInBytes = map.level == 1 ? nil : map.chunkSizeInBytes
        result.memberLengthInBytes = map.memberLengthInBytes
        result.recordedState =
            ([map.state.word] + [volume.migration?.words, volume.isDirty ? "dirty" : nil].compactMap(\.self))
            .joined(separator: ", ")
        let source = volume.previousMap ?? map
        let isUnchecked =
            volume.migration == .initialize || volume.migration == .repair || source.state == .uninitialized
        result.isConsistent = !volume.isDirty && !isUnchecked
        result.members = map.slots.enumerated().map { number, slot in
            let disk = disks.indices.contains(slot.disk) ? disks[slot.disk] : nil
            let isFailed = disk == nil || metadata.disks[slot.disk].status.contains(.failed)
            let isInSync = source.slots.indices.contains(number) && !source.slots[number].isOutOfSync && !isFailed
            return FirmwareVolume.Member(
                label: disk?.label, device: disk?.device, isInSync: isInSync, firstByte: map.firstByte,
                lost: lost[slot.disk] ?? [])
        }
        switch volume.migration {
        case .generalMigration, .stateChange, .unknown: break
        case nil, .initialize, .rebuild, .check, .repair:
            if !metadata.hasUnknownAttributes { result.pattern = Self.pattern(map) }
        }
        if isKnown { result.judge() }
        return result
    }

    private static func pattern(_ map: IMSMMap) -> RAIDGeometry.Pattern? {
        switch map.level {
        case 0: return .striped
        case 1: return .mirrored
        case 5: return .parity(count: 1, algorithm: 0)
        case 10: return map.slots.count == 4 ? .copied(near: 2, far: 1, isOffset: false) : nil
        default: return nil
        }
    }
}
