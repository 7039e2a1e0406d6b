// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// LVM2 metadata, written by LVM2 and read by us and by pvs, vgs and lvs.
@Suite(.enabled(if: LVMFixture.isPossible, "needs loop devices and lvm"))
struct LVMTests {
    @Test func readsEveryTypeAsLVMDoes() throws {
        let fixture = try LVMFixture(devices: 4)
        try fixture.restore(.ofEveryType)
        let inventory = LVMInventory(try fixture.members())
        #expect(inventory.groups.count == 1 && inventory.unused == [] && inventory.findings == [])
        let group = try #require(inventory.groups.first)
        #expect(group.findings == [])
        try LVMOracle(group).compare(fixture)
        #expect(group.logicalVolumes.count { $0.isVisible } == 13)
        #expect(group.logicalVolume("thin")?.segments.first?.references == ["thin_pool": "pool"])
        #expect(group.logicalVolume("snapshot0")?.segments.first?.references["cow_store"] == "snap")
        #expect(group.missing.isEmpty)
    }

    @Test func readsWhatLVMMakes() throws {
        let fixture = try LVMFixture(devices: 3)
        let (first, second, third) = (fixture.loops[0].path, fixture.loops[1].path, fixture.loops[2].path)
        // Two areas, none, and one that is ignored: the others are described by the first.
        try fixture.lvm("pvcreate", "-ff", "-y", "--pvmetadatacopies", "2", first)
        try fixture.lvm("pvcreate", "-ff", "-y", "--pvmetadatacopies", "0", "--dataalignment", "64k", second)
        try fixture.lvm("pvcreate", "-ff", "-y", "--bootloaderareasize", "1M", third)
        #expect(LVMInventory(try fixture.members()).unused == [0, 1, 2])
        try fixture.lvm("vgcreate", "-s", "1M", "daten", first, second, third)
        try fixture.lvm("pvchange", "--metadataignore", "y", third)
        for command in [
            "-n a -L 20M", "-n b-c.d -i 3 -I 16k -l 9", "-n c -l 1", "--type raid0 -i 2 -n r -L 8M",
        ] {
            let words = command.split(separator: " ").map(String.init)
            try fixture.lvm(["lvcreate", "-an", "-Zn", "-Wn", "-y"] + words + ["daten"])
        }
        try fixture.lvm("lvextend", "-y", "-L", "+20M", "daten/a")
        try fixture.lvm("vgchange", "--addtag", "tag", "daten")
        let members = try fixture.members()
        #expect(members.map(\.label.metadata.count) == [2, 0, 1] && members[2].label.metadata == [.ignored])
        #expect(members[2].label.bootloaderAreas.count == 1)
        #expect(members.allSatisfy { $0.label.isMarkedUsed })
        let inventory = LVMInventory(members)
        let group = try #require(inventory.groups.first)
        #expect(group.findings == [] && inventory.findings == [] && group.tags == ["tag"])
        try LVMOracle(group).compare(fixture)
        // Without the one that has the metadata nothing is known but that there is something.
        let rest = LVMInventory(try fixture.members(1..<3))
        #expect(rest.groups.isEmpty && rest.unused == [0, 1] && rest.findings.count == 2)
        let lost = try #require(LVMInventory(try fixture.members(0..<2)).groups.first)
        #expect(lost.missing.map(\.uuid) == [group.physicalVolumes[2].uuid] && lost.findings.count == 1)
    }

    @Test func followsTheRingAroundItsEnd() throws {
        let fixture = try LVMFixture(devices: 1, mebibytes: 20)
        let device = fixture.loops[0].path
        try fixture.lvm("pvcreate", "-ff", "-y", "--metadatasize", "32k", "--dataalignment", "4k", device)
        try fixture.lvm("vgcreate", "-s", "64k", "ring", device)
        var hasWrapped = false
        for round in 0..<24 where !hasWrapped {
            let tag = "tag\(round)" + String(repeating: "x", count: 500)
            try fixture.lvm("vgchange", "--addtag", tag, "ring")
            let members = try fixture.members()
            let group = try #require(LVMInventory(members).groups.first)
            #expect(group.tags.count == round + 1 && group.findings == [])
            // A text that the end of its area cuts in two.
            let area = try #require(members[0].label.metadataAreas.first)
            let header = try FileSource(device).bytes(at: area.offset + 40, count: 16)
            let (offset, length) = header.withUnsafeBytes {
                ($0.littleEndian(at: 0, as: Int64.self) ?? 0, $0.littleEndian(at: 8, as: Int64.self) ?? 0)
            }
            hasWrapped = offset + length > area.length
        }
        #expect(hasWrapped)
    }

    @Test func oldAndDoubledPhysicalVolumesAreReported() throws {
        let fixture = try LVMFixture(devices: 2)
        try fixture.lvm("pvcreate", "-ff", "-y", fixture.loops[0].path, fixture.loops[1].path)
        try fixture.lvm("vgcreate", "alt", fixture.loops[0].path, fixture.loops[1].path)
        let old = try fixture.members()
        try fixture.lvm("lvcreate", "-an", "-Zn", "-Wn", "-y", "-n", "neu", "-l", "3", "alt")
        let new = try fixture.members()
        let mixed = try #require(LVMInventory([old[0], new[1]]).groups.first)
        #expect(mixed.sequence == 2 && mixed.logicalVolumes.map(\.name) == ["neu"])
        #expect(mixed.findings == ["\(fixture.loops[0].path) has old metadata: 1 of 2"])
        let twice = try #require(LVMInventory(new + [new[0]]).groups.first)
        #expect(twice.findings.count == 1 && twice.findings[0].contains("is there 2 times"))
        // A physical volume on a disk that has become shorter.
        var short = new
        short[1].lengthInBytes = 5 << 20
        #expect(LVMInventory(short).groups.first?.findings.count == 1)
    }

    @Test func survivesTruncationAndFlippedBytes() throws {
        let fixture = try LVMFixture(devices: 4)
        try fixture.restore(.ofEveryType)
        let bytes = try FileSource(fixture.paths[0]).bytes(at: 0, count: 1 << 20)
        let length: Int64 = 200 << 20
        let original = try #require(try LVMLabel.read(TestDisk(length: length, [(0, bytes)])))
        #expect(original.metadata.count == 1)
        for cut in Array(0..<Int64(5000)) + Array(stride(from: 5000, to: 1 << 20, by: 9973)) {
            guard let label = try LVMLabel.read(TestDisk(length: cut, [(0, bytes)])) else { continue }
            _ = LVMInventory([LVMMember(device: "a", lengthInBytes: cut, label: label)])
        }
        var generator = SeededGenerator(seed: 20_261_123)
        for _ in 0..<1500 {
            var damaged = bytes
            let place = [512..<700, 4096..<4200, 4608..<16_000][Int.random(in: 0..<3, using: &generator)]
            damaged[Int.random(in: place, using: &generator)] ^= UInt8.random(in: 1...255, using: &generator)
            guard let label = try LVMLabel.read(TestDisk(length: length, [(0, damaged)])) else { continue }
            // Checksums guard everything: nothing else than what was there is ever read.
            if label.isChecksumCorrect { #expect(label.uuid == original.uuid) }
            for case .text(let text) in label.metadata { #expect(original.metadata == [.text(text)]) }
        }
    }
}

/// Metadata texts that no LVM2 wrote.
struct LVMTextTests {
    private static func inventory(_ text: [UInt8]) -> LVMInventory {
        var label = LVMLabel(uuid: "pvolum-0000-0000-0000-0000-0000-000000")
        label.metadata = [.text(text)]
        return LVMInventory([LVMMember(device: "a", lengthInBytes: 200 << 20, label: label)])
    }

    @Test func survivesTruncationAndFlippedBytesBehindTheChecksum() {
        let text = Array(ForgedVolumeGroup.ofEveryType.text.utf8)
        #expect(Self.inventory(text).groups.count == 1)
        for count in stride(from: 0, to: text.count, by: 61) { _ = Self.inventory(Array(text.prefix(count))) }
        var generator = SeededGenerator(seed: 20_261_123)
        let signs = Array("{}[]=,\"\\#0 9-x\n\0".utf8)
        for _ in 0..<250 {
            var damaged = text
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<text.count, using: &generator)
                damaged[place] = signs.randomElement(using: &generator) ?? 0
            }
            let inventory = Self.inventory(damaged)
            for group in inventory.groups {
                for volume in group.logicalVolumes {
                    _ = try? LogicalVolumeSource(
                        volume, in: group, physicalVolumes: [nil, TestDisk(length: 200 << 20), nil, nil])
                }
            }
        }
    }

    @Test(arguments: [
        String(repeating: "a{", count: 100_000), String(repeating: "{", count: 1000), "a=[1,1,1,", "a=\"",
        "a=[[1]]", "a=\"\\", "}", "a", "a=", "=", "# nothing", "", "a {} }", "a=[1 2]",
        "contents=\"Text Format Volume Group\"\nversion=2\na{}",
        "contents=\"Text Format Volume Group\"\nversion=1\na=1",
        "contents=\"Text Format Volume Group\"\nversion=1\na{id=\"x\" seqno=1 extent_size=0}",
    ])
    func refusesWhatIsNoMetadata(text: String) {
        let inventory = Self.inventory(Array(text.utf8))
        #expect(inventory.groups.isEmpty && inventory.findings.count == 1)
    }

    @Test(arguments: [
        "pe_count = 9223372036854775807", "pe_start = -1", "pe_start = 9223372036854775807", "pe_count = -1",
    ])
    func refusesImpossibleNumbers(line: String) throws {
        let key = String(line.prefix { $0 != " " })
        let text = ForgedVolumeGroup.ofEveryType.text.replacing(try Regex("\(key) = [0-9]+"), with: { _ in line })
        let group = try #require(Self.inventory(Array(text.utf8)).groups.first)
        #expect(group.physicalVolumes.isEmpty && group.findings.count > 3)
    }

    @Test func volumesThatContainThemselvesEnd() throws {
        var forged = ForgedVolumeGroup(physicalVolumes: 1)
        forged.volume("a", [(1, "type = \"striped\" stripe_count = 1 stripes = [\"b\", 0]")])
        forged.volume("b", [(1, "type = \"striped\" stripe_count = 1 stripes = [\"a\", 0]")])
        forged.end()
        let group = try #require(Self.inventory(Array(forged.text.utf8)).groups.first)
        let volume = try #require(group.logicalVolume("a"))
        #expect(throws: BlockError.self) { try LogicalVolumeSource(volume, in: group, physicalVolumes: [nil]) }
    }
}
