// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport
internal import Testing

/// Structures with one thing wrong: the check names it.
struct Qcow2StructureTests {
    @Test func findsNothingInACleanImage() throws {
        #expect(try ForgedImage().problems().isEmpty)
    }

    @Test func findsEachFlippedBitOfAnL2Entry() throws {
        let clean = try ForgedImage()
        for bit in 0..<64 {
            var image = clean
            image.set(clean.word(clean.l2 + 8) ^ 1 << UInt64(bit), at: clean.l2 + 8)
            // Bit 0 makes it a zero cluster that keeps its place: what it reads is the digests' to judge.
            if bit != 0 { #expect(try !image.problems().isEmpty, "bit \(bit)") }
        }
    }

    @Test func findsEachFlippedBitOfAnL1Entry() throws {
        let clean = try ForgedImage()
        for bit in 0..<64 {
            var image = clean
            image.set(clean.word(clean.l1) ^ 1 << UInt64(bit), at: clean.l1)
            let result = Result { try image.problems() }
            // An error is as good: no table can be read there.
            if case .success(let problems) = result { #expect(!problems.isEmpty, "bit \(bit)") }
        }
    }

    @Test func findsEachFlippedBitOfRefcounts() throws {
        let clean = try ForgedImage()
        for place in [clean.refcountTable, clean.refcountBlock, clean.refcountBlock + 8] {
            for bit in 0..<64 {
                var image = clean
                image.set(clean.word(place) ^ 1 << UInt64(bit), at: place)
                #expect(try !image.problems().isEmpty, "byte \(place), bit \(bit)")
            }
        }
    }

    @Test func findsBitsInUnusedTableEnds() throws {
        var image = try ForgedImage()
        image.bytes[image.l1 + 100] ^= 1
        #expect(try image.problems().contains { $0.reason.contains("L1") })
        var other = try ForgedImage()
        other.bytes[other.refcountBlock + 4095] ^= 1
        #expect(try other.problems().contains { $0.reason.contains("behind the file's end") })
    }

    @Test func findsOverlapAndLeak() throws {
        var image = try ForgedImage()
        image.set(image.word(image.l2 + 8), at: image.l2 + 16)
        let problems = try image.problems()
        #expect(problems.contains { $0.reason.contains("overlap") })
        #expect(problems.contains { $0.reason.contains("in danger") })
        #expect(problems.contains { $0.reason.contains("leaked") })
    }

    /// Refcounts that admit to two uses do not make them right: nothing but compressed data shares a cluster.
    @Test func findsOverlapThatRefcountsAgreeWith() throws {
        var image = try ForgedImage()
        let (kept, lost) = (image.offset(image.l2 + 8), image.offset(image.l2 + 16))
        image.set(UInt64(kept), at: image.l2 + 8)
        image.set(UInt64(kept), at: image.l2 + 16)
        image.set(UInt16(2), at: image.refcountBlock + kept / ForgedImage.clusterSize * 2)
        image.set(UInt16(0), at: image.refcountBlock + lost / ForgedImage.clusterSize * 2)
        let problems = try image.problems()
        #expect(problems.count == 1)
        #expect(problems.first?.fileOffset == Int64(kept))
        #expect(problems.first?.reason.contains("overlap") == true)
    }

    @Test func findsTablesThatAreWhereOthersAre() throws {
        for place in [40, 48] {
            var image = try ForgedImage()
            image.set(UInt64(image.offset(image.l2 + 8)), at: place)
            let result = Result { try image.problems() }
            if case .success(let problems) = result { #expect(!problems.isEmpty, "header field at \(place)") }
        }
    }

    @Test func saysThatRefcountsAreStaleAndNoMore() throws {
        var image = try ForgedImage()
        image.bytes[79] |= 1
        image.set(UInt16(7), at: image.refcountBlock + 2)
        #expect(try image.problems().map(\.fileOffset) == [72])
        let reader = try DiskImage.open(MemorySource(image.bytes), format: .qcow2)
        #expect(try reader.bytes(at: 0, count: image.content.count).firstDifference(from: image.content) == nil)
    }

    @Test func endsWhenItIsToldTo() throws {
        var image = try ForgedImage()
        for index in 0..<20 { image.set(UInt64(0), at: image.refcountBlock + 8 * index) }
        var calls = 0
        try DiskImage.open(MemorySource(image.bytes), format: .qcow2).checkStructure { _ in
            calls += 1
            return calls < 3
        }
        #expect(calls == 3)
    }

    /// What qemu-img calls an error or a leak is one for us.
    @Test(.enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
    func findsWhatQemuFinds() throws {
        let folder = try TemporaryFolder()
        let clean = try ForgedImage()
        let seed: UInt64 = 20_261_123
        var generator = SeededGenerator(seed: seed)
        var found = 0
        for round in 0..<60 {
            var image = clean
            let size = ForgedImage.clusterSize
            let table = [clean.l1, clean.l2, clean.refcountTable, clean.refcountBlock][round % 4]
            // Where entries are, rather than where the table is empty.
            let place = table + Int.random(in: 0..<(round % 2 == 0 ? 8 : size / 8), using: &generator)
            image.bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            let path = folder.file("\(round).qcow2")
            try SampleContent.write(image.bytes, to: path)
            let status = try Tool.run("qemu-img", ["check", "-f", "qcow2", path]).status
            guard status != 0 else { continue }
            found += 1
            let result = Result { try image.problems() }
            if case .success(let problems) = result {
                #expect(!problems.isEmpty, "seed \(seed), round \(round), byte \(place): qemu-img says \(status)")
            }
        }
        #expect(found > 20)
    }
}
