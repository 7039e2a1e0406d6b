// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What is stored of a unit, and in which form; given again in the same order, it gets the same place.
public struct UnitPlacement: Sendable, Hashable {
    /// A part of the content that is stored.
    public struct Piece: Sendable, Hashable {
        /// Byte within the unit.
        public var offset: Int
        /// Bytes in the image file.
        public var count: Int
        /// Whether it is one compressed cluster.
        public var isPacked: Bool
        /// Whether nothing is stored, but zeros are noted over the backing image's content.
        public var isZero: Bool

        /// Makes a piece.
        public init(offset: Int, count: Int, isPacked: Bool, isZero: Bool = false) {
            self.offset = offset
            self.count = count
            self.isPacked = isPacked
            self.isZero = isZero
        }
    }

    /// First guest byte.
    public var offset: Int64
    /// Guest bytes.
    public var count: Int
    /// What is stored, ascending.
    public var pieces: [Piece]

    /// Makes a placement.
    public init(offset: Int64, count: Int, pieces: [Piece]) {
        self.offset = offset
        self.count = count
        self.pieces = pieces
    }

    /// Tells whether it is of a unit of the disk, and its pieces ascend and are each as `isPiece` wants them.
    ///
    /// A placement may come from a file that somebody else wrote.
    func isWithin(unitLength: Int, diskLength: Int64, _ isPiece: (Piece) -> Bool) -> Bool {
        guard offset >= 0, offset < diskLength, offset % Int64(unitLength) == 0,
            Int64(count) == min(Int64(unitLength), diskLength - offset)
        else { return false }
        var last = -1
        return pieces.allSatisfy { piece in
            defer { last = piece.offset }
            return piece.offset > last && isPiece(piece)
        }
    }
}

/// Where a unit is stored: to read it back, or to write parts of it again.
///
/// Only what is stored uncompressed can be written again: a unit that could not be read at first takes its place in
/// order like any other, whole, and is filled later.
public struct StoredUnit: Sendable {
    struct Piece: Sendable {
        /// Byte within the unit.
        var offset: Int
        /// Bytes in the image file.
        var count: Int
        var isPacked: Bool
        var fileOffset: Int64
    }

    /// First guest byte.
    public let offset: Int64
    /// Guest bytes.
    public let count: Int
    let pieces: [Piece]

    init(offset: Int64, count: Int, pieces: [Piece]) {
        self.offset = offset
        self.count = count
        self.pieces = pieces
    }

    func rewrite(_ bytes: UnsafeRawBufferPointer, at guestOffset: Int64, to sink: any BlockSink) throws(ImageError) {
        let start = Int(guestOffset - offset)
        for piece in pieces where !piece.isPacked {
            let first = max(piece.offset, start)
            let end = min(piece.offset + piece.count, start + bytes.count)
            guard first < end else { continue }
            do throws(BlockError) {
                try sink.write(
                    bytes.part(first - start, end - first), at: piece.fileOffset + Int64(first - piece.offset))
            } catch {
                throw .io(error)
            }
        }
    }

    func read(
        into unit: ImageUnit, from sink: any BlockSink, clusterSize: Int, isZstd: Bool
    ) throws(ImageError) {
        unit.offset = offset
        unit.count = count
        let content = unit.content.bytes
        content.clear()
        var decompressor: ClusterDecompressor?
        for piece in pieces {
            let room = content.part(piece.offset, piece.isPacked ? clusterSize : piece.count)
            do throws(BlockError) {
                guard piece.isPacked else {
                    try sink.read(into: room, at: piece.fileOffset)
                    continue
                }
                decompressor = decompressor ?? ClusterDecompressor(isZstd: isZstd, clusterSize: clusterSize)
                guard let decompressor else { throw BlockError(.read, sink.name, .invalid("no memory")) }
                let packed = decompressor.input.prefix(piece.count)
                try sink.read(into: packed, at: piece.fileOffset)
                guard decompressor.decompress(UnsafeRawBufferPointer(packed), into: room) else {
                    throw BlockError(
                        .read, sink.name, offset: piece.fileOffset, length: piece.count,
                        .invalid("damaged compressed data"))
                }
            } catch {
                throw .io(error)
            }
        }
    }
}
