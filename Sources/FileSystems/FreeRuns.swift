// SPDX-License-Identifier: GPL-3.0-or-later

/// The parts of a volume that hold nothing: byte ranges, ascending, none touching the next.
///
/// Memory is bounded: with more than `maximumCount` runs the shortest are forgotten, and count as used.
public struct FreeRuns: Sendable, Hashable {
    /// Most runs that are kept by default: 16 MiB of memory.
    public static let maximumCount = 1 << 20

    /// The ranges.
    public private(set) var ranges: [Range<Int64>] = []
    /// Runs shorter than this were forgotten.
    public private(set) var minimumLength: Int64 = 1
    /// Sum of everything that was appended, forgotten runs included.
    public private(set) var totalLength: Int64 = 0

    private let limit: Int

    /// Makes an empty list that holds at most `limit` runs.
    public init(limit: Int = FreeRuns.maximumCount) { self.limit = max(limit, 2) }

    /// Appends a run that begins at or behind the end of the last one; an empty one changes nothing.
    ///
    /// - Returns: false, and nothing is changed, when it begins before that.
    @discardableResult
    public mutating func append(_ run: Range<Int64>) -> Bool {
        guard !run.isEmpty else { return true }
        if let last = ranges.last {
            guard run.lowerBound >= last.upperBound else { return false }
            if run.lowerBound == last.upperBound {
                totalLength += run.upperBound - run.lowerBound
                ranges[ranges.count - 1] = last.lowerBound..<run.upperBound
                return true
            }
        }
        totalLength += run.upperBound - run.lowerBound
        if ranges.count >= limit { forgetShortest() }
        ranges.append(run)
        return true
    }

    /// Tells whether any byte of `range` is free: then it must not be in use.
    public func overlaps(_ range: Range<Int64>) -> Bool {
        guard !range.isEmpty else { return false }
        // The first run that ends behind the range's start.
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = low + (high - low) / 2
            if ranges[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound < range.upperBound
    }

    private mutating func forgetShortest() {
        while ranges.count >= limit {
            minimumLength *= 2
            // The last one may still grow.
            let last = ranges.removeLast()
            ranges.removeAll { $0.upperBound - $0.lowerBound < minimumLength }
            ranges.append(last)
            if ranges.count <= 1 { return }
        }
    }
}

/// What a file system says of its volume's space.
public struct SpaceUse: Sendable, Hashable {
    /// What is free: within the volume, in bytes.
    public var free = FreeRuns()
    /// Pieces of metadata and of files that were held against `free`; nil where nothing was.
    public var checkedExtents: Int?

    /// Makes a statement of nothing free.
    public init(free: FreeRuns = FreeRuns(), checkedExtents: Int? = nil) {
        self.free = free
        self.checkedExtents = checkedExtents
    }
}

/// How a file system's free space is read.
public struct SpaceOptions: Sendable {
    /// Whether everything that files and metadata use is held against what is said to be free.
    public var isChecked: Bool
    /// Called now and then with what was done so far; returns false to stop, which throws `stopped`.
    public var goesOn: @Sendable () -> Bool

    /// Makes options.
    public init(isChecked: Bool = true, goesOn: @escaping @Sendable () -> Bool = { true }) {
        self.isChecked = isChecked
        self.goesOn = goesOn
    }
}
