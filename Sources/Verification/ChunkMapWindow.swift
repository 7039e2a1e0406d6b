// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// A part of a chunk file's state map, moved over it from the first chunk to the last.
struct ChunkMapWindow {
    /// Why a window could not be moved.
    enum Failure: Error {
        case io(BlockError)
        case format(FormatError)
    }

    /// Length of a window in bytes: 4 TiB of disk.
    private static let maximumBytes = 1 << 20

    private let file: String
    /// The first chunk in the window.
    private(set) var start = 0
    /// The states of the chunks in the window.
    private(set) var map = ChunkMap(count: 0)

    /// Begins before the first chunk of the chunk file that messages call `file`.
    init(file: String) { self.file = file }

    /// The first chunk behind the window.
    var end: Int { start + map.count }

    /// Moves to the chunks behind the window, of which there must be some.
    mutating func advance(_ source: FileSource, _ header: ChunkFileHeader) throws(Failure) {
        let next = end
        let count = min(header.chunkCount - next, Self.maximumBytes * 4)
        let bytes: [UInt8]
        do throws(BlockError) {
            bytes = try source.bytes(
                at: Int64(ChunkFileHeader.byteCount) + Int64(next / 4), count: (count + 3) / 4)
        } catch {
            throw .io(error)
        }
        do throws(FormatError) {
            map = try ChunkMap(decodingPart: bytes, count: count, file: file)
        } catch {
            throw .format(error)
        }
        start = next
    }

    /// The state of `chunk`, which lies in the window.
    subscript(chunk: Int) -> ChunkState { map[chunk - start] }

    /// Returns the first chunk from `chunk` on that is not zero, or the window's end.
    func firstNonZero(from chunk: Int) -> Int { map.firstNonZero(from: chunk - start).map { $0 + start } ?? end }
}
