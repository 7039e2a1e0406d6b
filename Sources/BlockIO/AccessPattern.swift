// SPDX-License-Identifier: GPL-3.0-or-later

/// How a source is read best from begin to end.
public struct AccessPattern: Sendable, Hashable {
    /// Bytes a request: 1, 2 or 4 MiB.
    public var requestLength: Int
    /// Most requests under way at the same time, begun in the order of the disk; nil for half of the units in work.
    public var parallelReads: Int?
    /// Threads for each processor.
    ///
    /// Content is stored in the order of the disk: with more of them, a request that is slow holds up fewer others.
    public var threadsPerProcessor = 4

    /// Makes a pattern; a length that is none of those allowed becomes the next smaller one.
    public init(requestLength: Int, parallelReads: Int?) {
        self.requestLength = requestLength >= 4 << 20 ? 4 << 20 : requestLength >= 2 << 20 ? 2 << 20 : 1 << 20
        self.parallelReads = parallelReads.map { max($0, 1) }
    }

    /// Many small requests: for what has no place where it is better to stay.
    public static let parallel = AccessPattern(requestLength: 1 << 20, parallelReads: nil)
    /// Larger requests: for what is far, so that each takes its time.
    public static let network = AccessPattern(requestLength: 2 << 20, parallelReads: nil)
    /// Many requests of two chunks, which are hashed in little more time than one: for few processors.
    public static let paired = {
        var pattern = AccessPattern(requestLength: 2 << 20, parallelReads: nil)
        pattern.threadsPerProcessor = 8
        return pattern
    }()
    /// Few large requests, one behind the other: for heads that must not move more than needed.
    public static let sequential = AccessPattern(requestLength: 4 << 20, parallelReads: 2)
}
