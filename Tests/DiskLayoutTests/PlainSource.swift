// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// A source that is no file to its readers, and counts what they read.
final class PlainSource: BlockSource {
    let base: any BlockSource
    private let count = Mutex<Int64>(0)

    init(_ base: any BlockSource) { self.base = base }

    var name: String { base.name }
    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }
    var bytesRead: Int64 { count.withLock { $0 } }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        count.withLock { $0 += Int64(buffer.count) }
        try base.read(into: buffer, at: offset)
    }

    func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }
}

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
