// SPDX-License-Identifier: GPL-3.0-or-later

/// A byte range of a disk, and what reading it means.
public struct Extent: Sendable, Hashable {
    /// What is known of a range before it is read.
    public enum Kind: Sendable, Hashable {
        /// Holds content: read it.
        case data
        /// Unallocated: reads as zeros.
        case hole
        /// Could not be read; zeros stand in its place.
        case unreadable
    }

    /// First byte of the range.
    public var offset: Int64
    /// Length in bytes, positive.
    public var length: Int64
    /// What the range holds.
    public var kind: Kind

    /// Makes an extent of `length` bytes at `offset`.
    public init(offset: Int64, length: Int64, kind: Kind) {
        self.offset = offset
        self.length = length
        self.kind = kind
    }

    /// First byte behind the range.
    public var end: Int64 { offset + length }
}
