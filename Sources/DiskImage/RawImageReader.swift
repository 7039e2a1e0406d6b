// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A raw image: the file is the disk.
public struct RawImageReader: ImageReader {
    private let file: any BlockSource

    /// Takes the image file.
    public init(_ file: any BlockSource) { self.file = file }

    /// What messages call it: the path.
    public var name: String { file.name }
    /// Length in bytes.
    public var lengthInBytes: Int64 { file.lengthInBytes }
    /// Smallest addressable unit in bytes.
    public var logicalSectorSize: Int { file.logicalSectorSize }
    /// Sector size of the medium in bytes.
    public var physicalSectorSize: Int { file.physicalSectorSize }
    /// The image's format.
    public var format: ImageFormat { .raw }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try file.read(into: buffer, at: offset)
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent { try file.extent(at: offset) }

    /// Returns the byte in the file at which the cluster of guest byte `offset` is stored; see `ImageReader`.
    public func clusterOffset(of offset: Int64) throws(BlockError) -> Int64? { nil }

    /// Returns the byte at which the content is stored: its own; see `ImageReader`.
    public func storedOffset(of offset: Int64, count: Int) throws(BlockError) -> Int64? {
        try checkRange(offset, count)
        return offset
    }

    /// Walks the image's own structures; see `ImageReader`.
    public func checkStructure(_ report: (StructureProblem) -> Bool) throws(BlockError) {}
}
