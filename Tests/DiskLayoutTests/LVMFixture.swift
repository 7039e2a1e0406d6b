// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport

/// Physical volumes made by LVM2 itself, on loop devices; logical volumes only as metadata, for which no kernel is asked.
final class LVMFixture: Sendable {
    static let isPossible = LoopDevice.areAvailable && Tool.isInstalled("lvm")

    let folder: TemporaryFolder
    let paths: [String]
    let loops: [LoopDevice]

    init(devices: Int, mebibytes: Int = 200) throws {
        let folder = try TemporaryFolder()
        self.folder = folder
        paths = try (0..<devices).map { index in
            let path = folder.file("disk\(index)")
            try Tool.output("truncate", ["-s", "\(mebibytes)M", path])
            return path
        }
        loops = try paths.map { try LoopDevice($0) }
        let accepted = loops.map { "\"a|^\($0.path)$|\", " }.joined()
        // Nothing of the host: no cache, no lock folder, no monitoring, and no other device is opened.
        let text = """
            activation { monitoring=0 udev_sync=0 udev_rules=0 verify_udev_operations=0 }
            global { activation=0 use_lvmlockd=0 use_lvmpolld=0 event_activation=0 locking_dir="\(folder.path)/lock" }
            devices {
                filter=[\(accepted)"r|.*|"] use_devicesfile=0 obtain_device_list_from_udev=0 scan_lvs=0
                external_device_info_source="none" multipath_component_detection=0 md_component_detection=0
                hints="none"
            }
            backup { backup=0 archive=0 }

            """
        try SampleContent.write(Array(text.utf8), to: folder.file("lvm.conf"))
    }

    @discardableResult
    func lvm(_ arguments: String...) throws -> String { try lvm(arguments) }

    @discardableResult
    func lvm(_ arguments: [String]) throws -> String {
        let environment = ["LVM_SYSTEM_DIR=\(folder.path)", "LVM_SUPPRESS_FD_WARNINGS=1"]
        let result = try Tool.run("lvm", arguments, environment: environment)
        guard result.status == 0 else { throw ToolError("lvm \(arguments): \(result.errors)\(result.output)") }
        return result.output
    }

    /// Returns the rows of a report by `command`, such as `lvs`, each by the fields' names.
    func report(_ command: String, _ fields: String, _ arguments: [String] = []) throws -> [[String: String]] {
        Self.rows(
            try lvm([command, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields] + arguments))
    }

    /// Returns the innermost objects of a report, whose values are all texts.
    static func rows(_ json: String) -> [[String: String]] {
        json.split(separator: "{").compactMap { text in
            var fields: [String: String] = [:]
            for match in text.matches(of: /"(\w+)":"([^"]*)"/) { fields[String(match.1)] = String(match.2) }
            return fields.isEmpty ? nil : fields
        }
    }

    /// Returns what we read of all devices.
    func members(_ indices: Range<Int>? = nil) throws -> [LVMMember] {
        try (indices ?? loops.indices).compactMap { index in
            let source = try FileSource(loops[index].path)
            return try LVMLabel.read(source).map {
                LVMMember(device: loops[index].path, lengthInBytes: source.lengthInBytes, label: $0)
            }
        }
    }

    /// Puts `metadata` on the devices, each of which becomes the physical volume that the metadata name.
    func restore(_ metadata: ForgedVolumeGroup) throws {
        try SampleContent.write(Array(metadata.text.utf8), to: folder.file("metadata"))
        for (index, loop) in loops.enumerated() {
            try lvm(
                "pvcreate", "-ff", "-y", "--uuid", metadata.uuids[index], "--restorefile", folder.file("metadata"),
                loop.path)
        }
        try lvm("vgcfgrestore", "--force", "-f", folder.file("metadata"), metadata.name)
    }
}

/// Metadata of a volume group in LVM2's text format, with logical volumes of every type.
struct ForgedVolumeGroup {
    let name = "vgx"
    let uuids: [String]
    private(set) var text = ""
    private var nextExtent: [Int]
    private var count = 0

    init(physicalVolumes: Int, mebibytes: Int = 200) {
        uuids = (0..<physicalVolumes).map { "pvolum-0000-0000-0000-0000-0000-00000\($0)" }
        nextExtent = Array(repeating: 0, count: physicalVolumes)
        text = """
            contents = "Text Format Volume Group"
            version = 1
            description = "with \\"quotes\\" and a \\\\"
            creation_host = "h"
            creation_time = 1795408100
            vgx {
                id = "vgroup-0000-0000-0000-0000-0000-000000"
                seqno = 9
                format = "lvm2"
                status = ["RESIZEABLE", "READ", "WRITE"]
                flags = []
                tags = ["one", "two"]
                extent_size = 8192
                max_lv = 0
                max_pv = 0
                metadata_copies = 0
                physical_volumes {

            """
        for (index, uuid) in uuids.enumerated() {
            text += """
                pv\(index) { id = "\(uuid)" device = "/dev/old\(index)" status = ["ALLOCATABLE"] flags = []
                    dev_size = \(mebibytes * 2048) pe_start = 2048 pe_count = \(mebibytes / 4 - 1) }

                """
        }
        text += "} logical_volumes {\n"
    }

    mutating func volume(_ name: String, _ segments: [(count: Int, body: String)], isVisible: Bool = true) {
        count += 1
        let number = String(count)
        let suffix = String(repeating: "0", count: 6 - number.count) + number
        text += """
            \(name) { id = "lvolum-0000-0000-0000-0000-0000-\(suffix)"
                status = ["READ", "WRITE"\(isVisible ? ", \"VISIBLE\"" : "")] flags = [] creation_time = 1
                creation_host = "h" segment_count = \(segments.count)

            """
        var first = 0
        for (index, segment) in segments.enumerated() {
            text += "segment\(index + 1) { start_extent = \(first) extent_count = \(segment.count)\n\(segment.body) }\n"
            first += segment.count
        }
        text += "}\n"
    }

    /// Returns the text of a place on a physical volume, and takes its extents.
    private mutating func take(_ physical: Int, _ count: Int) -> String {
        defer { nextExtent[physical] += count }
        return "\"pv\(physical)\", \(nextExtent[physical])"
    }

    mutating func linear(_ name: String, on physical: Int, _ count: Int, isVisible: Bool = false) {
        let place = take(physical, count)
        volume(
            name, [(count, "type = \"striped\" stripe_count = 1 stripes = [\(place)]")], isVisible: isVisible)
    }

    mutating func striped(_ name: String, on physical: [Int], _ count: Int, sectors: Int) {
        let places = physical.map { take($0, count / physical.count) }.joined(separator: ", ")
        volume(
            name,
            [
                (
                    count,
                    "type = \"striped\" stripe_count = \(physical.count) stripe_size = \(sectors) stripes = [\(places)]"
                )
            ])
    }

    /// Adds a RAID volume of images of two extents each, image i on physical volume i.
    mutating func raid(_ name: String, _ type: String, images: Int, extents: Int, sectors: Int = 0, more: String = "") {
        let parts = (0..<images).map { "\"\(name)_rmeta_\($0)\", \"\(name)_rimage_\($0)\"" }.joined(separator: ", ")
        let stripe = sectors > 0 ? "stripe_size = \(sectors)" : ""
        volume(
            name,
            [
                (
                    extents,
                    "type = \"\(type)\" device_count = \(images) \(stripe) region_size = 1024 \(more) raids = [\(parts)]"
                )
            ])
        for image in 0..<images {
            linear("\(name)_rmeta_\(image)", on: image, 1)
            linear("\(name)_rimage_\(image)", on: image, 2)
        }
    }

    /// Ends the text.
    mutating func end() { text += "}\n}\n" }

    /// A group on four physical volumes with volumes of every type.
    static var ofEveryType: ForgedVolumeGroup {
        var group = ForgedVolumeGroup(physicalVolumes: 4)
        group.linear("root", on: 3, 5, isVisible: true)
        group.striped("wide", on: [0, 2, 3], 6, sectors: 128)
        group.raid("one", "raid1", images: 2, extents: 2)
        group.raid("four", "raid4", images: 3, extents: 4, sectors: 128)
        group.raid("five", "raid5_ls", images: 4, extents: 6, sectors: 128)
        group.raid("ten", "raid10", images: 4, extents: 4, sectors: 128)
        let legs = "mirrors = [\"old_mimage_0\", 0, \"old_mimage_1\", 0]"
        group.volume("old", [(3, "type = \"mirror\" mirror_count = 2 extents_moved = 3 region_size = 1024 \(legs)")])
        group.linear("old_mimage_0", on: 0, 3)
        group.linear("old_mimage_1", on: 2, 3)
        group.volume(
            "pool",
            [
                (
                    4,
                    "type = \"thin-pool\" metadata = \"pool_tmeta\" pool = \"pool_tdata\" transaction_id = 1 "
                        + "chunk_size = 128 discards = \"passdown\" zero_new_blocks = 1"
                )
            ])
        group.linear("pool_tmeta", on: 1, 1)
        group.linear("pool_tdata", on: 2, 4)
        group.linear("lvol0_pmspare", on: 3, 1)
        group.volume("thin", [(100, "type = \"thin\" thin_pool = \"pool\" transaction_id = 0 device_id = 1")])
        group.volume(
            "thinsnap",
            [(100, "type = \"thin\" thin_pool = \"pool\" transaction_id = 1 device_id = 2 origin = \"thin\"")])
        group.linear("snap", on: 3, 2, isVisible: true)
        group.volume(
            "snapshot0", [(5, "type = \"snapshot\" chunk_size = 8 origin = \"root\" cow_store = \"snap\"")],
            isVisible: false)
        group.volume("cached", [(4, "type = \"cache\" cache_pool = \"fast\" origin = \"cached_corig\"")])
        group.linear("cached_corig", on: 3, 4)
        group.volume(
            "fast",
            [
                (
                    2,
                    "type = \"cache-pool\" data = \"fast_cdata\" metadata = \"fast_cmeta\" metadata_format = 1 "
                        + "chunk_size = 128 cache_mode = \"writethrough\" policy = \"smq\""
                )
            ], isVisible: false)
        group.linear("fast_cdata", on: 1, 2)
        group.linear("fast_cmeta", on: 1, 1)
        group.volume("nothing", [(1, "type = \"error\""), (1, "type = \"zero\"")])
        group.end()
        return group
    }
}
