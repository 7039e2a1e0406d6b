// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import FoundationEssentials
internal import TestSupport
internal import Testing

/// Volume groups that LVM made: what we read of them is what LVM reports, and their data are what the kernel saw.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct LVMOracleTests {
    private struct Report: Decodable {
        var report: [[String: [[String: String]]]]
    }

    /// The rows of one of LVM's JSON reports.
    private func rows(_ set: StorageSet, _ file: String, _ kind: String) throws -> [[String: String]] {
        let text = try #require(try set.text(file))
        let report = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
        return report.report.flatMap { $0[kind] ?? [] }
    }

    private func layout(_ set: StorageSet) throws -> StorageLayout {
        try StorageLayout.read(set.disks.map { try FileSource(set.path($0)) })
    }

    @Test(arguments: ["kinds", "raid", "missing", "metadata"])
    func readsWhatLVMReports(name: String) throws {
        let set = try StorageSet.named("lvm", name)
        let layout = try layout(set)
        for row in try rows(set, "vgs.json", "vg") {
            let group = try #require(layout.groups.first { $0.group.name == row["vg_name"] }).group
            #expect(group.uuid == row["vg_uuid"])
            #expect("\(group.sequence)" == row["vg_seqno"])
            #expect("\(group.extentLength)" == row["vg_extent_size"])
            #expect("\(group.physicalVolumes.count)" == row["pv_count"])
            #expect("\(group.physicalVolumes.count { $0.device == nil })" == row["vg_missing_pv_count"])
            let free = group.physicalVolumes.reduce(0) { $0 + $1.freeExtents }
            #expect("\(free)" == row["vg_free_count"])
        }
        for row in try rows(set, "pvs.json", "pv") where row["vg_name"]?.isEmpty == false {
            let group = try #require(layout.groups.first { $0.group.name == row["vg_name"] }).group
            let volume = try #require(group.physicalVolumes.first { $0.uuid == row["pv_uuid"] })
            #expect("\(volume.extentCount)" == row["pv_pe_count"])
            #expect("\(volume.extentCount - volume.freeExtents)" == row["pv_pe_alloc_count"], "\(volume.key)")
            #expect("\(volume.dataOffset)" == row["pe_start"])
            #expect((volume.device == nil) == (row["pv_missing"] == "missing"))
        }
        var volumes = 0
        for row in try rows(set, "lvs.json", "lv") {
            let group = try #require(
                layout.groups.first { $0.group.logicalVolumes.contains { $0.uuid == row["lv_uuid"] } }, "\(row)"
            ).group
            // LVM puts hidden ones into brackets.
            let name = row["lv_name"]?.filter { $0 != "[" && $0 != "]" }
            let volume = try #require(group.logicalVolumes.first { $0.name == name }, "\(name ?? "")")
            #expect(volume.uuid == row["lv_uuid"])
            #expect("\(volume.extentCount * group.extentLength)" == row["lv_size"], "\(volume.name)")
            #expect(volume.isVisible == (row["lv_name"]?.hasPrefix("[") == false), "\(volume.name)")
            volumes += 1
        }
        #expect(volumes == layout.groups.reduce(0) { $0 + $1.group.logicalVolumes.count })
        for row in try rows(set, "segments.json", "seg") {
            let group = try #require(layout.groups.first { $0.group.name == row["vg_name"] }).group
            let volume = try #require(group.logicalVolumes.first { $0.uuid == row["lv_uuid"] })
            let start = try #require(Int64(row["seg_start_pe"] ?? ""))
            let segment = try #require(volume.segments.first { $0.start == start }, "\(volume.name)")
            #expect(segment.type == row["segtype"], "\(volume.name)")
            #expect("\(segment.count)" == row["seg_size_pe"], "\(volume.name)")
        }
    }

    @Test(arguments: ["kinds", "raid", "missing", "metadata"])
    func readsTheData(name: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let set = try StorageSet.named("lvm", name)
        let layout = try layout(set)
        // These hold their data in forms of their own, and are copied whole; a classic origin holds its own plainly.
        let unmapped: Set = ["cached", "cachedvol", "snap", "thin", "thinsnap", "md"]
        var compared = 0
        for (lv, digest) in set.digests where !unmapped.contains(lv) {
            let group = try #require(layout.groups.first { $0.group.logicalVolumes.contains { $0.name == lv } })
            let volume = try #require(group.volumes[lv], "\(lv)")
            #expect(try SourceContent.digest(volume.source, folder) == digest, "\(lv)")
            #expect(volume.content.type == "ext4", "\(lv)")
            compared += 1
        }
        #expect(compared >= 2)
        for lv in unmapped { #expect(layout.groups.allSatisfy { $0.volumes[lv] == nil }) }
    }

    @Test func tellsWhatIsMissing() throws {
        let group = try #require(try layout(StorageSet.named("lvm", "missing")).groups.first)
        #expect(group.group.physicalVolumes.count { $0.device == nil } == 1)
        #expect(group.group.findings.contains { $0.contains("is missing") })
        #expect(group.volumes.keys.sorted() == ["mirrored", "whole"])
    }
}
