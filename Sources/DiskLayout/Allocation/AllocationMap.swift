// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// What of a disk is not worth reading, and why; all of the disk that is in no gap is data.
///
/// Taken together, gaps and data are the disk's extents: ascending, and without a hole between them.
public struct AllocationMap: Sendable, Hashable {
    /// A range in which nothing lies.
    public struct Gap: Sendable, Hashable {
        /// First byte.
        public var offset: Int64
        /// Length in bytes.
        public var length: Int64
        /// Index of its reason.
        fileprivate var reasonIndex: Int32

        /// First byte behind it.
        public var end: Int64 { offset + length }
    }

    /// Gaps shorter than this are read: passing them over would cost more than they are worth.
    public static let minimumGap: Int64 = 64 << 10
    /// Gaps begin and end at multiples of this, so that requests fit every disk's sectors and pages.
    public static let alignment: Int64 = 4096
    /// Most gaps that are kept; of more, the shortest are read.
    public static let maximumGaps = 1 << 20

    /// Length of the disk in bytes.
    public let lengthInBytes: Int64
    /// The gaps, ascending; no two touch that have the same reason.
    public private(set) var gaps: [Gap] = []
    private var reasons: [String] = []

    /// Makes the map of a disk that is data from begin to end.
    public init(lengthInBytes: Int64) { self.lengthInBytes = lengthInBytes }

    /// Makes a map of `ranges`, in any order, each with its reason; too short ones are left out.
    ///
    /// Nil when two ranges share a byte, or one lies beyond the disk: then somebody is wrong about what is free.
    init?(lengthInBytes: Int64, ranges: [(range: Range<Int64>, reason: String)]) {
        self.init(lengthInBytes: lengthInBytes)
        var indices: [String: Int32] = [:]
        var end: Int64 = 0
        for (range, reason) in ranges.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            guard range.lowerBound >= end, range.upperBound <= lengthInBytes else { return nil }
            end = range.upperBound
            let index = indices[reason] ?? Int32(reasons.count)
            if indices.updateValue(index, forKey: reason) == nil { reasons.append(reason) }
            append(range, index)
        }
        keepWorthwhile()
    }

    /// Bytes that are not read.
    public var skippedLength: Int64 { gaps.reduce(0) { $0 + $1.length } }
    /// Bytes that are read.
    public var dataLength: Int64 { lengthInBytes - skippedLength }

    /// Returns why `gap`, one of this map's, is not read.
    public func reason(of gap: Gap) -> String { reasons[Int(gap.reasonIndex)] }

    /// Returns the gap that holds `offset`, or else the next one; nil behind the last.
    public func gap(atOrBehind offset: Int64) -> Gap? {
        var low = 0
        var high = gaps.count
        while low < high {
            let middle = low + (high - low) / 2
            if gaps[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low < gaps.count ? gaps[low] : nil
    }

    /// Returns the extent that begins at `offset`, which is inside the disk.
    public func extent(at offset: Int64) -> Extent {
        guard let gap = gap(atOrBehind: offset) else {
            return Extent(offset: offset, length: lengthInBytes - offset, kind: .data)
        }
        return gap.offset <= offset
            ? Extent(offset: offset, length: gap.end - offset, kind: .hole)
            : Extent(offset: offset, length: gap.offset - offset, kind: .data)
    }

    private mutating func append(_ range: Range<Int64>, _ reason: Int32) {
        if let last = gaps.last, last.end == range.lowerBound, last.reasonIndex == reason {
            gaps[gaps.count - 1].length += range.upperBound - range.lowerBound
        } else {
            gaps.append(
                Gap(offset: range.lowerBound, length: range.upperBound - range.lowerBound, reasonIndex: reason))
        }
    }

    private mutating func keepWorthwhile() {
        gaps = gaps.compactMap { gap in
            let start = (gap.offset + Self.alignment - 1) / Self.alignment * Self.alignment
            let end = gap.end / Self.alignment * Self.alignment
            guard end - start >= Self.minimumGap else { return nil }
            return Gap(offset: start, length: end - start, reasonIndex: gap.reasonIndex)
        }
        var minimum = Self.minimumGap
        while gaps.count > Self.maximumGaps {
            minimum *= 2
            gaps.removeAll { $0.length < minimum }
        }
    }
}
