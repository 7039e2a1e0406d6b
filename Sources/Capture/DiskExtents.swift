// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskLayout

/// A disk's extents: what its map leaves out, and within the rest the holes that the source itself knows of.
struct DiskExtents {
    /// What a source's holes are called in the manifest.
    static let holeReason = "hole in the source file"

    let source: any BlockSource
    /// What is not read although the source has it; nil for nothing.
    let map: AllocationMap?
    /// The disk of an earlier clone that the image is an overlay of: its content must be covered where this has none.
    let overlaid: BaseDisk?

    init(_ disk: CaptureDisk) { self.init(source: disk.source, map: disk.map, overlaid: disk.overlaid) }

    init(source: any BlockSource, map: AllocationMap? = nil, overlaid: BaseDisk? = nil) {
        self.overlaid = overlaid
        self.source = source
        self.map = map
    }

    /// Returns the extent that begins at `offset`, which is inside the disk, and why it is none of data.
    func extent(at offset: Int64) throws(BlockError) -> (extent: Extent, reason: String) {
        guard let map, let gap = map.gap(atOrBehind: offset) else {
            return (try source.extent(at: offset), Self.holeReason)
        }
        guard gap.offset > offset else {
            return (Extent(offset: offset, length: gap.end - offset, kind: .hole), map.reason(of: gap))
        }
        var extent = try source.extent(at: offset)
        extent.length = min(extent.length, gap.offset - offset)
        return (extent, Self.holeReason)
    }

    /// Returns the bytes that are to be read; a source in very many pieces is counted roughly.
    func bytesToRead() throws(BlockError) -> Int64 {
        var total: Int64 = 0
        var position: Int64 = 0
        var pieces = 0
        while position < source.lengthInBytes, pieces < 100_000 {
            let extent = try extent(at: position).extent
            if extent.kind != .hole { total += extent.length }
            position = extent.end
            pieces += 1
        }
        return total + source.lengthInBytes - position
    }
}

extension AllocationMap {
    /// SHA-256 over the gaps' offsets and lengths: a resumed capture must leave out what the first one did.
    var digest: Digest {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(gaps.count * 16)
        for gap in gaps {
            for value in [gap.offset, gap.length] { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        }
        return Digest(of: bytes)
    }
}

/// Sums up what is passed over, by reason.
struct SkippedList {
    private(set) var totals: [SkippedTotal] = []
    /// The longer ones, in order.
    private(set) var extents: [SkippedExtent] = []

    var lengthInBytes: Int64 { totals.reduce(0) { $0 + $1.lengthInBytes } }

    mutating func add(_ extent: Extent, _ reason: String) {
        if let index = totals.firstIndex(where: { $0.reason == reason }) {
            totals[index].extents += 1
            totals[index].lengthInBytes += extent.length
        } else {
            totals.append(SkippedTotal(reason: reason, lengthInBytes: extent.length, extents: 1))
        }
        guard extent.length > Int64(Chunk.size), extents.count < Manifest.maximumListedExtents else { return }
        extents.append(SkippedExtent(offset: extent.offset, length: extent.length, reason: reason))
    }
}
