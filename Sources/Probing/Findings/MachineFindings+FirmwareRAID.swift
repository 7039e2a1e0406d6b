// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

extension MachineFindings {
    /// Draws what decides whether clones of a firmware RAID set's members are whole.
    mutating func firmwareRAID(_ set: FirmwareRAIDSet) {
        let subject = set.members.joined(separator: ", ")
        let volumes = set.raidVolumes ?? []
        // Which disk is which may not be known: then only their number tells.
        let isKnown = !volumes.isEmpty && volumes.allSatisfy { $0.state != "unknown" }
        if !isKnown, let count = set.diskCount, count > set.members.count {
            add(
                .critical, "firmware-raid-incomplete", subject,
                what: "the set of firmware RAID (\(set.type)) has \(count) disks, and \(set.members.count) are here",
                why: "without all of them its volumes may not be whole",
                action: "find the missing disks: an unplugged cable, a controller without driver")
        }
        for volume in volumes { firmwareVolume(volume, in: set) }
        for problem in set.problems ?? [] {
            add(
                .warning, "firmware-raid-metadata", subject, what: problem,
                why: "what it holds may not be what its volumes hold",
                action: "look at the set in the firmware set-up; capture all of its disks")
        }
        add(
            .warning, "firmware-raid", subject,
            what: "firmware RAID (\(set.type)) lies on \(set.members.count) disks",
            why: "the members are captured one by one: a virtual machine has no such firmware",
            action: "capture all of them; the array is put together at the receiver")
    }

    private mutating func firmwareVolume(_ record: FirmwareRAIDVolume, in set: FirmwareRAIDSet) {
        let level = record.level ?? "RAID"
        let missing = record.missing.map { number in
            let label = record.members.indices.contains(number) ? record.members[number].label : nil
            return label.map { "\(number) (\($0))" } ?? "\(number)"
        }.joined(separator: ", ")
        if record.state == "incomplete" {
            add(
                .critical, "firmware-raid-incomplete", record.name,
                what: "\(level) of \(record.members.count): members \(missing) are missing, or not right",
                why: "its data cannot be read from what is here",
                action: "find the missing disks: an unplugged cable, a controller without driver")
        } else if record.state == "degraded" {
            add(
                .warning, "firmware-raid-degraded", record.name,
                what: "\(level) of \(record.members.count): members \(missing) are missing, or not right",
                why: record.isConsistent
                    ? "the clone will be degraded as well, and a further failure loses data"
                    : "parity was not up to date either, so that what is missing cannot be worked out",
                action: "find the missing disks, or let the firmware rebuild the volume before the capture")
        } else if record.state == "complete", !record.isConsistent {
            add(
                .note, "firmware-raid-inconsistent", record.name,
                what: "it was in use when its state was last written: \(record.recordedState)",
                why: "copies or parity may not agree with the data",
                action: "start and shut down the installed system properly before the capture, if that is possible")
        }
        if let content = record.content { volume(record.name, content) }
    }
}
