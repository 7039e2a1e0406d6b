// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport
internal import Testing

@testable internal import DiskLayout

/// Firmware RAID whose geometry nobody here has seen, or that is between two: it is called by its name, its volume is
/// not put together, and its members are copied whole.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct FirmwareRAIDUnmappedTests {
    /// A member with some of its bytes changed.
    private struct Changed: SourceWrapper {
        let name: String
        let base: any BlockSource
        var patches: [(offset: Int64, bytes: [UInt8])] = []

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            try base.read(into: buffer, at: offset)
            for (start, bytes) in patches {
                for (index, byte) in bytes.enumerated() {
                    let place = start + Int64(index) - offset
                    if place >= 0, place < Int64(buffer.count) { buffer[Int(place)] = byte }
                }
            }
        }
    }

    private static func members(_ name: String) throws -> [Changed] {
        let set = try StorageSet.named("firmware", name)
        return try set.disks.enumerated().map { try Changed(name: "disk\($0)", base: FileSource(set.path($1))) }
    }

    /// Reads the set as a probe and as a capture do, and returns it when nothing of its members is left out.
    private static func set(of members: [Changed]) throws -> FirmwareSet {
        let serials = members.indices.map { ("disk\($0)", "/dev/loop\($0)") }
        let layout = try StorageLayout.read(members, serials: Dictionary(uniqueKeysWithValues: serials))
        for map in try AllocationSurvey.read(members).maps { #expect(map.gaps.isEmpty) }
        let known = Set(layout.firmwareContents.map(\.volume.name))
        for volume in layout.firmwareSets.flatMap(\.volumes) where volume.pattern == nil {
            let source = volume.source { name in members.first { $0.name == name } }
            #expect(source == nil && !known.contains(volume.name), "\(volume.name)")
        }
        return try #require(layout.firmwareSets.first)
    }

    /// SNIA DDF 2.0, 4.2.16 and 4.2.17: RAID1E with an offset, concatenation, and what is not in it at all.
    @Test(arguments: [(0x1f, 0, "concat"), (0x11, 1, "raid1e"), (0x0f, 0, "jbod"), (0x25, 0, "raid5ee")])
    func namesCommonLevels(level: UInt8, qualifier: UInt8, word: String) throws {
        let members = try Self.members("ddf").map { member in
            var member = member
            let metadata = try #require(try DDFMetadata.read(member))
            let header = try #require(metadata.primary)
            let length = Int(header.recordSectors) * 512
            for number in 0..<metadata.configurations.count {
                let sector =
                    Int64(header.primarySector) + Int64(header.configuration.offset)
                    + Int64(number) * Int64(header.recordSectors)
                var bytes = try member.bytes(at: sector * 512, count: length)
                (bytes[67], bytes[68], bytes[69]) = (level, qualifier, 1)
                let sum = Fields(bytes).ddfChecksum
                for index in 0..<4 { bytes[4 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - index * 8)) }
                member.patches.append((sector * 512, bytes))
            }
            return member
        }
        let set = try Self.set(of: members)
        #expect(!set.volumes.isEmpty && set.problems.isEmpty, "\(set.problems)")
        for volume in set.volumes {
            #expect(volume.level == word && volume.pattern == nil, "\(volume.name)")
            #expect(volume.members.allSatisfy { $0.device != nil })
        }
    }

    /// Bytes 88 and 89 of a volume: whether it migrates, and how; 3 is from one layout to another.
    @Test func namesTheMigrationOfIntels() throws {
        var migrating = 0
        let members = try Self.members("imsm-rebuild").map { member in
            var member = member
            let end = member.lengthInBytes
            var bytes = try member.bytes(at: end - 1024, count: 512) + member.bytes(at: end - 1536, count: 512)
            guard let metadata = try IMSMMetadata.read(member) else { return member }
            let length = Int(Fields(bytes).integer(36, as: UInt32.self))
            for volume in metadata.volumes where volume.migration != nil {
                let name = Array(volume.name.utf8)
                let place = try #require((216..<length - 16).first { Array(bytes[$0..<$0 + name.count]) == name })
                #expect(bytes[place + 88] == 1)
                bytes[place + 89] = 3
                migrating += 1
            }
            var sum: UInt32 = 0
            for word in 0..<length / 4 where word != 8 { sum &+= Fields(bytes).integer(word * 4) }
            for index in 0..<4 { bytes[32 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(index * 8)) }
            member.patches = [(end - 1024, Array(bytes[..<512])), (end - 1536, Array(bytes[512...]))]
            return member
        }
        #expect(migrating > 0)
        let set = try Self.set(of: members)
        let volumes = set.volumes.filter { $0.pattern == nil }
        #expect(!volumes.isEmpty)
        for volume in volumes { #expect(volume.recordedState.contains("general migration")) }
    }
}
