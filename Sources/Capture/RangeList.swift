// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Ascending ranges of a disk, those that touch joined.
struct RangeList: Sendable, Hashable {
    private(set) var ranges: [ByteRange] = []

    /// Appends a range that begins at or behind the last one's end.
    mutating func append(_ range: ByteRange) {
        if let last = ranges.last, last.offset + last.length == range.offset {
            ranges[ranges.count - 1].length += range.length
        } else {
            ranges.append(range)
        }
    }

    /// Sum of the lengths in bytes.
    var totalLength: Int64 { ranges.reduce(0) { $0 + $1.length } }
}
