// SPDX-License-Identifier: GPL-3.0-or-later

/// Something of fixed length that is read at any offset: a device, a file, an image's guest view, an iSCSI LUN.
///
/// All members may be called from several threads at once.
public protocol BlockSource: Sendable {
    /// What messages call it: a path or URL.
    var name: String { get }
    /// Length in bytes.
    var lengthInBytes: Int64 { get }
    /// Smallest addressable unit in bytes: 512 or 4096.
    var logicalSectorSize: Int { get }
    /// Sector size of the medium in bytes, at least the logical one.
    var physicalSectorSize: Int { get }

    /// Fills `buffer` from `offset`.
    ///
    /// - Throws: `BlockError` naming the range; the buffer's content is undefined then.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError)

    /// The file or device whose bytes these are, for libraries that read by themselves; nil when there is none.
    var filePlace: FilePlace? { get }

    /// Returns the extent that begins at `offset`, which is inside the source, of at least one byte.
    ///
    /// Two extents in a row may be of one kind. A `hole` reads as zeros, guaranteed.
    func extent(at offset: Int64) throws(BlockError) -> Extent
}

/// A range of a file or device that is a source's content, byte for byte.
public struct FilePlace: Sendable, Hashable {
    /// Path of the file or device.
    public var path: String
    /// First byte in it.
    public var offset: Int64

    /// Makes a place.
    public init(path: String, offset: Int64) {
        self.path = path
        self.offset = offset
    }
}

extension BlockSource {
    /// Tells of no file: for sources that are put together or come over a network.
    public var filePlace: FilePlace? { nil }

    /// Returns the rest of the source as data: for sources that know of no holes.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        Extent(offset: offset, length: lengthInBytes - offset, kind: .data)
    }

    /// Checks that `count` bytes at `offset` lie within the source.
    ///
    /// - Throws: `BlockError` with cause `unexpectedEnd`.
    public func checkRange(_ offset: Int64, _ count: Int) throws(BlockError) {
        guard offset >= 0, Int64(count) <= lengthInBytes, offset <= lengthInBytes - Int64(count) else {
            throw BlockError(.read, name, offset: offset, length: count, .unexpectedEnd)
        }
    }

    /// Returns `count` bytes from `offset` as an array; for metadata, not for bulk.
    public func bytes(at offset: Int64, count: Int) throws(BlockError) -> [UInt8] {
        try checkRange(offset, count)
        let buffer = AlignedBuffer(count: count)
        try read(into: buffer.prefix(count), at: offset)
        return Array(buffer.prefix(count))
    }
}
