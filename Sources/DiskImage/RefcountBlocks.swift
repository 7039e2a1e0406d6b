// SPDX-License-Identifier: GPL-3.0-or-later

/// Refcounts of an image that is being written, in blocks, of which only the unwritten ones are in memory.
struct RefcountBlocks {
    private let entriesPerBlock: Int
    private var unwritten: [Int: [UInt16]] = [:]
    /// File offset of every written block, which are written in order.
    private(set) var table: [UInt64] = []

    init(entriesPerBlock: Int) {
        self.entriesPerBlock = entriesPerBlock
    }

    /// Number of blocks written so far.
    var writtenCount: Int { table.count }

    /// The lowest block with references that is not written.
    var firstUnwritten: Int? { unwritten[table.count] == nil ? nil : table.count }

    /// Returns the block that counts `cluster`.
    func block(of cluster: Int64) -> Int { Int(cluster / Int64(entriesPerBlock)) }

    /// Tells whether `cluster` is in an unwritten block and can take one more reference.
    func canReference(_ cluster: Int64) -> Bool {
        guard let counts = unwritten[block(of: cluster)] else { return false }
        return counts[Int(cluster % Int64(entriesPerBlock))] < UInt16.max
    }

    /// Counts one more reference to `cluster`.
    mutating func reference(_ cluster: Int64) {
        let entry = Int(cluster % Int64(entriesPerBlock))
        unwritten[block(of: cluster), default: Array(repeating: 0, count: entriesPerBlock)][entry] += 1
    }

    /// Returns the counts of `block`, the lowest unwritten one, and notes that it stands at `offset`.
    mutating func take(_ block: Int, writtenAt offset: Int64) -> [UInt16] {
        table.append(UInt64(offset))
        return unwritten.removeValue(forKey: block) ?? Array(repeating: 0, count: entriesPerBlock)
    }
}
