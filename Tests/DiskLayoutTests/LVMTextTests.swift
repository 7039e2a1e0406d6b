// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Metadata texts behind right checksums: whatever they say, reading them ends, and nothing wrong is read.
struct LVMTextTests {
    private static let length: Int64 = 200 << 20

    /// A disk whose only metadata area holds `text`.
    private static func disk(_ text: [UInt8]) -> TestDisk {
        var label = [UInt8](repeating: 0, count: 512)
        label.replaceSubrange(0..<8, with: Array("LABELONE".utf8))
        label[8] = 1
        label[20] = 32
        label.replaceSubrange(24..<32, with: Array("LVM2 001".utf8))
        label.replaceSubrange(32..<64, with: Array("pvolum00000000000000000000000000".utf8))
        ForgedSuperblock.put(UInt64(length), 64, &label)
        ForgedSuperblock.put(UInt64(16 << 20), 72, &label)
        ForgedSuperblock.put(UInt64(4096), 104, &label)
        ForgedSuperblock.put(UInt64(15 << 20), 112, &label)
        ForgedSuperblock.put(checksum(label[20...]), 16, &label)
        var area = [UInt8](repeating: 0, count: 512)
        area.replaceSubrange(4..<20, with: Array(" LVM2 x[5A%r0N*>".utf8))
        area[20] = 1
        ForgedSuperblock.put(UInt64(4096), 24, &area)
        ForgedSuperblock.put(UInt64(15 << 20), 32, &area)
        ForgedSuperblock.put(UInt64(512), 40, &area)
        ForgedSuperblock.put(UInt64(text.count), 48, &area)
        ForgedSuperblock.put(checksum(text[...]), 56, &area)
        ForgedSuperblock.put(checksum(area[4...]), 0, &area)
        return TestDisk(length: length, [(512, label), (4096, area), (4608, text)])
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(UInt32(0xf597_a6cf)) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }

    /// A group on one physical volume with these logical volumes, each by the text of its segments.
    private static func group(
        _ volumes: [(name: String, segments: [String])], physical: String = "pe_start = 32768 pe_count = 40"
    ) -> [UInt8] {
        var text = """
            contents = "Text Format Volume Group" # and a comment
            version = 1
            vg { id = "vgroup-0000-0000-0000-0000-0000-000000" seqno = 3 extent_size = 8192
            status = ["READ"] flags = [] physical_volumes {
            pv0 { id = "pvolum-0000-0000-0000-0000-0000-000000" dev_size = 409600 \(physical) } }
            logical_volumes {

            """
        for volume in volumes {
            text += "\(volume.name) { id = \"\(volume.name)\" status = [\"READ\", \"VISIBLE\"]"
            text += " segment_count = \(volume.segments.count)\n"
            for (index, segment) in volume.segments.enumerated() { text += "segment\(index + 1) { \(segment) }\n" }
            text += "}\n"
        }
        return Array((text + "} }\n").utf8)
    }

    private static func linear(_ place: String, _ extent: Int, count: Int = 1, start: Int = 0) -> String {
        "start_extent = \(start) extent_count = \(count) type = \"striped\" stripe_count = 1 "
            + "stripes = [\"\(place)\", \(extent)]"
    }

    private static func read(_ text: [UInt8]) throws -> StorageLayout.GroupVolume? {
        try StorageLayout.read([disk(text)]).groups.first
    }

    private static let sample = group([
        ("plain", [linear("pv0", 0, count: 2), linear("pv0", 9, start: 2)]),
        (
            "wide",
            [
                "start_extent=0 extent_count=4 type=\"striped\" stripe_count=2 stripe_size=128 stripes=[\"pv0\",3,\"pv0\",5]"
            ]
        ),
        (
            "five",
            [
                "start_extent=0 extent_count=2 type=\"raid5_ls\" device_count=3 stripe_size=128 raids=[\"m0\",\"i0\",\"m1\",\"i1\",\"m2\",\"i2\"]"
            ]
        ),
        ("i0", [linear("pv0", 20)]), ("i1", [linear("pv0", 21)]), ("i2", [linear("pv0", 22)]),
        ("m0", [linear("pv0", 23)]), ("m1", [linear("pv0", 24)]), ("m2", [linear("pv0", 25)]),
    ])

    @Test func readsTheSample() throws {
        let group = try #require(try Self.read(Self.sample))
        #expect(group.group.name == "vg" && group.group.findings == [] && group.obstacles == [:])
        #expect(group.volumes.count == 9 && group.group.physicalVolumes[0].freeExtents == 40 - 3 - 4 - 6)
        // Bytes of the disk, seen through the volumes: first extent at 16 MiB, each of 4 MiB.
        var disk = Self.disk(Self.sample)
        for extent in 0..<40 { disk = disk.with([UInt8(extent + 100)], at: Int64(16 + extent * 4) << 20) }
        let volumes = try #require(try StorageLayout.read([disk]).groups.first).volumes
        let plain = try #require(volumes["plain"]).source
        #expect(try (0..<3).map { try plain.bytes(at: Int64($0 * 4) << 20, count: 1)[0] } == [100, 101, 109])
        let wide = try #require(volumes["wide"]).source
        #expect(try [0, 65_536, 8 << 20].map { try wide.bytes(at: $0, count: 1)[0] } == [103, 105, 104])
        #expect(throws: BlockError.self) { try plain.bytes(at: 12 << 20, count: 1) }
    }

    @Test func everyVolumeThatIsNotReadSaysWhy() throws {
        let segment = "start_extent=0 extent_count=4 type="
        let group = try #require(
            try Self.read(
                Self.group([
                    ("thin", [segment + "\"thin\" thin_pool=\"pool\""]),
                    ("cache", [segment + "\"cache+METADATA_FORMAT\""]),
                    ("new", [segment + "\"unheard-of\""]), ("far", [Self.linear("pv0", 40)]),
                    ("gap", [Self.linear("pv0", 0), Self.linear("pv0", 1, start: 2)]), ("none", []),
                    ("lost", [Self.linear("nothing", 0)]), ("itself", [Self.linear("itself", 0)]),
                    ("one", [Self.linear("other", 0)]), ("other", [Self.linear("one", 0)]),
                    ("moving", [segment + "\"raid5\" reshape_count=1 stripe_size=128 raids=[\"a\",\"b\",\"c\",\"d\"]"]),
                ])))
        #expect(group.volumes.isEmpty)
        #expect(group.obstacles.count == 11)
        #expect(group.obstacles["thin"]?.contains("type thin are not mapped") == true)
        #expect(group.obstacles["itself"]?.contains("it lies in itself") == true)
        #expect(group.obstacles["moving"]?.contains("layout is being changed") == true)
        #expect(group.obstacles["gap"]?.contains("leave a gap") == true)
    }

    /// Each refers to the next 256 times over: walked one by one there is no end to it.
    @Test func volumesThatContainEachOtherManyTimesEnd() throws {
        let volumes = (0..<8).map { level in
            let places = (0..<256).map { _ in level == 7 ? "\"pv0\", 0" : "\"v\(level + 1)\", 0" }
            return (
                "v\(level)",
                [
                    "start_extent=0 extent_count=1 type=\"mirror\" mirror_count=256 mirrors=["
                        + places.joined(separator: ",") + "]"
                ]
            )
        }
        let group = try #require(try Self.read(Self.group(volumes)))
        #expect(group.volumes.count == 8 || group.obstacles.count > 0)
        #expect(group.group.isComplete(group.group.logicalVolumes[0]))
    }

    @Test(arguments: [
        "", "}", "a", "a=", "=", "a {} }", "a=[", "a=\"", "a=\"\\", "a=[1,[2]]", "a {", "\"", "# nothing",
        "contents=\"Text Format Volume Group\"\nversion=1\na=1",
        "contents=\"Text Format Volume Group\"\nversion=1\na{id=\"x\" seqno=1 extent_size=0}",
        "contents=\"Text Format Volume Group\"\nversion=1\na{id=\"x\" extent_size=8192}",
    ])
    func whatIsNoMetadataIsNone(text: String) throws {
        #expect(try Self.read(Array(text.utf8)) == nil)
        let layout = try StorageLayout.read([Self.disk(Array(text.utf8))])
        #expect(layout.unusedPhysicalVolumes == ["disk"])
    }

    @Test func depthIsBounded() throws {
        for text in ["a{", "a=[", "{", "["] {
            #expect(try Self.read(Array(String(repeating: text, count: 200_000).utf8)) == nil)
        }
    }

    @Test(arguments: [
        "pe_start = 32768 pe_count = 9223372036854775807", "pe_start = 9223372036854775807 pe_count = 40",
        "pe_start = -5 pe_count = -5", "pe_count = 40", "pe_start = \"x\" pe_count = [1]",
    ])
    func impossibleNumbersAreBorne(physical: String) throws {
        let group = try Self.read(Self.group([("a", [Self.linear("pv0", 3)])], physical: physical))
        for volume in group?.volumes.values.map(\.self) ?? [] { _ = try volume.source.bytes(at: 0, count: 1) }
        for numbers in [
            (0, Int.max, 0), (Int.max, 1, 0), (1 << 39, 1 << 39, 0), (0, 1, Int.max), (-1, 1, 0), (0, -1, -1),
        ] {
            let segment = Self.linear("pv0", numbers.2, count: numbers.1, start: numbers.0)
            let group = try Self.read(Self.group([("a", [segment])]))
            #expect(group?.volumes["a"] == nil || (numbers.0 == 0 && numbers.1 == 1))
        }
    }

    @Test func survivesTruncationAndFlippedBytes() throws {
        for count in 0..<Self.sample.count {
            _ = try Self.read(Array(Self.sample.prefix(count)))
        }
        var generator = SeededGenerator(seed: 20_261_123)
        let signs = Array("{}[]=,\"\\#0 9-x\n\0".utf8)
        for _ in 0..<400 {
            var damaged = Self.sample
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<damaged.count, using: &generator)
                damaged[place] = try #require(signs.randomElement(using: &generator))
            }
            for volume in try Self.read(damaged)?.volumes.values.map(\.source) ?? [] {
                #expect(volume.lengthInBytes > 0)
                _ = try volume.bytes(at: volume.lengthInBytes - 1, count: 1)
            }
        }
    }

    @Test func copiesThatDisagreeAreNamed() throws {
        func named(_ name: String, _ text: [UInt8]) -> any BlockSource { Named(name, Self.disk(text)) }
        let old = Self.group([("a", [Self.linear("pv0", 0)])])
        let new = Array(String(decoding: Self.sample, as: UTF8.self).replacing("seqno = 3", with: "seqno = 4").utf8)
        let layout = try StorageLayout.read([named("one", old), named("two", new)])
        let group = try #require(layout.groups.first).group
        #expect(group.sequence == 4 && group.logicalVolumes.count == 9)
        #expect(group.findings.contains("one has old metadata: 3 of 4"))
        #expect(group.findings.contains { $0.contains("is found on one, two") })
        let same = try #require(try StorageLayout.read([named("one", old), named("two", Self.sample)]).groups.first)
        #expect(same.group.findings.contains("two has other metadata of the same number 3"))
    }
}
