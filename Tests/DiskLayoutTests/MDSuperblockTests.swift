// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// md superblocks, with mdadm as the second opinion, and arrays put together from them.
struct MDSuperblockTests {
    private static let length: Int64 = 64 << 20

    private static func place(_ version: MDSuperblock.Version) -> Int64 {
        switch version {
        case .v0_90: return length - 65536
        case .v1_0: return length - 8192
        case .v1_1: return 0
        case .v1_2: return 4096
        }
    }

    private static func forged(_ version: MDSuperblock.Version) -> [UInt8] {
        // Without the bitmap feature: mdadm strikes it from a superblock beside which it finds no whole bitmap.
        version == .v0_90
            ? ForgedSuperblock.version0() : ForgedSuperblock.version1(place: UInt64(place(version)), features: 0)
    }

    /// Returns what `mdadm --examine` prints of the disk, by its labels.
    private static func examine(_ pieces: [(Int64, [UInt8])]) throws -> [String: String] {
        let folder = try TemporaryFolder()
        let path = folder.file("member")
        var content = [UInt8](repeating: 0, count: Int(length))
        for (offset, bytes) in pieces { content.replaceSubrange(Int(offset)..<Int(offset) + bytes.count, with: bytes) }
        try SampleContent.write(content, to: path)
        var fields: [String: String] = [:]
        for line in try Tool.output("mdadm", ["--examine", path]).split(separator: "\n") {
            guard let colon = line.firstRange(of: " : ") else { continue }
            let label = line[..<colon.lowerBound].drop { $0 == " " }
            fields[String(label)] = String(line[colon.upperBound...])
        }
        return fields
    }

    @Test(
        .enabled(if: Tool.isInstalled("mdadm"), "mdadm is not installed"), arguments: MDSuperblock.Version.allCases)
    func readsAsMdadmDoes(version: MDSuperblock.Version) throws {
        let piece = (offset: Self.place(version), bytes: Self.forged(version))
        let theirs = try Self.examine([piece])
        let all = try MDSuperblock.all(on: TestDisk(length: Self.length, [piece]))
        #expect(all.count == 1)
        let ours = try #require(all.first)
        #expect(ours.version == version && ours.isChecksumCorrect)
        #expect(theirs["Version"]?.hasPrefix(version == .v0_90 ? "0.90" : "1") == true, "\(theirs)")
        #expect(theirs["Checksum"]?.contains("correct") == true)
        #expect(theirs["Raid Level"] == ours.level.description)
        #expect(theirs["Raid Devices"] == "\(ours.raidDisks)")
        #expect(theirs["Events"] == "\(ours.eventCount)")
        #expect(theirs["State"] == (ours.isClean ? "clean" : "active"))
        if version == .v0_90 {
            #expect(theirs["UUID"]?.hasPrefix(ours.arrayUUID.description) == true)
            #expect(theirs["Used Dev Size"]?.hasPrefix("\(ours.usedSizeInBytes / 1024) ") == true)
            #expect(ours.role == .active(1) && ours.level == .raid1)
        } else {
            #expect(theirs["Array UUID"] == ours.arrayUUID.description)
            #expect(theirs["Device UUID"] == ours.deviceUUID?.description)
            #expect(theirs["Name"]?.hasPrefix(ours.name) == true)
            #expect(theirs["Data Offset"] == "\(ours.dataOffsetInBytes / 512) sectors")
            #expect(theirs["Super Offset"] == "\(ours.offset / 512) sectors")
            #expect(theirs["Layout"] == ours.layoutName)
            #expect(theirs["Chunk Size"] == "\(ours.chunkSizeInBytes / 1024)K")
            #expect(theirs["Feature Map"] == "0x\(String(ours.features.rawValue, radix: 16))")
            #expect(theirs["Device Role"] == "Active device 1" && ours.role == .active(1))
            #expect(theirs["Avail Dev Size"]?.hasPrefix("\(ours.dataSizeInBytes / 512) sectors") == true)
            #expect(ours.bitmapOffsetInBytes == nil)
        }
    }

    @Test func readsWhereTheBitmapIs() throws {
        let piece = (Self.place(.v1_2), ForgedSuperblock.version1(place: UInt64(Self.place(.v1_2)), features: 1))
        let ours = try #require(try MDSuperblock.all(on: TestDisk(length: Self.length, [piece])).first)
        #expect(ours.features.rawValue == 1 && ours.bitmapOffsetInBytes == 8 * 512)
    }

    @Test func readsABigEndianSuperblock() throws {
        let disk = TestDisk(length: Self.length, [(Self.place(.v0_90), ForgedSuperblock.version0(big: true))])
        let ours = try #require(try MDSuperblock.all(on: disk).first)
        #expect(ours.isBigEndian && ours.isChecksumCorrect && ours.eventCount == 42 && ours.role == .active(1))
        #expect(ours.arrayUUID.bytes == ForgedSuperblock.arrayUUID)
    }

    @Test(arguments: MDSuperblock.Version.allCases)
    func survivesTruncationAndFlippedBytes(version: MDSuperblock.Version) throws {
        let bytes = Self.forged(version)
        for length in 0..<Int64(20_000) {
            _ = try MDSuperblock.all(on: TestDisk(length: length, [(0, bytes), (4096, bytes)]))
        }
        var generator = SeededGenerator(seed: 20_261_123)
        for _ in 0..<3000 {
            var damaged = bytes
            let place = Int.random(in: 0..<264, using: &generator)
            damaged[place] ^= UInt8.random(in: 1...255, using: &generator)
            let found = try MDSuperblock.all(on: TestDisk(length: Self.length, [(Self.place(version), damaged)]))
            #expect(found.allSatisfy { !$0.isChecksumCorrect }, "byte \(place)")
            _ = MDArray.group(found.map { MDMember(device: "a", superblock: $0) })
        }
    }

    private static func member(
        _ number: UInt32, events: UInt64 = 42, level: Int32 = 5, layout: UInt32 = 2, raidDisks: UInt32 = 3
    ) throws -> MDMember {
        let bytes = ForgedSuperblock.version1(
            place: 4096, number: number, level: level, layout: layout, raidDisks: raidDisks, events: events)
        let disk = TestDisk(length: length, [(4096, bytes)])
        return MDMember(device: "sd\(number)", superblock: try #require(try MDSuperblock.all(on: disk).first))
    }

    @Test func putsArraysTogether() throws {
        let members = try [2, 0, 3, 1].map { try Self.member($0) }
        let whole = try #require(MDArray.group(members).first)
        #expect(whole.state == .complete && whole.missing.isEmpty && whole.findings.isEmpty)
        #expect(whole.active.map(\.device) == ["sd0", "sd1", "sd2"] && whole.spares.map(\.device) == ["sd3"])

        let left = try #require(MDArray.group([members[0], members[1], try Self.member(1, events: 40)]).first)
        #expect(left.state == .degraded && left.missing == [1] && left.stale.map(\.device) == ["sd1"])
        let close = try #require(MDArray.group([members[0], members[1], try Self.member(1, events: 41)]).first)
        #expect(close.state == .complete)
        let one = try #require(MDArray.group([members[0]]).first)
        #expect(one.state == .incomplete && one.missing == [0, 1])
        let twice = try #require(MDArray.group(members + [members[0]]).first)
        #expect(twice.others.count == 1 && twice.findings.count == 1)
    }

    @Test(arguments: [
        (Int32(0), MDArray.State.incomplete), (1, .degraded), (5, .degraded), (6, .degraded), (10, .degraded),
    ])
    func knowsWhatALevelBears(level: Int32, state: MDArray.State) throws {
        let layout: UInt32 = level == 10 ? 0x102 : 2
        let members = try [0, 2].map { try Self.member($0, level: level, layout: layout) }
        #expect(MDArray.group(members).first?.state == state)
    }
}
