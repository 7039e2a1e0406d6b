// SPDX-License-Identifier: GPL-3.0-or-later

extension FirmwareSet {
    /// Most members that all volumes of a set have together.
    private static let maximumMembers = 65_536

    /// Fills in what SNIA's metadata say.
    ///
    /// Headers and the records of disks and volumes are the same everywhere, and the newest are right. Where a volume
    /// lies, only the disks that it is on tell.
    mutating func describe(_ all: [(name: String, metadata: DDFMetadata)]) {
        let usable = all.filter { $0.metadata.active != nil }
        func sequence(_ metadata: DDFMetadata) -> UInt32 { metadata.active?.sequence ?? 0 }
        guard let newest = usable.max(by: { sequence($0.metadata) < sequence($1.metadata) })?.metadata else { return }
        uuid = newest.uuid
        diskCount = newest.physicalDisks.count
        var devices: [UInt32: String] = [:]
        for (name, metadata) in usable {
            // One behind: the machine may have died between two writes.
            if sequence(newest) - sequence(metadata) > 1 { problems.append(Self.leftBehind(name)) }
            guard let reference = metadata.reference else { continue }
            if !newest.physicalDisks.contains(where: { $0.reference == reference }) {
                problems.append("\(name): its number, \(hex(reference, width: 8)), is none of the set's")
            } else if devices[reference] == nil {
                devices[reference] = name
            } else {
                problems.append("\(name): another disk has its number, \(hex(reference, width: 8))")
            }
        }
        disks = newest.physicalDisks.map { disk in
            FirmwareDisk(
                label: hex(disk.reference, width: 8), device: devices[disk.reference], state: disk.words,
                lengthInBytes: disk.lengthInBytes)
        }
        let parts = Self.configurations(usable.map(\.metadata))
        var room = Self.maximumMembers
        volumes = newest.virtualDisks.map { disk in
            var volume = FirmwareVolume(name: disk.name)
            volume.uuid = newest.uuid(of: disk)
            volume.recordedState = "\(disk.stateWords), \(disk.initializationWords)"
            volume.isConsistent = !disk.isInconsistent
            if let sets = parts[disk.guid] { fill(&volume, sets, devices, newest, room) }
            room -= volume.members.count
            if disk.isMorphing || !newest.damage.isEmpty { volume.pattern = nil }
            if !volume.members.isEmpty { volume.judge() }
            return volume
        }
    }

    /// Returns the newest records of each volume, by the number of the set of members.
    private static func configurations(_ all: [DDFMetadata]) -> [DDFGUID: [Int: DDFConfiguration]] {
        var found: [DDFGUID: [Int: DDFConfiguration]] = [:]
        for configuration in all.flatMap(\.configurations) {
            let known = found[configuration.guid]?[configuration.setIndex]
            guard known == nil || (known?.sequence ?? 0) < configuration.sequence else { continue }
            found[configuration.guid, default: [:]][configuration.setIndex] = configuration
        }
        return found
    }

    /// Fills in where a volume lies, of which some set of members is known.
    private func fill(
        _ volume: inout FirmwareVolume, _ sets: [Int: DDFConfiguration], _ devices: [UInt32: String],
        _ metadata: DDFMetadata, _ room: Int
    ) {
        guard let first = sets.min(by: { $0.key < $1.key })?.value else { return }
        volume.lengthInBytes = first.lengthInBytes
        volume.memberLengthInBytes = first.memberLengthInBytes
        volume.chunkSizeInBytes = first.chunkSizeInBytes
        volume.level = first.setCount > 1 ? Self.nestedLevel(first) : first.levelWord.lowercased()
        guard max(first.setCount, 1) * first.members.count <= room else { return }
        let numbers = first.setCount > 1 ? Array(0..<first.setCount) : [first.setIndex]
        let isUniform = numbers.allSatisfy { number in
            guard let other = sets[number] else { return true }
            return other.members.count == first.members.count && other.level == first.level
                && other.qualifier == first.qualifier && other.setCount == first.setCount
                && other.secondaryLevel == first.secondaryLevel && other.chunkSizeInBytes == first.chunkSizeInBytes
                && other.memberLengthInBytes == first.memberLengthInBytes && other.lengthInBytes == first.lengthInBytes
        }
        guard isUniform else { return }
        let states = Dictionary(metadata.physicalDisks.map { ($0.reference, $0) }) { first, _ in first }
        for number in numbers {
            volume.members += (0..<first.members.count).map { place in
                guard let member = sets[number]?.members[place], !member.isVacant else {
                    return FirmwareVolume.Member(label: nil, device: nil, isInSync: false, firstByte: 0)
                }
                let disk = states[member.reference]
                return FirmwareVolume.Member(
                    label: hex(member.reference, width: 8), device: devices[member.reference],
                    isInSync: disk.map { $0.isOnline && !$0.isRebuilding } ?? false, firstByte: member.firstByte)
            }
        }
        volume.pattern = Self.pattern(first)
    }

    private static func nestedLevel(_ configuration: DDFConfiguration) -> String {
        let isStriped = configuration.secondaryLevel == 0 || configuration.secondaryLevel == 3
        if configuration.level == 1, isStriped { return "raid10" }
        return "\(configuration.levelWord.lowercased()), \(configuration.secondaryWord.lowercased())"
    }

    /// SNIA DDF 2.0, section 4.2.1 to 4.2.19; Linux has no more of them.
    private static func pattern(_ configuration: DDFConfiguration) -> RAIDGeometry.Pattern? {
        let (count, qualifier) = (configuration.members.count, configuration.qualifier)
        if configuration.setCount > 1 {
            // Mirrors side by side; spanned is striped, where all of them are as long.
            guard nestedLevel(configuration) == "raid10", count == 2 && qualifier == 0 || count == 3 && qualifier == 1
            else { return nil }
            return .copied(near: count, far: 1, isOffset: false)
        }
        switch (configuration.level, qualifier) {
        case (0x00, 0): return .striped
        case (0x01, 0) where count == 2, (0x01, 1) where count == 3: return .mirrored
        case (0x04, 1): return .parity(count: 1, algorithm: 5)
        case (0x05, 0): return .parity(count: 1, algorithm: 1)
        case (0x05, 2): return .parity(count: 1, algorithm: 0)
        case (0x05, 3): return .parity(count: 1, algorithm: 2)
        case (0x06, 1): return .parity(count: 2, algorithm: 8)
        case (0x06, 2): return .parity(count: 2, algorithm: 9)
        case (0x06, 3): return .parity(count: 2, algorithm: 10)
        case (0x11, 0): return .copied(near: 2, far: 1, isOffset: false)
        default: return nil
        }
    }
}
