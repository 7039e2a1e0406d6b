// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A source that is another one but for what it declares itself; it tells of no holes and of no file.
public protocol SourceWrapper: BlockSource {
    /// The source that is read.
    var base: any BlockSource { get }
}

extension SourceWrapper {
    /// What messages call it: the base's name.
    public var name: String { base.name }
    /// Length in bytes.
    public var lengthInBytes: Int64 { base.lengthInBytes }
    /// Smallest addressable unit in bytes.
    public var logicalSectorSize: Int { base.logicalSectorSize }
    /// Sector size of the medium in bytes.
    public var physicalSectorSize: Int { base.physicalSectorSize }

    /// Fills `buffer` from `offset` of the base.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try base.read(into: buffer, at: offset)
    }
}
