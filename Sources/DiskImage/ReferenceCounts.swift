// SPDX-License-Identifier: GPL-3.0-or-later

/// References to the host clusters of one window, as a structure check finds them: two bytes a cluster.
struct ReferenceCounts {
    /// What refers to a cluster.
    enum Reference {
        /// The header, or a table that no flag belongs to.
        case structure
        /// A table or stored data, by an entry whose copied flag is as given.
        case cluster(copied: Bool)
        /// Compressed data, which shares its clusters with other such data.
        case compressed
    }

    /// Bits of an element; the lower ones count.
    private static let exclusive: UInt16 = 1 << 15
    private static let copied: UInt16 = 1 << 14
    private static let notCopied: UInt16 = 1 << 13
    private static let countMask: UInt16 = 1 << 13 - 1

    /// The host clusters counted.
    let range: Range<Int64>
    private var elements: [UInt16]
    /// Counts from `countMask` on.
    private var large: [Int64: UInt64] = [:]

    init(_ range: Range<Int64>) {
        self.range = range
        elements = Array(repeating: 0, count: range.count)
    }

    /// Counts a reference to `cluster`, when it is in the window.
    mutating func add(_ cluster: Int64, _ reference: Reference) {
        guard range.contains(cluster) else { return }
        let index = Int(cluster - range.lowerBound)
        var element = elements[index]
        if element & Self.countMask < Self.countMask { element += 1 }
        if element & Self.countMask == Self.countMask { large[cluster, default: UInt64(Self.countMask) - 1] += 1 }
        switch reference {
        case .structure: element |= Self.exclusive
        case .cluster(copied: true): element |= Self.exclusive | Self.copied
        case .cluster(copied: false): element |= Self.exclusive | Self.notCopied
        case .compressed: break
        }
        elements[index] = element
    }

    /// Counts a reference to each cluster of `length` bytes at `offset`.
    mutating func add(bytes offset: Int64, _ length: Int64, _ clusterSize: Int64, _ reference: Reference) {
        guard length > 0 else { return }
        let first = max(offset / clusterSize, range.lowerBound)
        let last = min((offset + length - 1) / clusterSize, range.upperBound - 1)
        guard first <= last else { return }
        for cluster in first...last { add(cluster, reference) }
    }

    /// Returns how often `cluster`, which is in the window, is referred to.
    func count(_ cluster: Int64) -> UInt64 {
        let count = elements[Int(cluster - range.lowerBound)] & Self.countMask
        return count < Self.countMask ? UInt64(count) : large[cluster] ?? UInt64(count)
    }

    /// Tells whether something else is where a table or stored data is.
    func isOverlapped(_ cluster: Int64) -> Bool {
        elements[Int(cluster - range.lowerBound)] & Self.exclusive != 0 && count(cluster) > 1
    }

    /// Tells whether the copied flags of what refers to `cluster` are as a stored refcount of `stored` wants them.
    func copiedFlagsAgree(_ cluster: Int64, stored: UInt64) -> Bool {
        elements[Int(cluster - range.lowerBound)] & (stored == 1 ? Self.notCopied : Self.copied) == 0
    }
}
