// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A byte range of another source: a partition, the data area of a RAID member.
public struct SliceSource: BlockSource {
    /// What messages call it.
    public let name: String
    /// Length in bytes.
    public let lengthInBytes: Int64
    private let base: any BlockSource
    private let offset: Int64

    /// Takes `length` bytes of `base` from `offset`, fewer where it ends before; nil when nothing of them is there.
    public init?(_ base: any BlockSource, offset: Int64, length: Int64, name: String) {
        guard offset >= 0, length > 0, offset < base.lengthInBytes else { return nil }
        self.base = base
        self.offset = offset
        self.name = name
        lengthInBytes = min(length, base.lengthInBytes - offset)
    }

    /// Smallest addressable unit in bytes.
    public var logicalSectorSize: Int { base.logicalSectorSize }
    /// Sector size of the medium in bytes.
    public var physicalSectorSize: Int { base.physicalSectorSize }
    /// The place in the base's file.
    public var filePlace: FilePlace? {
        base.filePlace.map { FilePlace(path: $0.path, offset: $0.offset + offset) }
    }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        try base.read(into: buffer, at: self.offset + offset)
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        let extent = try base.extent(at: self.offset + offset)
        return Extent(
            offset: offset, length: min(extent.end - self.offset, lengthInBytes) - offset, kind: extent.kind)
    }
}
