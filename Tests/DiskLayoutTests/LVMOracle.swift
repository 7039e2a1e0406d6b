// SPDX-License-Identifier: GPL-3.0-or-later

internal import DiskLayout
internal import TestSupport
internal import Testing

/// Holds a group as we read it against the reports of pvs(8), vgs(8) and lvs(8).
struct LVMOracle {
    let group: LVMVolumeGroup

    static let groupFields = "vg_name,vg_uuid,vg_seqno,vg_extent_size,vg_extent_count,vg_free_count,vg_tags"
    static let physicalFields = "pv_name,pv_uuid,dev_size,pe_start,pv_pe_count,pv_pe_alloc_count,vg_name"
    static let volumeFields =
        "lv_name,lv_uuid,lv_size,seg_start_pe,seg_size_pe,segtype,stripes,stripe_size,devices,metadata_devices,origin,"
        + "pool_lv"

    init(_ group: LVMVolumeGroup) { self.group = group }

    func compare(_ fixture: LVMFixture) throws {
        compare(
            groups: try fixture.report("vgs", Self.groupFields),
            physical: try fixture.report("pvs", Self.physicalFields),
            volumes: try fixture.report("lvs", Self.volumeFields, ["-a", "--segments"]),
            devices: fixture.loops.map(\.path))
    }

    /// Compares with rows of reports of this one group; `devices` are the members' names, in their order.
    func compare(
        groups: [[String: String]], physical: [[String: String]], volumes: [[String: String]], devices: [String]
    ) {
        let row = groups.first { $0["vg_name"] == group.name } ?? [:]
        #expect(row["vg_uuid"] == group.uuid)
        #expect(row["vg_seqno"] == "\(group.sequence)")
        #expect(row["vg_extent_size"] == "\(group.extentSizeInBytes)")
        #expect(row["vg_extent_count"] == "\(group.physicalVolumes.reduce(0) { $0 + $1.extentCount })")
        #expect(row["vg_free_count"] == "\(group.physicalVolumes.reduce(0) { $0 + $1.freeExtentCount })")
        #expect(row["vg_tags"] == group.tags.joined(separator: ","))

        for volume in group.physicalVolumes {
            let row = physical.first { $0["pv_uuid"] == volume.uuid } ?? [:]
            if let member = volume.member { #expect(row["pv_name"] == devices[member]) }
            #expect(row["dev_size"] == "\(volume.deviceSizeInBytes)")
            #expect(row["pe_start"] == "\(volume.firstExtentByte)")
            #expect(row["pv_pe_count"] == "\(volume.extentCount)")
            #expect(row["pv_pe_alloc_count"] == "\(volume.extentCount - volume.freeExtentCount)")
            #expect(row["vg_name"] == group.name)
        }
        #expect(physical.count { $0["vg_name"] == group.name } == group.physicalVolumes.count)

        // lvs lists snapshots by their store, and not the hidden volume that ties it to its origin.
        let shown = group.logicalVolumes.filter { $0.segments.first?.type != "snapshot" }
        #expect(volumes.count == shown.reduce(0) { $0 + $1.segments.count })
        for volume in shown {
            let rows = volumes.filter { $0["lv_uuid"] == volume.uuid }
            #expect(rows.count == volume.segments.count)
            for segment in volume.segments {
                let row = rows.first { $0["seg_start_pe"] == "\(segment.firstExtent)" } ?? [:]
                // Brackets mark what is hidden.
                #expect(row["lv_name"] == (volume.isVisible ? volume.name : "[\(volume.name)]"))
                #expect(row["lv_size"] == "\(volume.extentCount * group.extentSizeInBytes)")
                #expect(row["seg_size_pe"] == "\(segment.extentCount)")
                #expect(row["segtype"] == segment.type)
                #expect(row["stripe_size"] == "\(segment.stripeSizeInBytes)")
                #expect(row["metadata_devices"] == segment.metadataVolumes.map { "\($0)(0)" }.joined(separator: ","))
                if let pool = segment.references["thin_pool"] { #expect(row["pool_lv"] == pool) }
                let isPool = segment.type == "thin-pool" || segment.type.hasPrefix("cache")
                if isPool {
                    let below = segment.references["pool"] ?? segment.references["data"] ?? segment.references["origin"]
                    #expect(row["devices"] == "\(below ?? "")(0)")
                } else {
                    #expect(row["devices"] == segment.places.map { text($0, devices) }.joined(separator: ","))
                    if segment.places.count > 1 { #expect(row["stripes"] == "\(segment.places.count)") }
                }
            }
        }
    }

    private func text(_ place: LVMSegment.Place, _ devices: [String]) -> String {
        switch place {
        case .logicalVolume(let name, let first): return "\(name)(\(first))"
        case .physicalVolume(let name, let first):
            let member = group.physicalVolumes.first { $0.name == name }?.member
            return "\(member.map { devices[$0] } ?? "[unknown]")(\(first))"
        }
    }
}
