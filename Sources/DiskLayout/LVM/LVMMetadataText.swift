// SPDX-License-Identifier: GPL-3.0-or-later

/// Makes a volume group of LVM2's metadata text.
struct LVMMetadataText {
    /// Why a text is no volume group's.
    struct Problem: Error, CustomStringConvertible {
        var description: String
    }

    /// Most segments of a logical volume, and most places of a segment.
    static let maximumParts = 100_000
    /// Words of a segment that name other logical volumes.
    private static let referenceWords = [
        "thin_pool", "pool", "metadata", "data", "origin", "external_origin", "cow_store", "merging_store",
        "cache_pool", "mirror_log", "merge", "meta_dev", "vdo_pool", "writecache", "cache_vol", "integrity_meta_dev",
    ]

    private var findings = Findings()

    /// Returns the group that `text` describes.
    static func group(_ text: [UInt8]) throws(Problem) -> LVMVolumeGroup {
        let root: LVMConfig.Section
        do {
            root = try LVMConfig.parse(text)
        } catch {
            throw Problem(description: error.description)
        }
        guard root.text("contents") == "Text Format Volume Group" else {
            throw Problem(description: "it is no volume group's")
        }
        guard let version = root.integer("version"), version == 1 else {
            throw Problem(description: "version \(root.integer("version").map(String.init) ?? "none") is not known")
        }
        guard let (name, section) = root.sections.first else { throw Problem(description: "it names no volume group") }
        var reader = LVMMetadataText()
        return try reader.group(name, section)
    }

    private mutating func group(_ name: String, _ section: LVMConfig.Section) throws(Problem) -> LVMVolumeGroup {
        guard let uuid = section.text("id"), let sequence = section.integer("seqno"),
            let extentSectors = section.integer("extent_size"), extentSectors > 0, extentSectors <= 1 << 40
        else { throw Problem(description: "\(name) lacks an id, a seqno or a sensible extent_size") }
        let extentSize = extentSectors * 512
        var physical: [LVMPhysicalVolume] = []
        for (name, section) in section[section: "physical_volumes"]?.sections ?? [] {
            guard let volume = Self.physicalVolume(name, section, extentSize) else {
                findings.doubt("the metadata of physical volume \(name) are not possible")
                continue
            }
            physical.append(volume)
        }
        let names = Set(physical.map(\.name))
        var logical: [LVMLogicalVolume] = []
        for (name, section) in section[section: "logical_volumes"]?.sections ?? [] {
            guard let volume = logicalVolume(name, section, names, extentSize) else {
                findings.doubt("the metadata of logical volume \(name) are not possible")
                continue
            }
            logical.append(volume)
        }
        // Users see a snapshot by the volume that stores it; another one, which only ties that to its origin, is
        // visible in the metadata.
        let stores = Set(logical.flatMap(\.segments).compactMap { $0.references["cow_store"] })
        for index in logical.indices {
            if stores.contains(logical[index].name) { logical[index].isVisible = true }
            if logical[index].segments.first?.type == "snapshot" { logical[index].isVisible = false }
        }
        count(logical, &physical)
        return LVMVolumeGroup(
            name: name, uuid: uuid, sequence: sequence, status: section.texts("status"), tags: section.texts("tags"),
            extentSizeInBytes: extentSize, physicalVolumes: physical, logicalVolumes: logical,
            findings: findings.texts)
    }

    private static func bytes(_ sectors: Int64?) -> Int64? {
        sectors.flatMap { (0...Int64.max / 512).contains($0) ? $0 * 512 : nil }
    }

    private static func physicalVolume(
        _ name: String, _ section: LVMConfig.Section, _ extentSize: Int64
    ) -> LVMPhysicalVolume? {
        guard let uuid = section.text("id"), let start = bytes(section.integer("pe_start")),
            let count = section.integer("pe_count"), count >= 0, count <= (Int64.max - start) / extentSize
        else { return nil }
        return LVMPhysicalVolume(
            name: name, uuid: uuid, deviceHint: section.text("device") ?? "", status: section.texts("status"),
            flags: section.texts("flags"), deviceSizeInBytes: bytes(section.integer("dev_size")) ?? 0,
            firstExtentByte: start, extentCount: count, freeExtentCount: count)
    }

    private mutating func logicalVolume(
        _ name: String, _ section: LVMConfig.Section, _ physical: Set<String>, _ extentSize: Int64
    ) -> LVMLogicalVolume? {
        guard let uuid = section.text("id"), let count = section.integer("segment_count"),
            (0...Int64(Self.maximumParts)).contains(count)
        else { return nil }
        var segments: [LVMSegment] = []
        var end: Int64 = 0
        for number in 0..<Int(count) {
            guard let part = section[section: "segment\(number + 1)"],
                let segment = Self.segment(part, physical, maximum: Int64.max / extentSize)
            else {
                findings.doubt("segment \(number + 1) of \(name) is missing or not possible")
                return nil
            }
            if segment.firstExtent != end { findings.doubt("segments of \(name) leave a gap or overlap") }
            end = segment.firstExtent + segment.extentCount
            segments.append(segment)
        }
        return LVMLogicalVolume(
            name: name, uuid: uuid, status: section.texts("status"), flags: section.texts("flags"),
            tags: section.texts("tags"), creationTime: section.integer("creation_time"), segments: segments,
            isVisible: section.texts("status").contains("VISIBLE"))
    }

    private static func segment(
        _ section: LVMConfig.Section, _ physical: Set<String>, maximum: Int64
    ) -> LVMSegment? {
        guard let first = section.integer("start_extent"), let count = section.integer("extent_count"),
            let word = section.text("type"), first >= 0, count > 0, first <= maximum, count <= maximum - first
        else { return nil }
        // Flags of newer versions stand behind the type: `cache+METADATA_FORMAT`.
        var type = String(word.prefix { $0 != "+" })
        if type == "striped", section.integer("stripe_count") ?? 1 == 1 { type = "linear" }
        var places: [LVMSegment.Place] = []
        var metadata: [String] = []
        if let list = ["stripes", "mirrors"].first(where: { !section[values: $0].isEmpty }) {
            guard let found = pairs(section[values: list], physical) else { return nil }
            places = found
        } else if !section[values: "raids"].isEmpty || !section[values: "raid_lvs"].isEmpty {
            let names = section.texts("raids") + section.texts("raid_lvs")
            guard names.count <= maximumParts, names.count % 2 == 0 else { return nil }
            for index in stride(from: 0, to: names.count, by: 2) {
                metadata.append(names[index])
                places.append(.logicalVolume(names[index + 1], firstExtent: 0))
            }
        } else {
            places = section.texts("raid0_lvs").map { .logicalVolume($0, firstExtent: 0) }
        }
        var references: [String: String] = [:]
        for word in referenceWords { references[word] = section.text(word) }
        return LVMSegment(
            firstExtent: first, extentCount: count, type: type, places: places, metadataVolumes: metadata,
            stripeSizeInBytes: bytes(section.integer("stripe_size")) ?? 0,
            dataCopies: section.integer("data_copies").flatMap { Int(exactly: $0) },
            isReshaping: section.integer("reshape_count") ?? 0 > 0 || section.integer("data_offset") ?? 0 > 0,
            references: references)
    }

    /// Reads a list of names and first extents in turn.
    private static func pairs(_ values: [LVMConfig.Value], _ physical: Set<String>) -> [LVMSegment.Place]? {
        guard values.count <= maximumParts, values.count % 2 == 0 else { return nil }
        var places: [LVMSegment.Place] = []
        for index in stride(from: 0, to: values.count, by: 2) {
            guard case .text(let name) = values[index], case .integer(let first) = values[index + 1], first >= 0 else {
                return nil
            }
            places.append(
                physical.contains(name)
                    ? .physicalVolume(name, firstExtent: first) : .logicalVolume(name, firstExtent: first))
        }
        return places
    }

    /// Takes what the logical volumes have off each physical volume's free extents.
    private mutating func count(_ logical: [LVMLogicalVolume], _ physical: inout [LVMPhysicalVolume]) {
        var indices: [String: Int] = [:]
        for (index, volume) in physical.enumerated() { indices[volume.name] = index }
        for volume in logical {
            for segment in volume.segments {
                let each =
                    segment.type == "striped"
                    ? segment.extentCount / Int64(max(segment.places.count, 1)) : segment.extentCount
                for case .physicalVolume(let name, let first) in segment.places {
                    guard let index = indices[name] else { continue }
                    if first > physical[index].extentCount || each > physical[index].extentCount - first {
                        findings.doubt("\(volume.name) has extents that \(name) has not")
                    }
                    physical[index].freeExtentCount = max(physical[index].freeExtentCount &- each, 0)
                }
            }
        }
    }
}
