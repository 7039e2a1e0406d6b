// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// Counts what is read of a source, which is no file to its readers: work, not time, is what a busy machine does not
/// change.
public final class CountingSource: BlockSource {
    private let base: any BlockSource
    private let count = Atomic<Int64>(0)

    /// Puts the counter before `base`.
    public init(_ base: any BlockSource) { self.base = base }

    /// Bytes asked for so far, those that could not be read with them.
    public var bytesRead: Int64 { count.load(ordering: .relaxed) }
    /// What messages call it: the base's name.
    public var name: String { base.name }
    /// Length in bytes.
    public var lengthInBytes: Int64 { base.lengthInBytes }
    /// Smallest addressable unit in bytes.
    public var logicalSectorSize: Int { base.logicalSectorSize }
    /// Sector size of the medium in bytes.
    public var physicalSectorSize: Int { base.physicalSectorSize }

    /// Returns the base's extent, which is not counted.
    public func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }

    /// Counts, and reads from the base.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        count.wrappingAdd(Int64(buffer.count), ordering: .relaxed)
        try base.read(into: buffer, at: offset)
    }
}
