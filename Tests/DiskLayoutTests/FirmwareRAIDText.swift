// SPDX-License-Identifier: GPL-3.0-or-later

internal import DiskLayout
internal import Glibc

/// What mdadm --examine would print of metadata as we read them, line by line, without what it adds in other units.
enum FirmwareRAIDText {
    /// The lines of `text` in a form that ours can be compared with: single spaces, no sizes in other units.
    static func lines(_ text: String) -> [String] {
        text.split(separator: "\n").map { line in
            let words = line.split(separator: " ").joined(separator: " ")
            let isSized = words.contains(" Size : ") || words.hasPrefix("Checkpoint : ")
            return isSized && !words.contains("]") ? words.replacing(/\ \([^()]*\)$/, with: "") : words
        }
    }

    /// IMSM metadata on the disk whose serial number in them is `serial`.
    static func lines(_ metadata: IMSMMetadata, serial: String) -> [String] {
        let own = metadata.disks.firstIndex { $0.serial == serial }
        // mdadm prints a spare again, as a disk that has no number.
        let isSpare = own.map { metadata.disks[$0].status.contains(.spare) } ?? true
        var lines = [
            "Magic : Intel Raid ISM Cfg Sig.",
            "Version : \(metadata.version)",
            "Orig Family : \(hex(metadata.originalFamily))",
            "Family : \(hex(metadata.family))",
            "Generation : \(hex(metadata.generation))",
            "Creation Time : " + (metadata.creationTime == 0 ? "Unknown" : date(Int64(metadata.creationTime), "%c")),
            "Attributes : \(metadata.hasUnknownAttributes ? "not supported" : "All supported")",
            "UUID : \(uuid(metadata))",
            "Checksum : \(hex(metadata.checksum)) \(metadata.isChecksumCorrect ? "correct" : "incorrect")",
            "MPB Sectors : \(metadata.sectorCount)",
            "Disks : \(metadata.disks.count)",
            "RAID Devices : \(metadata.volumes.count)",
        ]
        if let own, !isSpare { lines += disk(metadata, own, own) }
        if !metadata.badBlocks.isEmpty {
            lines += [
                "Bad Block Management Log:", "Log Size : \(8 + metadata.badBlocks.count * 8)", "Signature : abadb10c",
                "Entry Count : \(metadata.badBlocks.count)",
            ]
        }
        for number in metadata.volumes.indices { lines += volume(metadata, number, own) }
        for number in metadata.disks.indices where isSpare || number != own {
            lines += disk(metadata, number, isSpare ? nil : own)
        }
        if isSpare, let own { lines += ["Disk Serial : \(serial)"] + disk(metadata, own, nil).dropFirst() }
        return lines
    }

    /// What --examine --export prints.
    static func export(_ metadata: IMSMMetadata) -> [String] {
        [
            "MD_METADATA=imsm", "MD_LEVEL=container", "MD_UUID=\(uuid(metadata))",
            "MD_DEVICES=\(metadata.disks.count)", "MD_CREATION_TIME=\(metadata.creationTime)",
        ]
    }

    private static func uuid(_ metadata: IMSMMetadata) -> String {
        metadata.uuid?.description ?? "00000000:00000000:00000000:00000000"
    }

    private static func disk(_ metadata: IMSMMetadata, _ number: Int, _ own: Int?) -> [String] {
        let disk = metadata.disks[number]
        let usable = metadata.usableLength(of: disk, on: own) / Int64(metadata.sectorSize)
        let state = disk.status.words
        return [
            "Disk\(number < 10 ? "0" : "")\(number) Serial : \(disk.serial)",
            "State :\(state.isEmpty ? "" : " ")\(state)",
            "Id : \(hex(disk.address))", "Usable Size : \(usable)",
        ]
    }

    private static func volume(_ metadata: IMSMMetadata, _ number: Int, _ own: Int?) -> [String] {
        let volume = metadata.volumes[number]
        let (map, previous) = (volume.map, volume.previousMap)
        let sector = Int64(metadata.sectorSize)
        func both(_ show: (IMSMMap) -> String) -> String {
            show(map) + (previous.map { " <-- \(show($0))" } ?? "")
        }
        let slot = map.slots.firstIndex { $0.disk == own }
        let isOut = slot.map { (previous ?? map).slots[$0].isOutOfSync } ?? false
        var lines = [
            "[\(volume.name)]:", "Subarray : \(number)", "UUID : \(volume.uuid)",
            "RAID Level : " + both { "\($0.level)" },
            "Members : " + both { "\($0.slots.count)" },
            "Slots : " + both { "[\($0.slots.map { $0.isOutOfSync ? "_" : "U" }.joined())]" },
            "Failed disk : \(map.failedDisk.map { "\($0)" } ?? "none")",
            "This Slot : \(slot.map { "\($0)\(isOut ? " (out-of-sync)" : "")" } ?? "?")",
            "Sector Size : \(sector)",
            "Array Size : \(volume.lengthInBytes / sector)",
            "Per Dev Size : \(map.memberLengthInBytes / sector)",
            "Sector Offset : \(map.firstByte / sector)",
            "Num Stripes : \(map.stripeCount)",
            "Chunk Size : " + both { "\($0.chunkSizeInBytes >> 10) KiB" },
            "Reserved : \(volume.reservedSectors)",
            "Migrate State : \(volume.migration?.words ?? "idle")",
            "Map State : " + both { $0.state.word },
        ]
        if volume.migration != nil { lines.append("Checkpoint : \(volume.migrationUnit)") }
        return lines + [
            "Dirty State : \(volume.isDirty ? "dirty" : "clean")", "RWH Policy : \(volume.writeHoleWords)",
            "Volume ID : \(volume.number)",
        ]
    }

    /// DDF metadata on the disk that mdadm called `device`.
    static func lines(_ metadata: DDFMetadata, device: String) -> [String] {
        guard let active = metadata.active, let controller = metadata.controller else { return [] }
        var lines = [
            "Magic : de11de11", "Version : \(metadata.anchor.version)", "Controller GUID : \(controller.guid)",
            "(\(controller.guid.text))", "Container GUID : \(metadata.anchor.guid)", guid(metadata.anchor.guid),
            "Seq : \(hex(active.sequence))", "Redundant hdr : \(metadata.secondary != nil ? "yes" : "no")",
            "Virtual Disks : \(metadata.virtualCount)",
        ]
        for disk in metadata.virtualDisks { lines += volume(metadata, disk) }
        lines += ["Physical Disks : \(metadata.physicalCapacity)", "Number RefNo Size Device Type/State"]
        for disk in metadata.physicalDisks {
            let name = disk.reference == metadata.reference ? " \(device)" : ""
            lines.append(
                "\(disk.index) \(hex(disk.reference)) \(disk.lengthInBytes >> 10)K\(name) \(disk.words)")
        }
        return lines.map { $0.split(separator: " ").joined(separator: " ") }
    }

    /// What --examine --export prints.
    static func export(_ metadata: DDFMetadata) -> [String] {
        [
            "MD_METADATA=ddf", "MD_LEVEL=container", "MD_UUID=\(metadata.uuid)",
            "MD_DEVICES=\(metadata.physicalCount)",
        ]
    }

    private static func volume(_ metadata: DDFMetadata, _ disk: DDFVirtualDisk) -> [String] {
        let number = disk.index
        var lines = [
            "VD GUID[\(number)] : \(disk.guid)", guid(disk.guid), "unit[\(number)] : \(disk.unit)",
            "state[\(number)] : \(disk.stateWords)", "init state[\(number)] : \(disk.initializationWords)",
            "access[\(number)] : \(disk.accessWords)", "Name[\(number)] : \(disk.name)",
        ]
        for configuration in metadata.configurations where configuration.guid == disk.guid {
            let members = configuration.members.map { member in
                let found = metadata.physicalDisks.first { $0.reference == member.reference }
                return "\(found.map { "\($0.index)" } ?? "--")@\(member.firstByte >> 10)K"
            }
            lines.append("Raid Devices[\(number)] : \(members.count) (\(members.joined(separator: " ")))")
            if let chunk = configuration.chunkSizeInBytes {
                lines.append("Chunk Size[\(number)] : \(chunk / 512) sectors")
            }
            lines.append("Raid Level[\(number)] : \(configuration.levelWord)")
            if configuration.setCount != 1 {
                lines += [
                    "Secondary Position[\(number)] : \(configuration.setIndex) of \(configuration.setCount)",
                    "Secondary Level[\(number)] : \(configuration.secondaryWord)",
                ]
            }
            lines += [
                "Device Size[\(number)] : \(configuration.memberLengthInBytes >> 10)",
                "Array Size[\(number)] : \(configuration.lengthInBytes >> 10)",
            ]
        }
        return lines
    }

    private static func guid(_ guid: DDFGUID) -> String { "(\(guid.text) \(date(guid.creationTime, "%D %T")))" }

    /// Eight digits.
    static func hex(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// strftime(3) in UTC, as the fixtures are made.
    private static func date(_ seconds: Int64, _ format: String) -> String {
        var (time, parts) = (time_t(seconds), tm())
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, format, &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
