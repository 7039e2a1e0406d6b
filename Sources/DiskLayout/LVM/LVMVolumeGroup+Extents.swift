// SPDX-License-Identifier: GPL-3.0-or-later

extension LVMVolumeGroup {
    /// Segment types that name all physical extents they use in the keys that are read.
    private static let knownTypes: Set<String> = [
        "linear", "striped", "mirror", "snapshot", "thin", "thin-pool", "cache", "cache-pool", "writecache", "error",
        "zero",
        "raid0", "raid0_meta", "raid1", "raid10", "raid10_near", "raid4", "raid5", "raid5_0", "raid5_la", "raid5_ra",
        "raid5_ls", "raid5_rs", "raid5_n", "raid6", "raid6_zr", "raid6_nr", "raid6_nc", "raid6_n_6", "raid6_la_6",
        "raid6_ra_6", "raid6_ls_6", "raid6_rs_6", "raid6_0_6", "integrity", "vdo", "vdo-pool",
    ]

    /// Tells whether the section of a logical volume says nothing that is not read.
    static func isUnderstood(_ volume: LVMSection) -> Bool {
        let segments = volume.sections.filter { $0.name.hasPrefix("segment") }.map(\.section)
        guard !segments.isEmpty, volume.integer("segment_count") == Int64(segments.count) else { return false }
        var next: Int64 = 0
        for segment in segments.sorted(by: { $0.integer("start_extent") ?? 0 < $1.integer("start_extent") ?? 0 }) {
            guard let read = Self.segment(segment), read.start == next else { return false }
            // A flag behind a plus is one that an older LVM would have to refuse; this one is the cache's own affair.
            let type = segment.text("type")?.replacing("+METADATA_FORMAT", with: "") ?? ""
            guard knownTypes.contains(type), type != "snapshot" || segments.count == 1 else { return false }
            for (key, list) in [("stripe_count", "stripes"), ("mirror_count", "mirrors")] {
                guard let count = segment.integer(key) else { continue }
                guard segment.array(list).count == read.areas.count * 2, count == Int64(read.areas.count) else {
                    return false
                }
            }
            next = read.start + read.count
        }
        return true
    }

    /// Returns for each physical volume, by its name in the text, the ranges of extents that no volume has.
    ///
    /// Nil when two segments claim one extent, or one claims what is not there: then nobody knows what is in use.
    func freeExtentRanges() -> [String: [Range<Int64>]]? {
        var used: [String: [Range<Int64>]] = [:]
        let counts = Dictionary(physicalVolumes.map { ($0.key, $0.extentCount) }, uniquingKeysWith: { one, _ in one })
        guard counts.count == physicalVolumes.count else { return nil }
        for segment in logicalVolumes.flatMap(\.segments) {
            var each = segment.count
            if segment.type == "striped" {
                guard !segment.areas.isEmpty, segment.count % Int64(segment.areas.count) == 0 else { return nil }
                each = segment.count / Int64(segment.areas.count)
            }
            for area in segment.areas {
                guard let count = counts[area.name] else { continue }
                guard each > 0, area.extent >= 0, area.extent <= count, each <= count - area.extent else { return nil }
                used[area.name, default: []].append(area.extent..<area.extent + each)
            }
        }
        var free: [String: [Range<Int64>]] = [:]
        for (key, count) in counts {
            var position: Int64 = 0
            for range in (used[key] ?? []).sorted(by: { $0.lowerBound < $1.lowerBound }) {
                guard range.lowerBound >= position else { return nil }
                if range.lowerBound > position { free[key, default: []].append(position..<range.lowerBound) }
                position = range.upperBound
            }
            if position < count { free[key, default: []].append(position..<count) }
        }
        return free
    }
}
