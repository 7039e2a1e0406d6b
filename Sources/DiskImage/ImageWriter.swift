// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Writes one image, a unit at a time: `prepare` and `write` in parallel, `place` in disk order.
///
/// Because places are given in disk order, an image's bytes depend on content and options alone, not on the number of
/// threads.
public protocol ImageWriter: Sendable {
    /// Guest bytes a unit covers: a multiple of 1 MiB and of the cluster size.
    var unitLength: Int { get }

    /// Makes the memory that one thread needs for its unit.
    func makeUnit() throws(ImageError) -> ImageUnit

    /// Finds what of the unit's content is to be stored, and compresses it. Any thread, any order.
    func prepare(_ unit: ImageUnit) throws(ImageError)

    /// Decides where the unit's content is stored. One thread at a time, ascending offsets; zero units may be left out.
    func place(_ unit: ImageUnit) throws(ImageError)

    /// Writes the unit's content to its place. Any thread, any order.
    func write(_ unit: ImageUnit) throws(ImageError)

    /// Stores `bytes` at guest byte `offset` in a unit that was prepared with `storesAll`, and is written.
    func rewrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64, in place: StoredUnit) throws(ImageError)

    /// Fills a unit with what was stored of it, zeros where nothing is.
    func readBack(_ place: StoredUnit, into unit: ImageUnit) throws(ImageError)

    /// Gives a unit of an earlier run, as `UnitPlacement` noted it, the place it had: same order, same place.
    ///
    /// - Throws: `ImageError` for a placement that this writer never made.
    func replay(_ placement: UnitPlacement) throws(ImageError) -> StoredUnit

    /// Cuts off what an earlier run wrote behind the last unit that was placed.
    func discardRest() throws(ImageError)

    /// Completes the image and returns when all of it is on stable storage.
    func finish() throws(ImageError) -> ImageSummary
}

/// What a finished image is like.
public struct ImageSummary: Sendable, Hashable {
    /// Length of the file in bytes.
    public var fileLength: Int64
    /// First cluster of a qcow2 image.
    public var headerCluster: [UInt8]?

    /// Makes a summary.
    public init(fileLength: Int64, headerCluster: [UInt8]?) {
        self.fileLength = fileLength
        self.headerCluster = headerCluster
    }
}

/// A stretch of the disk on its way into an image, with the memory to compress it.
///
/// Used by one thread at a time; reused for one stretch after another.
public final class ImageUnit: @unchecked Sendable {
    /// First guest byte of the stretch, a multiple of the writer's `unitLength`.
    public var offset: Int64 = 0
    /// Guest bytes in the stretch; less than `unitLength` only at the disk's end.
    public var count = 0
    /// The guest's bytes, `unitLength` of them; those behind `count` are the writer's to pad.
    public let content: AlignedBuffer

    /// Compressed clusters one behind the other.
    let packed: AlignedBuffer?
    let compressor: ClusterCompressor?
    /// Whether all of the content is to be stored as it is, zeros too, so that it can be written again.
    public var storesAll = false
    /// Whether all of the content was found to be zeros already: nobody needs to look again.
    public var isKnownZero = false
    /// Whether content is to be stored uncompressed although there is a compressor.
    public var skipsCompression = false
    /// What each MiB of the content is in the backing image; empty when there is none.
    public var backing: [BackingState] = []
    /// An image with the same content in `sharedChunks`, whose storage may be shared; nil for none.
    public var donor: SharedImage?
    /// Whether each MiB of the content is the same in the donor.
    public var sharedChunks: [Bool] = []
    /// For looking at what is shared.
    private var comparison: AlignedBuffer?
    /// What is to be stored, ascending.
    var pieces: [Piece] = []
    /// What is to be written where.
    var writes: [Write] = []
    /// Where each piece is stored.
    var stored: [StoredUnit.Piece] = []

    /// A part of the content that is stored.
    struct Piece {
        /// Byte within the content.
        var offset: Int
        /// Bytes stored: of the content, or of the packed buffer.
        var count: Int
        /// Byte within the packed buffer when the piece is compressed.
        var packedOffset: Int?
        /// Whether nothing is stored, but zeros are noted over the backing image's content.
        var isZero = false
    }

    /// One write to the image file.
    struct Write {
        var fileOffset: Int64
        var offset: Int
        var count: Int
        var isPacked: Bool
    }

    init(length: Int, packedLength: Int = 0, compressor: ClusterCompressor? = nil) {
        content = AlignedBuffer(count: length)
        packed = packedLength > 0 ? AlignedBuffer(count: packedLength) : nil
        self.compressor = compressor
    }

    /// Adds a write, joined to the last one where both sides continue it.
    func addWrite(_ write: Write) {
        if let last = writes.last, last.isPacked == write.isPacked,
            last.fileOffset + Int64(last.count) == write.fileOffset, last.offset + last.count == write.offset
        {
            writes[writes.count - 1].count += write.count
        } else {
            writes.append(write)
        }
    }

    /// Where the unit is stored, once it is placed.
    public var place: StoredUnit { StoredUnit(offset: offset, count: count, pieces: stored) }

    /// What is stored of the unit, once it is prepared: enough to give it its place again.
    public var placement: UnitPlacement {
        UnitPlacement(
            offset: offset, count: count,
            pieces: pieces.map {
                .init(offset: $0.offset, count: $0.count, isPacked: $0.packedOffset != nil, isZero: $0.isZero)
            })
    }

    /// Performs the writes, but for what can be shared with the donor.
    func writeOut(to sink: any BlockSink) throws(ImageError) {
        for write in donor == nil ? writes : unshared(writes, sink) {
            let buffer = write.isPacked ? packed ?? content : content
            do throws(BlockError) {
                try sink.write(
                    UnsafeRawBufferPointer(buffer.bytes.part(write.offset, write.count)), at: write.fileOffset)
            } catch {
                throw .io(error)
            }
        }
    }

    /// Shares what can be shared, MiB by MiB, and returns what is still to be written.
    private func unshared(_ writes: [Write], _ sink: any BlockSink) -> [Write] {
        guard let donor, sharedChunks.contains(true) else { return writes }
        let memory = comparison ?? AlignedBuffer(count: BackingState.length)
        comparison = memory
        var rest: [Write] = []
        for write in writes {
            var done = 0
            while done < write.count {
                let start = write.offset + done
                let count = min(BackingState.length - start % BackingState.length, write.count - done)
                let part = Write(
                    fileOffset: write.fileOffset + Int64(done), offset: start, count: count, isPacked: write.isPacked)
                let chunk = start / BackingState.length
                let isShared =
                    !write.isPacked && chunk < sharedChunks.count && sharedChunks[chunk]
                    && donor.share(
                        UnsafeRawBufferPointer(content.bytes.part(start, count)), at: offset + Int64(start), to: sink,
                        at: part.fileOffset, memory: memory.bytes)
                if !isShared { rest.append(part) }
                done += count
            }
        }
        return rest
    }
}
