// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Where all of a unit is stored uncompressed, so that parts of it can be written again.
///
/// For stretches that could not be read at first: their place is taken in order like any other's, and filled later.
public struct StoredUnit: Sendable {
    /// First guest byte.
    public let offset: Int64
    /// Guest bytes.
    public let count: Int
    private let writes: [ImageUnit.Write]

    init(offset: Int64, count: Int, writes: [ImageUnit.Write]) {
        self.offset = offset
        self.count = count
        self.writes = writes
    }

    func rewrite(_ bytes: UnsafeRawBufferPointer, at guestOffset: Int64, to sink: any BlockSink) throws(ImageError) {
        let start = Int(guestOffset - offset)
        for write in writes {
            let first = max(write.offset, start)
            let end = min(write.offset + write.count, start + bytes.count)
            guard first < end else { continue }
            do throws(BlockError) {
                try sink.write(
                    bytes.part(first - start, end - first), at: write.fileOffset + Int64(first - write.offset))
            } catch {
                throw .io(error)
            }
        }
    }

    func read(into unit: ImageUnit, from sink: any BlockSink) throws(ImageError) {
        unit.offset = offset
        unit.count = count
        for write in writes {
            do throws(BlockError) {
                try sink.read(into: unit.content.bytes.part(write.offset, write.count), at: write.fileOffset)
            } catch {
                throw .io(error)
            }
        }
    }
}
