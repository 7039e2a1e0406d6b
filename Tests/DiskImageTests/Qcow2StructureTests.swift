// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport
internal import Testing

/// Structures with one thing wrong: the check names it.
struct Qcow2StructureTests {
    private static let clusterSize = 4096

    /// An image and where its tables are.
    private struct Image {
        var bytes: [UInt8]

        init() throws {
            let folder = try TemporaryFolder()
            let content = SampleContent.bytes(.random, length: 64 * clusterSize) + [UInt8](repeating: 0, count: 1 << 20)
            try ImageMaker.write(content, to: folder.file("i"), .init(clusterSize: clusterSize))
            bytes = try SmallFile.read(folder.file("i"), limit: 16 << 20)
        }

        func word(_ offset: Int) -> UInt64 { bytes[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        mutating func set(_ value: UInt64, at offset: Int) {
            withUnsafeBytes(of: value.bigEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
        }
        var l1: Int { Int(word(40)) }
        var l2: Int { Int(word(l1) & 0x00ff_ffff_ffff_fe00) }
        var refcountTable: Int { Int(word(48)) }
        var refcountBlock: Int { Int(word(refcountTable)) }

        func problems() throws -> [StructureProblem] {
            var problems: [StructureProblem] = []
            try DiskImage.open(MemorySource(bytes), format: .qcow2).checkStructure { problem in
                problems.append(problem)
                return problems.count < 50
            }
            return problems
        }
    }

    @Test func findsNothingInACleanImage() throws {
        #expect(try Image().problems().isEmpty)
    }

    @Test func findsEachFlippedBitOfAnL2Entry() throws {
        let clean = try Image()
        for bit in 0..<64 {
            var image = clean
            image.set(clean.word(clean.l2 + 8) ^ 1 << UInt64(bit), at: clean.l2 + 8)
            // Bit 0 makes it a zero cluster that keeps its place: what it reads is the digests' to judge.
            if bit != 0 { #expect(try !image.problems().isEmpty, "bit \(bit)") }
        }
    }

    @Test func findsEachFlippedBitOfAnL1Entry() throws {
        let clean = try Image()
        for bit in 0..<64 {
            var image = clean
            image.set(clean.word(clean.l1) ^ 1 << UInt64(bit), at: clean.l1)
            let result = Result { try image.problems() }
            // An error is as good: no table can be read there.
            if case .success(let problems) = result { #expect(!problems.isEmpty, "bit \(bit)") }
        }
    }

    @Test func findsEachFlippedBitOfRefcounts() throws {
        let clean = try Image()
        for place in [clean.refcountTable, clean.refcountBlock, clean.refcountBlock + 8] {
            for bit in 0..<64 {
                var image = clean
                image.set(clean.word(place) ^ 1 << UInt64(bit), at: place)
                #expect(try !image.problems().isEmpty, "byte \(place), bit \(bit)")
            }
        }
    }

    @Test func findsBitsInUnusedTableEnds() throws {
        var image = try Image()
        image.bytes[image.l1 + 100] ^= 1
        #expect(try image.problems().contains { $0.reason.contains("L1") })
        var other = try Image()
        other.bytes[other.refcountBlock + 4095] ^= 1
        #expect(try other.problems().contains { $0.reason.contains("behind the file's end") })
    }

    @Test func findsOverlapAndLeak() throws {
        var image = try Image()
        image.set(image.word(image.l2 + 8), at: image.l2 + 16)
        let problems = try image.problems()
        #expect(problems.contains { $0.reason.contains("in danger") })
        #expect(problems.contains { $0.reason.contains("leaked") })
    }
}
