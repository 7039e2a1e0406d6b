// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// Walks chunk file and image side by side and hands out the chunks that must be read, ascending.
///
/// Chunks that are zero and lie in a hole of the image are passed over unread. On the way the content digest is computed
/// from the digests that are handed out: it is the image's own once each of them was found to be.
struct ChunkCursor {
    /// A chunk to read, and what it must be.
    struct Work {
        var chunk: Int
        /// The digest of its content; nil when it must be zeros.
        var digest: Digest?
    }

    /// Chunks handed out at once.
    private static let runLength = 4
    /// Digests read at once: 2 GiB of disk.
    private static let digestsAtOnce = 2048

    private let image: any ImageReader
    private let source: FileSource
    private let header: ChunkFileHeader
    /// The first chunk that is not looked at: less than the disk has when the image is too short.
    private let end: Int
    private let progress: VerificationProgress

    private var chunk = 0
    private var window: ChunkMapWindow
    private var zeroRunEnd = 0
    private var digests: [UInt8] = []
    private var digestPlace = 0
    private var digestsTaken = 0
    private var extent = Extent(offset: 0, length: 0, kind: .data)
    private var content: ContentDigest

    /// Number of chunks passed over unread.
    private(set) var skippedChunks = 0
    /// Why the chunk file could not be read on.
    private(set) var failure: ChunkMapWindow.Failure?

    /// Begins at the first chunk; `end` chunks lie within the image.
    init(image: any ImageReader, source: FileSource, header: ChunkFileHeader, end: Int, progress: VerificationProgress)
    {
        self.image = image
        self.source = source
        self.header = header
        self.end = end
        self.progress = progress
        window = ChunkMapWindow(file: source.name)
        content = ContentDigest(diskLength: header.diskLength)
    }

    /// Returns the next few chunks to read; none means that the disk, or the chunk file, is at its end.
    mutating func next(_ cancellation: CancellationFlag) -> [Work] {
        var work: [Work] = []
        do throws(ChunkMapWindow.Failure) {
            while work.count < Self.runLength, chunk < end, failure == nil, !cancellation.isCancelled {
                if chunk >= window.end { try window.advance(source, header) }
                if let next = try step() { work.append(next) }
            }
        } catch {
            failure = error
        }
        return work
    }

    /// The content digest, when every chunk of the disk was handed out or passed over.
    var contentDigest: Digest? {
        guard failure == nil, chunk == header.chunkCount else { return nil }
        return content.finish()
    }

    /// Deals with the present chunk, and perhaps with the zeros behind it.
    private mutating func step() throws(ChunkMapWindow.Failure) -> Work? {
        let present = chunk
        switch window[present] {
        case .data, .lost:
            let digest = try nextDigest()
            content.append(digest, lost: window[present] == .lost)
            chunk += 1
            return Work(chunk: present, digest: digest)
        case .zero:
            if present >= zeroRunEnd { zeroRunEnd = min(window.firstNonZero(from: present), end) }
            let hole = min(holeEnd(from: present), zeroRunEnd)
            chunk = max(hole, present + 1)
            content.appendZeros(upTo: chunk)
            guard hole > present else { return Work(chunk: present, digest: nil) }
            skippedChunks += hole - present
            let start = Int64(present) * Int64(Chunk.size)
            progress.addSkipped(min(Int64(hole) * Int64(Chunk.size), header.diskLength) - start)
            return nil
        }
    }

    /// Returns the first chunk from `chunk` on that is not wholly in the image's hole at it.
    private mutating func holeEnd(from chunk: Int) -> Int {
        let offset = Int64(chunk) * Int64(Chunk.size)
        if offset >= extent.end || offset < extent.offset {
            // What cannot be looked up is read, and the read says why.
            extent = (try? image.extent(at: offset)) ?? Extent(offset: offset, length: 1, kind: .data)
        }
        guard extent.kind == .hole else { return chunk }
        return extent.end >= header.diskLength ? header.chunkCount : Int(extent.end / Int64(Chunk.size))
    }

    private mutating func nextDigest() throws(ChunkMapWindow.Failure) -> Digest {
        if digestPlace == digests.count {
            let count = min(header.dataChunks + header.lostChunks - digestsTaken, Self.digestsAtOnce)
            do throws(BlockError) {
                digests = try source.bytes(
                    at: header.digestsOffset + Int64(digestsTaken) * Int64(Digest.byteCount),
                    count: max(count, 1) * Digest.byteCount)
            } catch {
                throw .io(error)
            }
            digestPlace = 0
            digestsTaken += count
        }
        guard let digest = Digest(bytes: digests[digestPlace..<digestPlace + Digest.byteCount]) else {
            throw .format(.damaged(file: source.name, reason: "it ends before its digests do"))
        }
        digestPlace += Digest.byteCount
        return digest
    }
}
