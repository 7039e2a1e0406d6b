// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// Writes a qcow2 version 3 image front to back: data, L2 tables and refcount blocks in the order they are complete,
/// then the L1 and refcount tables, and the header last of all, once everything else is on stable storage.
///
/// Nothing is rewritten but the tail of a shared compressed cluster and the header: that suits NFS, and a file without
/// a header is nobody's image.
public final class Qcow2Writer: ImageWriter {
    /// What an image is to be like.
    public struct Options: Sendable, Hashable {
        /// Bytes a cluster: a power of two, 512 to 2 MiB.
        public var clusterSize: Int
        /// How clusters are compressed.
        public var compression: ImageCompression
        /// The compressor's level; nil for the default.
        public var level: Int?
        /// The image that holds what this one does not; nil for an image that stands alone.
        public var backing: BackingName?

        /// Makes options; the defaults are QEMU's.
        public init(
            clusterSize: Int = 64 << 10, compression: ImageCompression = .none, level: Int? = nil,
            backing: BackingName? = nil
        ) {
            self.backing = backing
            self.clusterSize = clusterSize
            self.compression = compression
            self.level = level
        }

        var effectiveLevel: Int { level ?? ClusterCompressor.defaultLevel(of: compression) }
    }

    /// Guest bytes a unit covers.
    public let unitLength: Int
    private let sink: any BlockSink
    private let options: Options
    private let layout: Qcow2Layout
    private let diskLength: Int64
    private let allocator: Mutex<Qcow2Allocator>

    /// Writes a disk of `diskLength` bytes to `sink`, a new and empty file.
    ///
    /// - Parameter unitLength: guest bytes a unit covers, a power of two; a unit is at least 1 MiB and a cluster.
    /// - Throws: `ImageError` for a cluster size that does not exist, or that is too small for the disk.
    public init(
        _ sink: any BlockSink, diskLength: Int64, options: Options, unitLength: Int = 1 << 20
    ) throws(ImageError) {
        layout = try Self.checkedLayout(options, diskLength: diskLength)
        self.sink = sink
        self.diskLength = diskLength
        self.options = options
        self.unitLength = max((unitLength >> 20) << 20, 1 << 20, layout.clusterSize)
        allocator = Mutex(Qcow2Allocator(sink: sink, layout: layout, diskLength: diskLength))
    }

    /// Checks that a disk of `diskLength` bytes can be written with `options`, before anything is created.
    ///
    /// - Throws: `ImageError` saying what is not possible.
    public static func check(_ options: Options, diskLength: Int64) throws(ImageError) {
        _ = try checkedLayout(options, diskLength: diskLength)
        _ = try ClusterCompressor(options.compression, level: options.effectiveLevel)
    }

    private static func checkedLayout(_ options: Options, diskLength: Int64) throws(ImageError) -> Qcow2Layout {
        let size = options.clusterSize
        guard size >= 512, size <= 2 << 20, size & (size - 1) == 0 else {
            throw .invalid("a cluster of \(size) bytes is not possible: a power of two, 512 to 2097152")
        }
        let layout = Qcow2Layout(clusterBits: size.trailingZeroBitCount)
        guard diskLength >= 0, layout.l1Entries(diskLength: diskLength) <= Qcow2Layout.maximumL1Bytes / 8 else {
            throw .invalid("clusters of \(size) bytes are too small for a disk of \(diskLength) bytes")
        }
        let header = Qcow2HeaderBytes(
            clusterBits: layout.clusterBits, diskLength: diskLength, l1Entries: 0, l1Offset: 0, refcountTableOffset: 0,
            refcountTableClusters: 0, isZstd: false, backing: options.backing)
        guard header.fits else {
            throw .invalid("the name of the base's image does not fit into a cluster of \(size) bytes")
        }
        return layout
    }

    /// Makes the memory that one thread needs for its unit.
    public func makeUnit() throws(ImageError) -> ImageUnit {
        let compressor = try ClusterCompressor(options.compression, level: options.effectiveLevel)
        return ImageUnit(
            length: unitLength, packedLength: compressor == nil ? 0 : unitLength, compressor: compressor)
    }

    /// Finds what of the unit is to be stored; see `ImageWriter`.
    public func prepare(_ unit: ImageUnit) {
        unit.pieces.removeAll(keepingCapacity: true)
        let size = layout.clusterSize
        let padded = (unit.count + size - 1) / size * size
        unit.content.bytes.part(unit.count, padded - unit.count).clear()
        // A cluster that compression shrinks by less than a sixteenth is stored as it is: reading it stays cheap.
        let worthwhile = size - size / 16
        var packed = 0
        for offset in stride(from: 0, to: padded, by: size) {
            let cluster = UnsafeRawBufferPointer(unit.content.bytes.part(offset, size))
            if unit.storesAll {
                unit.pieces.append(.init(offset: offset, count: size))
                continue
            }
            let backing = backingStates(unit, offset, size)
            if !backing.isEmpty, backing.allSatisfy({ $0 == .equal }) { continue }
            if unit.isKnownZero || cluster.isAllZero {
                if backing.contains(.different) {
                    unit.pieces.append(.init(offset: offset, count: size, isZero: true))
                }
                continue
            }
            if !unit.skipsCompression, let compressor = unit.compressor, let memory = unit.packed?.bytes,
                let count = compressor.compress(cluster, into: memory.part(packed, worthwhile))
            {
                unit.pieces.append(.init(offset: offset, count: count, packedOffset: packed))
                packed += count
            } else {
                unit.pieces.append(.init(offset: offset, count: size))
            }
        }
    }

    /// Returns what the chunks that the cluster at `offset` of the unit lies in are in the backing image.
    private func backingStates(_ unit: ImageUnit, _ offset: Int, _ size: Int) -> ArraySlice<BackingState> {
        let end = min((offset + size - 1) / BackingState.length + 1, unit.backing.count)
        return unit.backing[min(offset / BackingState.length, end)..<end]
    }

    /// Decides where the unit is stored; see `ImageWriter`.
    public func place(_ unit: ImageUnit) throws(ImageError) {
        unit.writes.removeAll(keepingCapacity: true)
        unit.stored = []
        guard !unit.pieces.isEmpty else { return }
        unit.stored = try store(unit.placement)
        for (piece, stored) in zip(unit.pieces.filter { !$0.isZero }, unit.stored) {
            unit.addWrite(
                .init(
                    fileOffset: stored.fileOffset, offset: piece.packedOffset ?? piece.offset, count: piece.count,
                    isPacked: piece.packedOffset != nil))
        }
    }

    /// Gives a unit of an earlier run its place; see `ImageWriter`.
    ///
    /// Tables that are complete on the way are written once more, to the same places with the same content.
    public func replay(_ placement: UnitPlacement) throws(ImageError) -> StoredUnit {
        let size = layout.clusterSize
        let isOurs = placement.isWithin(unitLength: unitLength, diskLength: diskLength) { piece in
            let end = (placement.count + size - 1) / size * size
            return piece.offset % size == 0 && piece.offset <= end - size
                && (piece.isPacked ? (1..<size).contains(piece.count) && !piece.isZero : piece.count == size)
        }
        guard isOurs, options.compression != .none || !placement.pieces.contains(where: \.isPacked),
            options.backing != nil || !placement.pieces.contains(where: \.isZero)
        else {
            throw .invalid("\(sink.name): the journal names places that no image of these options has")
        }
        return StoredUnit(offset: placement.offset, count: placement.count, pieces: try store(placement))
    }

    private func store(_ placement: UnitPlacement) throws(ImageError) -> [StoredUnit.Piece] {
        try withAllocator { (allocator) throws(ImageError) in
            var stored: [StoredUnit.Piece] = []
            for piece in placement.pieces {
                let guestCluster = Int((placement.offset + Int64(piece.offset)) / Int64(layout.clusterSize))
                guard !piece.isZero else {
                    try allocator.storeZeros(guestCluster: guestCluster)
                    continue
                }
                let fileOffset = try allocator.store(
                    guestCluster: guestCluster, compressedCount: piece.isPacked ? piece.count : nil)
                stored.append(
                    .init(
                        offset: piece.offset, count: piece.count, isPacked: piece.isPacked, fileOffset: fileOffset))
            }
            return stored
        }
    }

    /// Cuts off what an earlier run wrote; see `ImageWriter`.
    public func discardRest() throws(ImageError) {
        let end = withLockedEnd()
        do throws(BlockError) { try sink.setLength(end) } catch { throw .io(error) }
    }

    private func withLockedEnd() -> Int64 { allocator.withLock { $0.endOfAllocation } }

    /// Writes the unit to its place; see `ImageWriter`.
    public func write(_ unit: ImageUnit) throws(ImageError) { try unit.writeOut(to: sink) }

    /// Stores a part of a unit again; see `ImageWriter`.
    public func rewrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64, in place: StoredUnit) throws(ImageError) {
        try place.rewrite(bytes, at: offset, to: sink)
    }

    /// Fills a unit with what was stored of it; see `ImageWriter`.
    public func readBack(_ place: StoredUnit, into unit: ImageUnit) throws(ImageError) {
        try place.read(into: unit, from: sink, clusterSize: layout.clusterSize, isZstd: options.compression == .zstd)
    }

    /// Completes the image; see `ImageWriter`.
    public func finish() throws(ImageError) -> ImageSummary {
        let options = options
        return try withAllocator { (allocator) throws(ImageError) in
            try allocator.finish(compression: options.compression, backing: options.backing)
        }
    }

    private func withAllocator<Value: Sendable>(
        _ body: (inout Qcow2Allocator) throws(ImageError) -> Value
    ) throws(ImageError) -> Value {
        let result = allocator.withLock { allocator in
            do throws(ImageError) {
                return Result<Value, ImageError>.success(try body(&allocator))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
