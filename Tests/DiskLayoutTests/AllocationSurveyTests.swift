// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

@testable internal import DiskLayout

/// From free space to gaps on disks, and all the reasons for which there is none.
struct AllocationSurveyTests {
    private static let mebibyte: Int64 = 1 << 20

    // MARK: Swap

    /// A swap area as mkswap(8) makes it, or as a sleeping system leaves it.
    private func swapArea(signature: String? = nil, in folder: TemporaryFolder) throws -> FileSource {
        let file = folder.file("swap")
        try Tool.output("truncate", ["-s", "64M", file])
        try Tool.output("mkswap", ["-q", file])
        if let signature {
            let sink = try FileSink(resuming: file)
            try Array(signature.utf8).withUnsafeBytes { try sink.write($0, at: 4086) }
            try sink.close()
        }
        return try FileSource(file)
    }

    @Test func swapKeepsItsHeader() throws {
        let folder = try TemporaryFolder()
        let survey = try AllocationSurvey.read([try swapArea(in: folder)])
        let map = try #require(survey.maps.first)
        #expect(map.gaps.map { $0.offset..<$0.end } == [Self.mebibyte..<64 * Self.mebibyte])
        #expect(map.gaps.map(map.reason(of:)) == ["swap"])
        #expect(survey.volumes.map(\.type) == ["swap"] && survey.volumes[0].wholeReason == nil)
    }

    @Test(arguments: ["S1SUSPEND\0", "S2SUSPEND\0", "ULSUSPEND\0", "LINHIB0001"])
    func aSleepingSystemIsKept(signature: String) throws {
        let folder = try TemporaryFolder()
        let survey = try AllocationSurvey.read([try swapArea(signature: signature, in: folder)])
        #expect(survey.maps[0].gaps.isEmpty)
        #expect(survey.volumes[0].wholeReason != nil)
    }

    // MARK: Geometry

    @Test(arguments: [1, 2, 3, 5] as [Int])
    func stripesAreFollowedToTheByte(members: Int) throws {
        let chunk: Int64 = 64 << 10
        let lengths = [Int64](repeating: 10 * chunk, count: members)
        let geometry = try #require(RAIDGeometry(.striped, chunk: chunk, memberLengths: lengths))
        var generator = SeededGenerator(seed: UInt64(members))
        for _ in 0..<50 {
            let start = Int64.random(in: 0..<geometry.length, using: &generator)
            let end = Int64.random(in: start...geometry.length, using: &generator)
            var expected = [Set<Int64>](repeating: [], count: members)
            // Sector by sector, as the array itself is read.
            for offset in stride(from: start / 512 * 512, to: end / 512 * 512, by: 512) {
                let place = geometry.places(at: offset)[0]
                expected[place.member].insert(place.offset)
            }
            let ranges = try #require(geometry.memberRanges(start / 512 * 512..<end / 512 * 512))
            var found = [Set<Int64>](repeating: [], count: members)
            for (member, range) in ranges {
                found[member].formUnion(stride(from: range.lowerBound, to: range.upperBound, by: 512))
            }
            #expect(found == expected)
        }
    }

    @Test func parityHasNoPlaceOfItsOwn() throws {
        let lengths = [Int64](repeating: 1 << 20, count: 4)
        for pattern in [
            RAIDGeometry.Pattern.parity(count: 1, algorithm: 2), .copied(near: 2, far: 1, isOffset: false),
        ] {
            let geometry = try #require(RAIDGeometry(pattern, chunk: 65536, memberLengths: lengths))
            #expect(geometry.memberRanges(0..<65536) == nil)
        }
        let uneven = try #require(
            RAIDGeometry(
                .striped, chunk: 65536, memberLengths: [1 << 20, 2 << 20], countsChunksFromZone: true))
        #expect(uneven.memberRanges(0..<65536) == nil)
    }

    // MARK: Maps

    @Test func mapsAreAlignedAscendingAndWithoutTinyGaps() throws {
        let reasons = [
            (range: Int64(1000)..<200_000, reason: "a"), (range: 200_000..<300_000, reason: "b"),
            (range: 400_000..<420_000, reason: "a"), (range: 500_000..<(1 << 20), reason: "a"),
        ]
        let map = try #require(AllocationMap(lengthInBytes: 1 << 20, ranges: reasons.shuffled()))
        #expect(map.gaps.map { $0.offset..<$0.end } == [4096..<196_608, 200_704..<299_008, 503_808..<(1 << 20)])
        #expect(map.gaps.map(map.reason(of:)) == ["a", "b", "a"])
        var position: Int64 = 0
        var skipped: Int64 = 0
        while position < map.lengthInBytes {
            let extent = map.extent(at: position)
            #expect(extent.offset == position && extent.length > 0)
            if extent.kind == .hole { skipped += extent.length }
            position = extent.end
        }
        #expect(position == 1 << 20 && skipped == map.skippedLength)
        #expect(map.dataLength + map.skippedLength == map.lengthInBytes)
    }

    @Test func whatIsClaimedTwiceIsNotSkipped() {
        #expect(AllocationMap(lengthInBytes: 1 << 30, ranges: [(0..<1000, "a"), (999..<2000, "b")]) == nil)
        #expect(AllocationMap(lengthInBytes: 1000, ranges: [(0..<1001, "a")]) == nil)
    }

    // MARK: Volume groups

    private func group(_ volumes: String, count: Int = 100) throws -> LVMVolumeGroup {
        try #require(
            LVMVolumeGroup(
                text: Array(
                    """
                    vg {
                    id = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345"
                    seqno = 1
                    extent_size = 8192
                    physical_volumes {
                    pv0 {
                    id = "Abcdef-ghij-klmn-opqr-stuv-wxyz-012345"
                    dev_size = 8388608
                    pe_start = 2048
                    pe_count = \(count)
                    }
                    }
                    logical_volumes {
                    \(volumes)
                    }
                    }
                    """.utf8)))
    }

    private func volume(_ name: String, _ segments: [String], count: Int? = nil) -> String {
        let sections = segments.enumerated().map { "segment\($0.offset + 1) {\n\($0.element)\n}" }
        return """
            \(name) {
            id = "\(name)cdef-ghij-klmn-opqr-stuv-wxyz-012345"
            status = ["READ", "WRITE", "VISIBLE"]
            segment_count = \(count ?? segments.count)
            \(sections.joined(separator: "\n"))
            }
            """
    }

    private func linear(_ start: Int, _ count: Int, at extent: Int, type: String = "striped") -> String {
        """
        start_extent = \(start)
        extent_count = \(count)
        type = "\(type)"
        stripe_count = 1
        stripes = ["pv0", \(extent)]
        """
    }

    @Test func freeExtentsAreWhatNoVolumeHas() throws {
        let group = try group(
            volume("ab", [linear(0, 10, at: 5), linear(10, 5, at: 50)]) + volume("cd", [linear(0, 1, at: 99)]))
        #expect(group.isUnderstood)
        #expect(group.freeExtentRanges()?["pv0"] == [0..<5, 15..<50, 55..<99])
    }

    @Test func overlapsAndWhatLiesBeyondMakeNothingFree() throws {
        #expect(
            try group(volume("ab", [linear(0, 10, at: 5)]) + volume("cd", [linear(0, 1, at: 14)])).freeExtentRanges()
                == nil)
        #expect(try group(volume("ab", [linear(0, 10, at: 91)])).freeExtentRanges() == nil)
    }

    @Test func whatIsNotUnderstoodIsSaid() throws {
        // A segment that is missing, one of a new kind, one with a flag, a count that is not that of the list.
        #expect(!(try group(volume("ab", [linear(0, 10, at: 5)], count: 2)).isUnderstood))
        #expect(!(try group(volume("ab", [linear(0, 10, at: 5, type: "quantum")])).isUnderstood))
        #expect(!(try group(volume("ab", [linear(0, 10, at: 5, type: "striped+NEW")])).isUnderstood))
        #expect(!(try group(volume("ab", [linear(3, 10, at: 5)])).isUnderstood))
        let miscounted = linear(0, 10, at: 5).replacing("stripe_count = 1", with: "stripe_count = 2")
        #expect(!(try group(volume("ab", [miscounted])).isUnderstood))
    }

    // MARK: What real tools made

    /// On every set of disks that Linux made: copies without what is free hold the same volumes.
    @Test(arguments: ["md", "lvm"])
    func realSetsKeepTheirVolumes(kind: String) throws {
        for set in try StorageSet.all(kind) {
            let folder = try TemporaryFolder()
            let sources: [any BlockSource] = try set.disks.map { try FileSource(set.path($0)) }
            let survey = try AllocationSurvey.read(sources)
            #expect(survey.maps.count == sources.count)
            var copies: [any BlockSource] = []
            for (index, source) in sources.enumerated() {
                copies.append(try Self.copy(source, survey.maps[index], to: folder.file(set.disks[index])))
            }
            let (before, after) = (try StorageLayout.read(sources), try StorageLayout.read(copies))
            let names = before.volumes.map { $0.name.replacing(set.folder, with: folder.path) }
            #expect(after.volumes.map(\.name) == names, "\(set.name)")
            for (old, new) in zip(before.volumes, after.volumes) {
                #expect(old.content == new.content, "\(set.name) \(old.name)")
                guard old.content.type?.hasPrefix("ext") == true else { continue }
                let file = folder.file("volume")
                try Self.write(new.source, to: file)
                let check = try Tool.run("e2fsck", ["-f", "-n", file])
                try Self.write(old.source, to: file)
                // What is wrong with the original, as on a half of a stripe, may be wrong with the copy.
                let original = try Tool.run("e2fsck", ["-f", "-n", file])
                #expect(check.status == original.status, "\(set.name) \(old.name): \(check.output)")
            }
        }
    }

    private static func copy(_ source: any BlockSource, _ map: AllocationMap, to path: String) throws -> FileSource {
        let sink = try FileSink(creating: path)
        try sink.setLength(source.lengthInBytes)
        let buffer = AlignedBuffer(count: 1 << 20)
        var position: Int64 = 0
        while position < source.lengthInBytes {
            let extent = map.extent(at: position)
            let end = min(extent.end, position + 1 << 20)
            if extent.kind == .data {
                let part = buffer.prefix(Int(end - position))
                try source.read(into: part, at: position)
                if !UnsafeRawBufferPointer(part).isAllZero {
                    try sink.write(UnsafeRawBufferPointer(part), at: position)
                }
            }
            position = extent.kind == .hole ? extent.end : end
        }
        try sink.close()
        return try FileSource(path)
    }

    private static func write(_ source: any BlockSource, to path: String) throws {
        try Tool.output("rm", ["-f", path])
        _ = try copy(source, AllocationMap(lengthInBytes: source.lengthInBytes), to: path)
    }
}
