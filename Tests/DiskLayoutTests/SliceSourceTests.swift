// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Byte ranges of sources.
struct SliceSourceTests {
    @Test func readsItsRangeAndNothingElse() throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.mixed, length: 1 << 20, seed: 3)
        let file = try FileSource(try SampleContent.write(content, to: folder.file("disk")))
        let slice = SliceSource(file, name: "part", firstByte: 5000, length: 700_001)
        #expect(slice.lengthInBytes == 700_001 && slice.logicalSectorSize == 512)
        for (offset, count) in [(0, 1), (0, 700_001), (699_999, 2), (4096, 8192)] {
            let bytes = try slice.bytes(at: Int64(offset), count: count)
            #expect(bytes.firstDifference(from: content[5000 + offset..<5000 + offset + count]) == nil)
        }
        for (offset, count) in [(-1, 1), (0, 700_002), (700_001, 1), (.max, 1)] as [(Int64, Int)] {
            #expect(throws: BlockError.self) { try slice.bytes(at: offset, count: count) }
        }
        // Extents cover it without gap, and holes are zeros.
        var position: Int64 = 0
        while position < slice.lengthInBytes {
            let extent = try slice.extent(at: position)
            #expect(extent.offset == position && extent.length > 0 && extent.end <= slice.lengthInBytes)
            if extent.kind == .hole {
                #expect(try slice.bytes(at: position, count: Int(extent.length)).allSatisfy { $0 == 0 })
            }
            position = extent.end
        }
    }

    @Test func endsWhereItsBaseDoes() throws {
        let disk = TestDisk(length: 1 << 20)
        let cases: [(Int64, Int64, Int64)] = [
            (0, 2 << 20, 1 << 20), (1 << 19, .max, 1 << 19), (1 << 20, 1, 0), (2 << 20, 1, 0), (-5, 10, 10), (0, -1, 0),
            (.max, .max, 0), (.min, .min, 0),
        ]
        for (first, length, expected) in cases {
            #expect(SliceSource(disk, name: "part", firstByte: first, length: length).lengthInBytes == expected)
        }
    }
}
