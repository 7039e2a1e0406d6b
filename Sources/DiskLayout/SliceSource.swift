// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A byte range of another source: a partition, or a piece of a volume.
public struct SliceSource: BlockSource {
    /// What messages call it.
    public let name: String
    /// The source that the bytes are read from.
    public let base: any BlockSource
    /// First byte of the range in `base`.
    public let firstByte: Int64
    /// Length in bytes.
    public let lengthInBytes: Int64

    /// Smallest addressable unit in bytes: that of `base`.
    public var logicalSectorSize: Int { base.logicalSectorSize }
    /// Sector size of the medium in bytes: that of `base`.
    public var physicalSectorSize: Int { base.physicalSectorSize }

    /// The place in the base's file.
    public var filePlace: FilePlace? {
        base.filePlace.map { FilePlace(path: $0.path, offset: $0.offset + firstByte) }
    }

    /// Makes a source of the `length` bytes of `base` from `firstByte`, less where `base` ends before them.
    public init(_ base: any BlockSource, name: String, firstByte: Int64, length: Int64) {
        self.name = name
        self.base = base
        self.firstByte = min(max(firstByte, 0), max(base.lengthInBytes, 0))
        lengthInBytes = min(max(length, 0), max(base.lengthInBytes, 0) - self.firstByte)
    }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        try base.read(into: buffer, at: firstByte + offset)
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        let extent = try base.extent(at: firstByte + offset)
        return Extent(offset: offset, length: min(extent.length, lengthInBytes - offset), kind: extent.kind)
    }
}
