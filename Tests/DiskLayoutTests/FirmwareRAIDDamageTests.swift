// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport
internal import Testing

@testable internal import DiskLayout

/// Firmware RAID metadata that are damaged or forged, the checksums made right again: they are survived, and what is
/// read of them stays within bounds.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct FirmwareRAIDDamageTests {
    /// The members of a set in memory, metadata and all data alike.
    private static func members(_ name: String) throws -> (disks: [TestDisk], serials: [String: String]) {
        let set = try StorageSet.named("firmware", name)
        var disks: [TestDisk] = []
        for disk in set.disks {
            let file = try FileSource(set.path(disk))
            var places: [Int64] = []
            var position: Int64 = 0
            while position < file.lengthInBytes {
                let extent = try file.extent(at: position)
                // Data come first, and are not what this is about.
                if extent.kind == .data, extent.offset > 14 << 20 { places.append(extent.offset) }
                position = extent.end
            }
            disks.append(try TestDisk(image: set.path(disk), sectorSize: 512, places: places))
        }
        let serials = disks.indices.map { ("disk\($0)", "/dev/loop\($0)") }
        return (disks, Dictionary(uniqueKeysWithValues: serials))
    }

    /// Puts sets together without asking libblkid, which takes most of the time, and reads a little of each volume.
    @discardableResult
    private static func group(_ disks: [TestDisk], _ type: String, _ serials: [String: String]) throws -> [FirmwareSet]
    {
        let volumes = disks.enumerated().map { index, disk in
            var volume = StorageVolume(Named("disk\(index)", disk))
            volume.content.type = type
            return volume
        }
        let sets = FirmwareSet.group(volumes, serials: serials)
        for volume in sets.flatMap(\.volumes) {
            #expect(volume.members.count <= 65_536 && volume.name.utf8.count <= 64)
            guard let source = volume.source({ name in volumes.first { $0.name == name }?.source }) else { continue }
            #expect(source.lengthInBytes > 0)
            _ = try? source.bytes(at: 0, count: Int(min(4096, source.lengthInBytes)))
            let end = max(source.lengthInBytes - 4096, 0)
            _ = try? source.bytes(at: end, count: Int(source.lengthInBytes - end))
        }
        return sets
    }

    private static func put(_ value: UInt32, _ place: Int, _ bytes: inout [UInt8], isBigEndian: Bool = false) {
        for index in 0..<4 {
            bytes[place + (isBigEndian ? 3 - index : index)] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8))
        }
    }

    /// A disk whose IMSM metadata are `bytes`, the checksum made right.
    private static func imsm(_ disk: TestDisk, _ bytes: [UInt8]) -> TestDisk {
        var bytes = bytes
        let fields = Fields(bytes)
        let length = Int(clamping: fields.integer(36, as: UInt32.self))
        var sum: UInt32 = 0
        for word in 0..<min(length, bytes.count) / 4 where word != 8 { sum &+= fields.integer(word * 4) }
        put(sum, 32, &bytes)
        let place = disk.lengthInBytes - 1024
        let changed = disk.with(Array(bytes.prefix(512)), at: place)
        return bytes.count > 512 ? changed.with(Array(bytes[512...]), at: place - Int64(bytes.count - 512)) : changed
    }

    private static func imsm(of disk: TestDisk) throws -> [UInt8] {
        try disk.bytes(at: disk.lengthInBytes - 1024, count: 512)
            + disk.bytes(at: disk.lengthInBytes - 1536, count: 512)
    }

    @Test(arguments: ["imsm", "imsm-four", "imsm-rebuild", "imsm-spare"])
    func survivesForgedIntelMetadata(name: String) throws {
        let (disks, serials) = try Self.members(name)
        let whole = try Self.imsm(of: disks[1])
        let length = Int(clamping: Fields(whole).integer(36, as: UInt32.self))
        var generator = SeededGenerator(seed: 20_261_123)
        for round in 0..<300 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                // Counts, places and lengths are what matters.
                let place = Int.random(in: round % 3 == 0 ? 36..<100 : 36..<length, using: &generator)
                bytes[place] =
                    [0, 1, 0x7f, 0x80, 0xff, .random(in: 0...255, using: &generator)]
                    .randomElement(using: &generator) ?? 0
            }
            var damaged = disks
            damaged[1] = Self.imsm(disks[1], bytes)
            try Self.group(damaged, "isw_raid_member", serials)
        }
        for bit in 0..<length * 8 {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            var damaged = disks
            // Left wrong, the checksum tells.
            damaged[1] = disks[1].with(Array(bytes.prefix(512)), at: disks[1].lengthInBytes - 1024)
                .with(Array(bytes[512...]), at: disks[1].lengthInBytes - 1536)
            guard bit / 8 > 32 else { continue }
            let metadata = try IMSMMetadata.read(damaged[1])
            #expect(metadata?.isChecksumCorrect != true || bit / 8 >= length / 4 * 4, "bit \(bit)")
        }
        for length in 0...whole.count {
            var bytes = whole
            Self.put(UInt32(length), 36, &bytes)
            try Self.group([Self.imsm(disks[1], bytes)], "isw_raid_member", serials)
            try Self.group([disks[1].resized(to: Int64(length))], "isw_raid_member", serials)
        }
    }

    @Test(arguments: ["ddf", "ddf-stripes", "ddf-more", "ddf-rebuild"])
    func survivesForgedCommonMetadata(name: String) throws {
        let (disks, _) = try Self.members(name)
        let metadata = try #require(try DDFMetadata.read(disks[1]))
        let header = try #require(metadata.primary)
        let start = Int64(header.primarySector)
        let record = Int64(header.recordSectors)
        var sections: [(sector: Int64, count: Int64)] = [
            header.controller, header.physical, header.virtual, header.data,
        ].map { (start + Int64($0.offset), Int64($0.length)) }
        for number in 0..<metadata.configurations.count {
            sections.append((start + Int64(header.configuration.offset) + Int64(number) * record, record))
        }
        var generator = SeededGenerator(seed: 20_261_124)
        func changed(_ disk: TestDisk, _ sector: Int64, _ count: Int64, _ change: (inout [UInt8]) -> Void) throws
            -> TestDisk
        {
            var bytes = try disk.bytes(at: sector * 512, count: Int(count) * 512)
            change(&bytes)
            Self.put(Fields(bytes).ddfChecksum, 4, &bytes, isBigEndian: true)
            return disk.with(bytes, at: sector * 512)
        }
        for round in 0..<120 {
            var damaged = disks
            let section = try #require(sections.randomElement(using: &generator))
            damaged[1] = try changed(disks[1], section.sector, section.count) { bytes in
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let end = round % 2 == 0 ? min(640, bytes.count) : bytes.count
                    bytes[Int.random(in: 8..<end, using: &generator)] =
                        [0, 1, 0x7f, 0x80, 0xff, .random(in: 0...255, using: &generator)]
                        .randomElement(using: &generator) ?? 0
                }
            }
            try Self.group(damaged, "ddf_raid_member", [:])
        }
        // All three headers alike, so that they agree with each other.
        for _ in 0..<120 {
            var damaged = disks[1]
            let place = Int.random(in: 96..<256, using: &generator)
            let byte = UInt8.random(in: 0...255, using: &generator)
            for sector in [damaged.lengthInBytes / 512 - 1, start, Int64(header.secondarySector)] {
                damaged = try changed(damaged, sector, 1) { if place != 112 { $0[place] = byte } }
            }
            try Self.group([damaged] + disks, "ddf_raid_member", [:])
        }
    }

    /// Cut at every sector of the metadata and at every byte of their end, without and with an anchor where the disk ends
    /// now, which is all that leads to the rest.
    @Test(arguments: [("ddf", "ddf_raid_member", 1), ("imsm", "isw_raid_member", 2)])
    func survivesTruncationAnywhere(name: String, type: String, anchor: Int64) throws {
        let (disks, serials) = try Self.members(name)
        let disk = disks[1]
        let end = disk.lengthInBytes
        let start = try (DDFMetadata.read(disk)?.primary).map { Int64($0.primarySector) * 512 } ?? end - 64 * 512
        let last = try disk.bytes(at: end - anchor * 512, count: 512)
        for length in stride(from: start, to: end, by: 512) {
            try Self.group([disk.resized(to: length)], type, serials)
            try Self.group([disk.resized(to: length).with(last, at: length - anchor * 512)], type, serials)
        }
        for length in Array(0..<4096) + Array(end - 34 * 512..<end) {
            try Self.group([disk.resized(to: length)], type, serials)
        }
    }

    /// Every bit of what is read is under a checksum.
    @Test func tellsOfEveryFlippedBit() throws {
        let (disks, _) = try Self.members("ddf")
        let header = try #require(try DDFMetadata.read(disks[1])?.primary)
        let start = Int64(header.primarySector)
        var generator = SeededGenerator(seed: 20_261_125)
        for section in [header.controller, header.physical, header.virtual, header.data] {
            for _ in 0..<30 {
                let place =
                    (start + Int64(section.offset)) * 512
                    + Int64.random(in: 4..<Int64(section.length) * 512, using: &generator)
                let byte =
                    try disks[1].bytes(at: place, count: 1)[0] ^ (1 << UInt8.random(in: 0..<8, using: &generator))
                var damaged = disks
                damaged[1] = disks[1].with([byte], at: place)
                let set = try #require(try Self.group(damaged, "ddf_raid_member", [:]).first)
                #expect(set.problems.contains { $0.hasPrefix("disk1: ") }, "byte \(place)")
            }
        }
    }

    /// Members of two sets of one maker are told apart; a disk twice is not two disks.
    @Test func keepsSetsApart() throws {
        let (one, serials) = try Self.members("imsm")
        let (other, _) = try Self.members("imsm-raid5")
        let sets = try Self.group([one[0], other[0], one[1], other[1]], "isw_raid_member", [:])
        #expect(sets.map(\.members) == [["disk0", "disk2"], ["disk1", "disk3"]])
        #expect(sets.allSatisfy { $0.volumes.allSatisfy { $0.state == nil } }, "without serial numbers nothing tells")
        let twice = try Self.group(one + [one[0]], "isw_raid_member", serials.merging(["disk3": "/dev/loop0"]) { $1 })
        #expect(twice.first?.problems.count == 1 && twice.first?.volumes.allSatisfy { $0.state == .complete } == true)
        let (common, _) = try Self.members("ddf")
        let again = try Self.group(common + [common[0]], "ddf_raid_member", [:])
        #expect(again.first?.problems.count == 1 && again.first?.volumes.allSatisfy { $0.state == .complete } == true)
    }

    /// One header is enough.
    @Test func readsTheOtherHeader() throws {
        let (disks, _) = try Self.members("ddf")
        let header = try #require(try DDFMetadata.read(disks[1])?.primary)
        for sector in [header.primarySector, header.secondarySector] {
            let damaged = disks.map { $0.with([0], at: Int64(sector) * 512) }
            let set = try #require(try Self.group(damaged, "ddf_raid_member", [:]).first)
            #expect(set.volumes.map(\.state) == [.complete, .complete])
        }
        let neither = disks.map {
            $0.with([0], at: Int64(header.primarySector) * 512).with([0], at: Int64(header.secondarySector) * 512)
        }
        let set = try #require(try Self.group(neither, "ddf_raid_member", [:]).first)
        #expect(set.volumes.isEmpty && set.problems.count == disks.count && set.identifier != nil)
    }

    @Test func hashesAsTheRFCSays() {
        func hex(_ text: String) -> String {
            SHA1.digest(Array(text.utf8)).map { DiskLayout.hex($0, width: 2) }.joined()
        }
        #expect(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(
            hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
        for length in [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128] {
            #expect(SHA1.digest([UInt8](repeating: 97, count: length)).count == 20)
        }
    }
}
