// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport

/// A disk in memory of which only some bytes are not zero, with any sector size.
struct TestDisk: BlockSource {
    var name: String { "disk" }
    var lengthInBytes: Int64
    var logicalSectorSize: Int
    var physicalSectorSize: Int { logicalSectorSize }
    /// Pieces of content, each with its first byte; a later one lies over an earlier one.
    var pieces: [(offset: Int64, bytes: [UInt8])]

    init(length: Int64, sectorSize: Int = 512, _ pieces: [(offset: Int64, bytes: [UInt8])] = []) {
        lengthInBytes = length
        logicalSectorSize = sectorSize
        self.pieces = pieces
    }

    /// Takes what a partition table is made of from the image at `path`: its first MiB, and its last.
    init(image path: String, sectorSize: Int, places: [Int64] = []) throws {
        let file = try FileSource(path)
        let end = file.lengthInBytes
        let starts = Set([0, max(end - 1 << 20, 0)] + places).sorted()
        try self.init(
            length: end, sectorSize: sectorSize,
            starts.map { ($0, try file.bytes(at: $0, count: Int(min(1 << 20, end - $0)))) })
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        buffer.clear()
        for piece in pieces {
            let start = max(piece.offset, offset)
            let end = min(piece.offset + Int64(piece.bytes.count), offset + Int64(buffer.count))
            guard start < end else { continue }
            let range = Int(start - piece.offset)..<Int(end - piece.offset)
            piece.bytes.withUnsafeBytes {
                buffer.part(Int(start - offset), range.count).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[range]))
            }
        }
    }

    /// Returns the disk with `bytes` at `offset`.
    func with(_ bytes: [UInt8], at offset: Int64) -> TestDisk {
        var copy = self
        copy.pieces.append((offset, bytes))
        return copy
    }

    /// Returns the disk cut to `length`, or lengthened.
    func resized(to length: Int64) -> TestDisk {
        var copy = self
        copy.lengthInBytes = length
        return copy
    }
}
