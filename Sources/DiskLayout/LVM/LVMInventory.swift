// SPDX-License-Identifier: GPL-3.0-or-later

/// A device with the LVM2 label found on it.
public struct LVMMember: Sendable, Hashable {
    /// What messages call the device.
    public var device: String
    /// Its length in bytes.
    public var lengthInBytes: Int64
    /// Its label.
    public var label: LVMLabel

    /// Makes a member.
    public init(device: String, lengthInBytes: Int64, label: LVMLabel) {
        self.device = device
        self.lengthInBytes = lengthInBytes
        self.label = label
    }
}

/// The volume groups that were put together from all the physical volumes found.
public struct LVMInventory: Sendable, Hashable {
    /// The groups, in the order in which their first metadata come.
    public var groups: [LVMVolumeGroup] = []
    /// Members that are in no group, counted from 0: new ones, and those that nothing names any more.
    public var unused: [Int] = []
    /// What is worth telling of members in no group, in sentences.
    public var findings: [String] = []

    /// Puts groups together; `LVMPhysicalVolume.member` counts in `members`.
    public init(_ members: [LVMMember]) {
        var findings = Findings()
        // The same text stands on every physical volume: it is read once.
        var read: [[UInt8]: LVMVolumeGroup] = [:]
        var copies: [(member: Int, group: LVMVolumeGroup)] = []
        for (index, member) in members.enumerated() {
            if !member.label.isChecksumCorrect { findings.note("\(member.device): the LVM2 label's checksum is wrong") }
            for metadata in member.label.metadata {
                switch metadata {
                case .text(let text):
                    do throws(LVMMetadataText.Problem) {
                        let group: LVMVolumeGroup
                        if let known = read[text] { group = known } else { group = try LVMMetadataText.group(text) }
                        read[text] = group
                        copies.append((index, group))
                    } catch {
                        findings.note("\(member.device): the LVM2 metadata cannot be used: \(error)")
                    }
                case .damaged(let reason):
                    findings.note("\(member.device): an LVM2 metadata area is damaged: \(reason)")
                case .ignored, .empty: break
                }
            }
        }
        var order: [String] = []
        for copy in copies where !order.contains(copy.group.uuid) { order.append(copy.group.uuid) }
        var used: Set<Int> = []
        for uuid in order {
            let own = copies.filter { $0.group.uuid == uuid }
            guard var group = own.max(by: { $0.group.sequence < $1.group.sequence })?.group else { continue }
            var notes = Findings()
            for text in group.findings { notes.note(text) }
            Self.compare(own.map { (members[$0.member].device, $0.group) }, with: group, &notes)
            Self.place(members, &group, &notes, &used)
            group.findings = notes.texts
            groups.append(group)
        }
        for (index, group) in groups.enumerated()
        where groups[..<index].contains(where: { $0.name == group.name }) {
            groups[index].findings.append("another volume group has the name \(group.name), too")
        }
        unused = members.indices.filter { !used.contains($0) }
        for index in unused where members[index].label.isMarkedUsed {
            findings.note("\(members[index].device) belongs to a volume group, and none that was found has it")
        }
        self.findings = findings.texts
    }

    /// Reports copies that are older than the group, or as new and different.
    private static func compare(
        _ copies: [(device: String, group: LVMVolumeGroup)], with newest: LVMVolumeGroup,
        _ notes: inout Findings
    ) {
        var reported: Set<String> = []
        for copy in copies where reported.insert(copy.device).inserted {
            if copy.group.sequence < newest.sequence {
                notes.note("\(copy.device) has old metadata: \(copy.group.sequence) of \(newest.sequence)")
            } else if copy.group != newest {
                notes.doubt("\(copy.device) has other metadata of the same number \(newest.sequence)")
            } else {
                reported.remove(copy.device)
            }
        }
    }

    /// Finds the group's physical volumes among the members.
    private static func place(
        _ members: [LVMMember], _ group: inout LVMVolumeGroup, _ notes: inout Findings, _ used: inout Set<Int>
    ) {
        for index in group.physicalVolumes.indices {
            let volume = group.physicalVolumes[index]
            let found = members.indices.filter {
                members[$0].label.uuid == volume.uuid && members[$0].label.isChecksumCorrect
            }
            used.formUnion(found)
            guard let first = found.first else {
                notes.note("physical volume \(volume.uuid), once \(volume.deviceHint), is missing")
                continue
            }
            group.physicalVolumes[index].member = first
            if found.count > 1 {
                let devices = found.map { members[$0].device }.joined(separator: ", ")
                notes.doubt("physical volume \(volume.uuid) is there \(found.count) times: \(devices)")
            }
            let end = volume.firstExtentByte + volume.extentCount * group.extentSizeInBytes
            if members[first].lengthInBytes < end {
                notes.doubt("\(members[first].device) ends before its extents do, at byte \(end)")
            }
            if volume.flags.contains("MISSING") {
                notes.note("\(members[first].device) was missing once: what is on it may be old")
            }
        }
    }
}
