// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// A source of which one range cannot be read.
struct UnreadableSource: BlockSource {
    let base: any BlockSource
    let range: Range<Int64>

    var name: String { base.name }
    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        guard !range.overlaps(offset..<offset + Int64(buffer.count)) else {
            throw BlockError(.read, name, offset: offset, length: buffer.count, .invalid("a forged fault"))
        }
        try base.read(into: buffer, at: offset)
    }
}
