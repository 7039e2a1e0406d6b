// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Writes a raw image: content at its own offset, zeros as holes, the disk's exact length.
public struct RawImageWriter: ImageWriter {
    /// Zeros are left out in blocks of this many bytes: finer would scatter the file, coarser would store more zeros.
    static let blockSize = 64 << 10

    private let sink: any BlockSink
    private let diskLength: Int64

    /// Guest bytes a unit covers.
    public let unitLength: Int

    /// Writes a disk of `diskLength` bytes to `sink`, a new and empty file.
    ///
    /// - Parameter unitLength: guest bytes a unit covers, a multiple of 1 MiB.
    public init(_ sink: any BlockSink, diskLength: Int64, unitLength: Int = 1 << 20) {
        self.sink = sink
        self.diskLength = diskLength
        self.unitLength = max(unitLength >> 20, 1) << 20
    }

    /// Makes the memory that one thread needs for its unit.
    public func makeUnit() -> ImageUnit { ImageUnit(length: unitLength) }

    /// Finds what of the unit is to be stored; see `ImageWriter`.
    public func prepare(_ unit: ImageUnit) {
        unit.pieces.removeAll(keepingCapacity: true)
        guard unit.storesAll || !unit.isKnownZero else { return }
        for offset in stride(from: 0, to: unit.count, by: Self.blockSize) {
            let count = min(Self.blockSize, unit.count - offset)
            if unit.storesAll || !UnsafeRawBufferPointer(unit.content.bytes.part(offset, count)).isAllZero {
                unit.pieces.append(.init(offset: offset, count: count))
            }
        }
    }

    /// Decides where the unit is stored; see `ImageWriter`.
    public func place(_ unit: ImageUnit) {
        unit.writes.removeAll(keepingCapacity: true)
        unit.stored = stored(unit.placement).pieces
        for piece in unit.pieces {
            unit.addWrite(
                .init(
                    fileOffset: unit.offset + Int64(piece.offset), offset: piece.offset, count: piece.count,
                    isPacked: false))
        }
    }

    /// Writes the unit to its place; see `ImageWriter`.
    public func write(_ unit: ImageUnit) throws(ImageError) { try unit.writeOut(to: sink) }

    /// Gives a unit of an earlier run its place; see `ImageWriter`.
    public func replay(_ placement: UnitPlacement) throws(ImageError) -> StoredUnit {
        let isOurs = placement.isWithin(unitLength: unitLength, diskLength: diskLength) { piece in
            !piece.isPacked && !piece.isZero && piece.offset % Self.blockSize == 0 && piece.count > 0
                && piece.count == min(Self.blockSize, placement.count - piece.offset)
        }
        guard isOurs else { throw .invalid("\(sink.name): the journal names places that no raw image has") }
        return stored(placement)
    }

    private func stored(_ placement: UnitPlacement) -> StoredUnit {
        StoredUnit(
            offset: placement.offset, count: placement.count,
            pieces: placement.pieces.map {
                .init(
                    offset: $0.offset, count: $0.count, isPacked: false,
                    fileOffset: placement.offset + Int64($0.offset))
            })
    }

    /// Does nothing: content has its own place, and what an earlier run left of later units is theirs.
    public func discardRest() {}

    /// Stores a part of a unit again; see `ImageWriter`.
    public func rewrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64, in place: StoredUnit) throws(ImageError) {
        try place.rewrite(bytes, at: offset, to: sink)
    }

    /// Fills a unit with what was stored of it; see `ImageWriter`.
    public func readBack(_ place: StoredUnit, into unit: ImageUnit) throws(ImageError) {
        try place.read(into: unit, from: sink, clusterSize: Self.blockSize, isZstd: false)
    }

    /// Completes the image; see `ImageWriter`.
    public func finish() throws(ImageError) -> ImageSummary {
        do throws(BlockError) {
            try sink.setLength(diskLength)
            try sink.synchronize()
            try sink.close()
        } catch {
            throw .io(error)
        }
        return ImageSummary(fileLength: diskLength, headerCluster: nil)
    }
}
