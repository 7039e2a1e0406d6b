// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// Counts what is read of a source, which is no file to its readers: work, not time, is what a busy machine does not
/// change.
public final class CountingSource: SourceWrapper {
    /// The source that is read.
    public let base: any BlockSource
    private let count = Atomic<Int64>(0)

    /// Puts the counter before `base`.
    public init(_ base: any BlockSource) { self.base = base }

    /// Bytes asked for so far, those that could not be read with them.
    public var bytesRead: Int64 { count.load(ordering: .relaxed) }

    /// Returns the base's extent, which is not counted.
    public func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }

    /// Counts, and reads from the base.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        count.wrappingAdd(Int64(buffer.count), ordering: .relaxed)
        try base.read(into: buffer, at: offset)
    }
}
