// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// Walks a disk's extents in order and cuts what is to be read, or to be noted as zeros over a base, into units.
struct UnitCursor {
    /// A unit that holds something to read, or where the base has content.
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
    /// The first chunk with content in the base, from where it was last looked for: that may be far away.
    private var nextContent = -1
    private(set) var skipped = SkippedList()
    private(set) var bytesToRead: Int64 = 0

    init(_ disk: DiskExtents, unitLength: Int) {
        self.disk = disk
        self.unitLength = Int64(unitLength)
    }

    /// Index on the disk, in units, of the unit at `offset`.
    func index(ofUnitAt offset: Int64) -> Int { Int(offset / unitLength) }

    /// Returns the next unit with anything to read or to note, or nil at the disk's end.
    mutating func next() throws(BlockError) -> Unit? {
        while position < disk.source.lengthInBytes {
            let extent = try extentAtPosition()
            if extent.kind == .hole {
                guard let covered = firstCovered(in: extent) else {
                    position = extent.end
                    continue
                }
                position = covered
            }
            return try collectUnit()
        }
        return nil
    }

    /// Returns the first place from `position` on, in a hole, of a unit that is not done and where the base has content.
    private mutating func firstCovered(in hole: Extent) -> Int64? {
        let chunksPerUnit = Int(unitLength) / Chunk.size
        let first = Int(position / unitLength) * chunksPerUnit
        guard let overlaid = disk.overlaid else { return nil }
        if first > nextContent { nextContent = overlaid.firstContent(from: first) ?? .max }
        guard nextContent < .max else { return nil }
        let place = max(Int64(max(nextContent, first) / chunksPerUnit) * unitLength, position)
        return place < hole.end ? place : nil
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
