// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Reads whole sectors of a disk, by number.
struct SectorReader {
    let source: any BlockSource
    let sectorSize: Int
    /// Whole sectors of the disk; what follows the last one is no sector.
    let count: UInt64

    init(_ source: any BlockSource) {
        self.source = source
        sectorSize = max(source.logicalSectorSize, 512)
        count = UInt64(max(source.lengthInBytes, 0)) / UInt64(sectorSize)
    }

    /// Returns the `length` bytes that begin with sector `first`; nil when they do not lie within the disk.
    func read(_ first: UInt64, length: Int? = nil) throws(BlockError) -> Fields? {
        let wanted = length ?? sectorSize
        guard first < count, UInt64(wanted) <= (count - first) * UInt64(sectorSize) else { return nil }
        return Fields(try source.bytes(at: Int64(first) * Int64(sectorSize), count: wanted))
    }
}
