// SPDX-License-Identifier: GPL-3.0-or-later

/// An LVM2 volume group, as the newest metadata text describes it.
public struct LVMVolumeGroup: Sendable, Hashable {
    /// A physical volume of the group.
    public struct PhysicalVolume: Sendable, Hashable {
        /// Its name in the text: `pv0`.
        public var key: String
        /// UUID in LVM's groups.
        public var uuid: String
        /// What messages call the device that it was found on; nil when it is missing.
        public var device: String?
        /// Length of the device in bytes, as the text has it.
        public var lengthInBytes: Int64
        /// First byte of its extents.
        public var dataOffset: Int64
        /// Number of its extents.
        public var extentCount: Int64
        /// Number of extents that no logical volume has.
        public var freeExtents: Int64
    }

    /// A stretch of a logical volume.
    public struct Segment: Sendable, Hashable {
        /// First extent in the logical volume.
        public var start: Int64
        /// Number of extents.
        public var count: Int64
        /// Type as LVM reports it, such as `linear` or `thin`.
        public var type: String
        /// Bytes a stripe; nil where the type has none.
        public var stripeLength: Int64?
        /// What holds the data, in order: a physical or logical volume, and its first extent.
        public var areas: [Area]
        /// Logical volumes it depends on besides: pool, origin, metadata, log.
        public var references: [String]
        /// Copies of the data in a RAID 10; nil where the text does not say.
        public var dataCopies: Int?
        /// Whether its layout is being changed: then data lie in two ways.
        public var isReshaping = false
    }

    /// A part of a segment.
    public struct Area: Sendable, Hashable {
        /// Name of a physical volume in the text, or of a logical volume.
        public var name: String
        /// First extent there.
        public var extent: Int64
    }

    /// A logical volume.
    public struct LogicalVolume: Sendable, Hashable {
        /// Name.
        public var name: String
        /// UUID in LVM's groups.
        public var uuid: String
        /// Whether it is seen from outside, and no part of another.
        public var isVisible: Bool
        /// Its stretches, ascending.
        public var segments: [Segment]
        /// Number of extents.
        public var extentCount: Int64
        /// Whether it is the store of a snapshot: what it holds are changed blocks, no file system.
        public var isSnapshotStore = false
        /// Whether others read from it what they have no own copy of: snapshots, thin volumes.
        ///
        /// They may need what the file system on it calls free.
        public var isOrigin = false

        /// Segment types in order, each once.
        public var types: [String] {
            segments.reduce(into: []) { if !$0.contains($1.type) { $0.append($1.type) } }
        }
    }

    /// Name.
    public var name: String
    /// UUID in LVM's groups.
    public var uuid: String
    /// Sequence number of the text.
    public var sequence: Int
    /// Bytes of an extent.
    public var extentLength: Int64
    /// Physical volumes in the text's order.
    public var physicalVolumes: [PhysicalVolume] = []
    /// Logical volumes in the text's order.
    public var logicalVolumes: [LogicalVolume] = []
    /// What is wrong, in sentences.
    public var findings: [String] = []
    /// Whether all that the text says of segments is known here: else volumes may use more than is listed.
    public internal(set) var isUnderstood = true

    /// A physical volume that was found: what messages call its device, and its label.
    struct Found: Sendable {
        var device: String
        var lengthInBytes: Int64
        var label: LVMLabel
    }

    /// Puts groups together from the labels found on all devices, in the order in which they come.
    static func group(_ found: [Found]) -> [LVMVolumeGroup] {
        // The same text stands on every physical volume: it is read once.
        var read: [[UInt8]: LVMVolumeGroup?] = [:]
        var copies: [(device: String, group: LVMVolumeGroup)] = []
        for volume in found {
            for text in volume.label.texts {
                let group = read[text] ?? LVMVolumeGroup(text: text)
                read.updateValue(group, forKey: text)
                if let group { copies.append((volume.device, group)) }
            }
        }
        var places: [String: Int] = [:]
        var groups: [LVMVolumeGroup] = []
        for (_, group) in copies {
            if let place = places[group.uuid] {
                if groups[place].sequence < group.sequence { groups[place] = group }
            } else {
                places[group.uuid] = groups.count
                groups.append(group)
            }
        }
        let newest = groups
        for (device, group) in copies {
            guard let place = places[group.uuid], group != newest[place] else { continue }
            let isOld = group.sequence < newest[place].sequence
            let text =
                isOld
                ? "\(device) has old metadata: \(group.sequence) of \(newest[place].sequence)"
                : "\(device) has other metadata of the same number \(group.sequence)"
            if !groups[place].findings.contains(text), groups[place].findings.count < Findings.maximum {
                groups[place].findings.append(text)
            }
        }
        let devices = Dictionary(grouping: found) { grouped($0.label.uuid) }
        for index in groups.indices {
            groups[index].locate(devices)
            if groups[..<index].contains(where: { $0.name == groups[index].name }) {
                groups[index].findings.append("another volume group has the name \(groups[index].name), too")
            }
        }
        return groups
    }

    /// Reads the text's group; nil when it is none.
    init?(text: [UInt8]) {
        guard let root = LVMTextParser.parse(text), let (name, section) = root.sections.first,
            let id = section.text("id"), let sequence = section.integer("seqno"),
            let extent = section.integer("extent_size"), extent > 0, extent < 1 << 40
        else { return nil }
        self.name = name
        uuid = Self.grouped(id)
        self.sequence = Int(sequence)
        extentLength = extent * 512
        for (key, volume) in section.section("physical_volumes")?.sections ?? [] {
            if volume.texts("flags").contains("MISSING") {
                findings.append("the physical volume \(key) was missing when volumes were changed")
            }
            physicalVolumes.append(
                PhysicalVolume(
                    key: key, uuid: Self.grouped(volume.text("id") ?? ""), device: nil,
                    lengthInBytes: Self.bytes(volume.integer("dev_size")),
                    dataOffset: Self.bytes(volume.integer("pe_start")),
                    extentCount: max(volume.integer("pe_count") ?? 0, 0), freeExtents: 0))
        }
        var stores: Set<String> = []
        var origins: Set<String> = []
        for (name, volume) in section.section("logical_volumes")?.sections ?? [] {
            if !Self.isUnderstood(volume) { isUnderstood = false }
            let segments = volume.sections.filter { $0.name.hasPrefix("segment") }.compactMap {
                Self.segment($0.section)
            }
            .sorted { $0.start < $1.start }
            // A snapshot is two logical volumes and a third of this type that joins them, which nobody sees.
            origins.formUnion(
                volume.sections.flatMap { [$0.section.text("origin"), $0.section.text("external_origin")] }
                    .compactMap(\.self))
            if segments.contains(where: { $0.type == "snapshot" }) {
                stores.formUnion(volume.sections.compactMap { $0.section.text("cow_store") })
                continue
            }
            let count = segments.reduce(into: Int64(0)) { $0 = $0.addingReportingOverflow($1.count).partialValue }
            logicalVolumes.append(
                LogicalVolume(
                    name: name, uuid: Self.grouped(volume.text("id") ?? ""),
                    isVisible: volume.texts("status").contains("VISIBLE"), segments: segments,
                    extentCount: max(count, 0)))
        }
        for index in logicalVolumes.indices where origins.contains(logicalVolumes[index].name) {
            logicalVolumes[index].isOrigin = true
        }
        for index in logicalVolumes.indices where stores.contains(logicalVolumes[index].name) {
            // It is what people see of the snapshot, and call by its name.
            logicalVolumes[index].isVisible = true
            logicalVolumes[index].isSnapshotStore = true
        }
        countFreeExtents()
    }

    /// Returns LVM's form of a UUID: groups of 6, 4, 4, 4, 4, 4 and 6 characters.
    static func grouped(_ text: String) -> String {
        guard text.utf8.count == 32, !text.contains("-") else { return text }
        var rest = text[...]
        return [6, 4, 4, 4, 4, 4, 6].map { length in
            defer { rest = rest.dropFirst(length) }
            return String(rest.prefix(length))
        }.joined(separator: "-")
    }

    private static func bytes(_ sectors: Int64?) -> Int64 {
        guard let sectors, sectors > 0 else { return 0 }
        let (bytes, overflow) = sectors.multipliedReportingOverflow(by: 512)
        return overflow ? .max : bytes
    }

    static func segment(_ section: LVMSection) -> Segment? {
        guard let start = section.integer("start_extent"), let count = section.integer("extent_count"), start >= 0,
            count > 0, count < 1 << 40, start < 1 << 40, let word = section.text("type")
        else { return nil }
        // Behind a plus stand flags that older releases of LVM must not overlook.
        let type = String(word.prefix { $0 != "+" })
        var segment = Segment(start: start, count: count, type: type, stripeLength: nil, areas: [], references: [])
        segment.stripeLength = section.integer("stripe_size").flatMap { $0 > 0 ? bytes($0) : nil }
        switch type {
        case "striped":
            segment.areas = pairs(section.array("stripes"))
            if segment.areas.count == 1 { segment.type = "linear" }
        case "mirror": segment.areas = pairs(section.array("mirrors"))
        case "raid0" where !section.texts("raid0_lvs").isEmpty:
            segment.areas = section.texts("raid0_lvs").map { Area(name: $0, extent: 0) }
        case _ where type.hasPrefix("raid"):
            // Metadata and image in turns.
            let names = section.texts("raids") + section.texts("raid_lvs")
            segment.references = names.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            segment.areas = names.enumerated().filter { $0.offset % 2 == 1 }.map { Area(name: $0.element, extent: 0) }
        default: break
        }
        segment.dataCopies = section.integer("data_copies").flatMap { Int(exactly: $0) }
        segment.isReshaping = section.integer("reshape_count") ?? 0 > 0 || section.integer("data_offset") ?? 0 > 0
        let keys = [
            "thin_pool", "origin", "external_origin", "pool", "metadata", "cache_pool", "data", "cow_store",
            "mirror_log", "vdo_pool", "writecache",
        ]
        segment.references += keys.compactMap { section.text($0) }
        return segment
    }

    private static func pairs(_ values: [LVMValue]) -> [Area] {
        var areas: [Area] = []
        var index = 0
        while index + 1 < values.count {
            if case .text(let name) = values[index], case .integer(let extent) = values[index + 1], extent >= 0 {
                areas.append(Area(name: name, extent: extent))
            }
            index += 2
        }
        return areas
    }

    private mutating func countFreeExtents() {
        var used: [String: Int64] = [:]
        let keys = Set(physicalVolumes.map(\.key))
        for segment in logicalVolumes.flatMap(\.segments) {
            // Stripes share the extents; each leg of a mirror has all of them.
            let each =
                segment.type == "striped" && !segment.areas.isEmpty
                ? segment.count / Int64(segment.areas.count) : segment.count
            for area in segment.areas where keys.contains(area.name) { used[area.name, default: 0] += each }
        }
        for index in physicalVolumes.indices {
            let volume = physicalVolumes[index]
            physicalVolumes[index].freeExtents = max(volume.extentCount - (used[volume.key] ?? 0), 0)
        }
    }

    private mutating func locate(_ found: [String: [Found]]) {
        for index in physicalVolumes.indices {
            let volume = physicalVolumes[index]
            let devices = found[volume.uuid] ?? []
            physicalVolumes[index].device = devices.first?.device
            if devices.count > 1 {
                findings.append(
                    "the physical volume \(volume.uuid) is found on \(devices.map(\.device).joined(separator: ", "))")
            }
            if devices.isEmpty { findings.append("the physical volume \(volume.uuid) of \(name) is missing") }
            for device in devices {
                findings += device.label.findings.map { "\(device.device): \($0)" }
                let (length, overflow) = volume.extentCount.multipliedReportingOverflow(by: extentLength)
                if overflow || length > device.lengthInBytes - min(volume.dataOffset, device.lengthInBytes) {
                    findings.append("\(device.device) ends before its extents do")
                }
            }
        }
    }

    /// Tells whether every physical volume that `volume` lies on, directly or through others, was found.
    ///
    /// Redundancy does not count: a mirror that lost a leg is not complete.
    public func isComplete(_ volume: LogicalVolume) -> Bool {
        let missing = Set(physicalVolumes.filter { $0.device == nil }.map(\.key))
        guard !missing.isEmpty else { return true }
        let volumes = Dictionary(logicalVolumes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var seen: Set<String> = [volume.name]
        var waiting = [volume]
        while let next = waiting.popLast() {
            for name in next.segments.flatMap({ $0.areas.map(\.name) + $0.references }) {
                guard !missing.contains(name) else { return false }
                if seen.insert(name).inserted, let part = volumes[name] { waiting.append(part) }
            }
        }
        return true
    }
}
