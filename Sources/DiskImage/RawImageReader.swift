// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A raw image: the file is the disk.
public struct RawImageReader: ImageReader {
    private let file: any BlockSource

    /// Takes the image file.
    public init(_ file: any BlockSource) { self.file = file }

    public var name: String { file.name }
    public var lengthInBytes: Int64 { file.lengthInBytes }
    public var logicalSectorSize: Int { file.logicalSectorSize }
    public var physicalSectorSize: Int { file.physicalSectorSize }
    public var format: ImageFormat { .raw }

    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try file.read(into: buffer, at: offset)
    }

    public func extent(at offset: Int64) throws(BlockError) -> Extent { try file.extent(at: offset) }

    public func clusterOffset(of offset: Int64) throws(BlockError) -> Int64? { nil }

    public func checkStructure(_ report: (StructureProblem) -> Bool) throws(BlockError) {}
}
