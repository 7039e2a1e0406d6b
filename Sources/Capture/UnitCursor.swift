// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// Walks a disk's extents in order and cuts what is to be read into units.
struct UnitCursor {
    /// A unit that holds something to read.
    struct Unit {
        /// Position in the order of units, from 0, without gaps.
        var ticket: Int
        /// First byte on the disk.
        var offset: Int64
        /// Bytes.
        var count: Int
        /// What is to be read of it; the rest is zeros.
        var ranges: [ByteRange]
    }

    private let disk: DiskExtents
    private let unitLength: Int64
    private var position: Int64 = 0
    private var current: Extent?
    private var nextTicket = 0
    private(set) var skipped = SkippedList()
    private(set) var bytesToRead: Int64 = 0

    init(_ disk: DiskExtents, unitLength: Int) {
        self.disk = disk
        self.unitLength = Int64(unitLength)
    }

    /// Index on the disk, in units, of the unit at `offset`.
    func index(ofUnitAt offset: Int64) -> Int { Int(offset / unitLength) }

    /// Returns the next unit with anything to read, or nil at the disk's end.
    mutating func next() throws(BlockError) -> Unit? {
        while position < disk.source.lengthInBytes {
            let extent = try extentAtPosition()
            if extent.kind == .hole {
                position = extent.end
                continue
            }
            return try collectUnit()
        }
        return nil
    }

    private mutating func collectUnit() throws(BlockError) -> Unit {
        let start = position / unitLength * unitLength
        let end = min(start + unitLength, disk.source.lengthInBytes)
        var ranges: [ByteRange] = []
        while position < end {
            let extent = try extentAtPosition()
            let until = min(extent.end, end)
            if extent.kind != .hole {
                ranges.append(ByteRange(offset: position, length: until - position))
                bytesToRead += until - position
            }
            position = until
        }
        defer { nextTicket += 1 }
        return Unit(ticket: nextTicket, offset: start, count: Int(end - start), ranges: ranges)
    }

    private mutating func extentAtPosition() throws(BlockError) -> Extent {
        if let current, current.offset <= position, position < current.end {
            return Extent(offset: position, length: current.end - position, kind: current.kind)
        }
        let (extent, reason) = try disk.extent(at: position)
        current = extent
        if extent.kind == .hole { skipped.add(extent, reason) }
        return extent
    }
}
