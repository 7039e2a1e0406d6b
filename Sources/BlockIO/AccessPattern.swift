// SPDX-License-Identifier: GPL-3.0-or-later

/// How a source is read best from begin to end.
public struct AccessPattern: Sendable, Hashable {
    /// Bytes a request: 1, 2 or 4 MiB.
    public var requestLength: Int
    /// Most requests under way at the same time, begun in the order of the disk; nil for as many as there are threads.
    public var parallelReads: Int?

    /// Makes a pattern; a length that is none of those allowed becomes the next smaller one.
    public init(requestLength: Int, parallelReads: Int?) {
        self.requestLength = requestLength >= 4 << 20 ? 4 << 20 : requestLength >= 2 << 20 ? 2 << 20 : 1 << 20
        self.parallelReads = parallelReads.map { max($0, 1) }
    }

    /// Many small requests: for what has no place where it is better to stay.
    public static let parallel = AccessPattern(requestLength: 1 << 20, parallelReads: nil)
    /// Few large requests, one behind the other: for heads that must not move more than needed.
    public static let sequential = AccessPattern(requestLength: 4 << 20, parallelReads: 2)
}
