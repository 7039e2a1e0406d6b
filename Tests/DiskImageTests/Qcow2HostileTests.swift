// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport
internal import Testing

/// Images that want to hurt: each ends in an error or a result, soon and within bounds.
struct Qcow2HostileTests {
    /// A small image with every kind of cluster, as our writer makes it.
    private func sample(_ compression: ImageCompression) throws -> [UInt8] {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.mixed, length: 3 << 20, seed: 11)
        try ImageMaker.write(content, to: folder.file("disk.qcow2"), .init(clusterSize: 4096, compression: compression))
        return try SmallFile.read(folder.file("disk.qcow2"), limit: 64 << 20)
    }

    @Test(arguments: [ImageCompression.none, .zlib, .zstd])
    func survivesTruncationAnywhere(compression: ImageCompression) throws {
        let image = try sample(compression)
        // Every length within the header and sampled ones beyond; the tables are at the end.
        let lengths = Array(0..<200) + Array(stride(from: 200, to: image.count, by: 4099)) + [image.count - 1]
        for length in lengths { try exercise(MemorySource(Array(image[..<length]))) }
    }

    /// A small image, cut at each of its bytes, and with each of them inverted.
    @Test(arguments: [ImageCompression.none, .zlib, .zstd])
    func survivesDamageOfEachByte(compression: ImageCompression) throws {
        let folder = try TemporaryFolder()
        // Content that compresses, content that does not, and zeros.
        let content =
            [[UInt8]](repeating: Array(0...255), count: 12).joined() + SampleContent.bytes(.random, length: 3000)
            + [UInt8](repeating: 0, count: 4096)
        try ImageMaker.write(
            Array(content), to: folder.file("disk"), .init(clusterSize: 512, compression: compression))
        let image = try SmallFile.read(folder.file("disk"), limit: 1 << 20)
        for place in image.indices {
            try exercise(MemorySource(Array(image[..<place])), "cut at \(place)")
            var damaged = image
            damaged[place] ^= 0xff
            try exercise(MemorySource(damaged), "byte \(place) inverted")
        }
    }

    @Test(arguments: [ImageCompression.none, .zlib, .zstd])
    func survivesFlippedBytes(compression: ImageCompression) throws {
        let image = try sample(compression)
        let seed: UInt64 = 20_261_122
        var generator = SeededGenerator(seed: seed)
        for round in 0..<600 {
            var damaged = image
            // The header and the tables at the end are what is worth hitting.
            let ranges = [0..<120, max(image.count - 40_000, 0)..<image.count, 0..<image.count]
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let range = ranges[Int.random(in: 0..<3, using: &generator)]
                damaged[Int.random(in: range, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            try exercise(MemorySource(damaged), "seed \(seed), round \(round)")
        }
    }

    @Test(arguments: [
        (20, UInt32(0)), (20, 31), (20, 63), (20, 0xffff_ffff), (24, 0x7fff_ffff), (24, 0xffff_ffff),
        (36, 0xffff_ffff), (36, 0), (40, 0xffff_ffff), (44, 1), (48, 0xffff_ffff), (56, 0xffff_ffff), (72, 0x8000_0000),
        (76, 0x2), (76, 0x20), (96, 7), (100, 0), (100, 105), (100, 0xffff_fff8), (104, 0x0200_0000), (4, 1), (4, 4),
    ])
    func refusesImpossibleHeaders(offset: Int, value: UInt32) throws {
        var image = try sample(.none)
        withUnsafeBytes(of: value.bigEndian) { image.replaceSubrange(offset..<offset + 4, with: $0) }
        let source = MemorySource(image)
        #expect(throws: ImageError.self) { try DiskImage.open(source, format: .qcow2) }
    }

    @Test func namesAnUnknownFeatureAsTheImageDoes() throws {
        var image = try sample(.none)
        image[79] = 0x20  // Incompatible feature bit 5.
        let name = Array("shiny things".utf8)
        let table: [UInt8] =
            [0x68, 0x03, 0xf8, 0x57, 0, 0, 0, 48, 0, 5] + name + [UInt8](repeating: 0, count: 46 - name.count)
        image.replaceSubrange(112..<112 + table.count, with: table)
        let error = #expect(throws: ImageError.self) { try DiskImage.open(MemorySource(image), format: .qcow2) }
        #expect(error?.description.contains("shiny things") == true)
    }

    @Test func endsWithTablesThatPointToThemselves() throws {
        var image = try sample(.none)
        let l1 = Int(image[40..<48].reduce(0) { $0 << 8 | UInt64($1) })
        withUnsafeBytes(of: (UInt64(l1) | 1 << 63).bigEndian) { image.replaceSubrange(l1..<l1 + 8, with: $0) }
        try exercise(MemorySource(image))
        var problems = 0
        let reader = try DiskImage.open(MemorySource(image), format: .qcow2)
        try reader.checkStructure { _ in
            problems += 1
            return problems < 100
        }
        #expect(problems > 0)
    }

    /// Opens, reads, walks and checks; anything may be refused, nothing may trap or run on.
    private func exercise(_ source: MemorySource, _ comment: Comment? = nil) throws {
        do {
            let reader = try DiskImage.open(source, format: .qcow2)
            let end = min(reader.lengthInBytes, 8 << 20)
            var position: Int64 = 0
            while position < end {
                let count = Int(min(1 << 20, end - position))
                _ = try? reader.bytes(at: position, count: count)
                _ = try? reader.clusterOffset(of: position)
                let extent = try reader.extent(at: position)
                #expect(extent.length > 0 && extent.offset == position && extent.end <= reader.lengthInBytes, comment)
                position = max(position + Int64(count), position + 1)
            }
            var problems = 0
            try reader.checkStructure { _ in
                problems += 1
                return problems < 1000
            }
        } catch is ImageError {
        } catch is BlockError {
        }
    }
}
