// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// A disk's capture as an earlier run left it: everything needed to go on.
struct ResumedDisk: Sendable {
    /// Units that are done.
    var unitCount: Int
    /// The source's extents, behind the last of them.
    var cursor: UnitCursor
    /// Units of which something could not be read.
    var deferred: [DeferredUnit] = []
    /// A place that was readable.
    var knownGood: ByteRange?
    /// Bytes with content that are the same in the base.
    var equalBytes: Int64 = 0

    /// Gives the units of `state` their places again in `writer`, and their digests in `chunks`.
    ///
    /// - Throws: `CaptureError` when the source does not have the extents that it had.
    init(
        _ resume: DiskResume, _ state: DiskResume.State, disk: DiskExtents, writer: any ImageWriter,
        chunks: inout ChunkFileWriter, progress: CaptureProgress
    ) throws(CaptureError) {
        unitCount = state.unitCount
        var cursor = UnitCursor(disk, unitLength: writer.unitLength)
        var deferred: [DeferredUnit] = []
        var knownGood: ByteRange?
        var equalBytes: Int64 = 0
        try resume.replay(state.unitCount) { (unit) throws(CaptureError) in
            let next: UnitCursor.Unit?
            do throws(BlockError) { next = try cursor.next() } catch { throw .io(error) }
            guard let next, cursor.index(ofUnitAt: next.offset) == unit.index else {
                throw .invalid(
                    "\(disk.source.name) is not laid out as it was when the capture began",
                    hint: "it was changed meanwhile: capture it again, into a new clone")
            }
            let place: StoredUnit
            do throws(ImageError) { place = try writer.replay(resume.placement(of: unit)) } catch {
                throw .image(error)
            }
            equalBytes += try resume.equalBytes(of: unit)
            var slot: Int?
            for (index, digest) in unit.digests.enumerated() {
                guard let digest else { continue }
                let first = Int(next.offset / Int64(Chunk.size))
                do throws(BlockError) {
                    let taken = try chunks.append(digest, at: first + index)
                    slot = slot ?? taken
                } catch {
                    throw .io(error)
                }
            }
            if let slot, !unit.missing.isEmpty {
                deferred.append(DeferredUnit(place: place, slot: slot, missing: unit.missing))
            } else if knownGood == nil {
                knownGood = next.ranges.first
            }
            progress.addRead(next.ranges.reduce(0) { $0 + $1.length } - unit.missing.reduce(0) { $0 + $1.length })
        }
        do throws(ImageError) { try writer.discardRest() } catch { throw .image(error) }
        self.cursor = cursor
        self.deferred = deferred
        self.knownGood = knownGood
        self.equalBytes = equalBytes
    }
}

/// Knows a disk again.
enum DiskIdentity {
    /// Returns SHA-256 over the length of `source`, its first and its last MiB; nil when these cannot be read.
    static func digest(of source: any BlockSource) -> Digest? {
        let count = Int(min(Int64(Chunk.size), source.lengthInBytes))
        guard let first = try? source.bytes(at: 0, count: count),
            let last = try? source.bytes(at: source.lengthInBytes - Int64(count), count: count)
        else { return nil }
        return Digest(of: withUnsafeBytes(of: source.lengthInBytes.littleEndian, Array.init) + first + last)
    }
}
