// SPDX-License-Identifier: GPL-3.0-or-later

/// A record of an inode tree: 64 inodes in a row, of which parts may have no blocks.
///
/// XFS Algorithms & Data Structures, "Inode Management"; "Sparse Inodes".
struct XFSInodeChunk {
    /// Inodes of a chunk.
    static let inodes: UInt64 = 64
    /// Inodes that one bit of the holes stands for.
    private static let inodesPerHole: UInt64 = 4

    /// Number of its first inode in the group.
    let first: UInt64
    /// Inodes that there are blocks for.
    let count: Int
    let freeCount: Int
    /// A bit an inode: it is free, or there is none.
    let free: UInt64
    private let holes: UInt16

    /// Decodes the record of 16 bytes at `place`; nil when its counts contradict its bits.
    init?(_ fields: ByteFields, at place: Int, isSparse: Bool) {
        first = UInt64(fields.big(place, as: UInt32.self))
        free = fields.big(place + 8)
        var absent: UInt64 = 0
        if isSparse {
            holes = fields.big(place + 4)
            count = Int(fields.byte(place + 6))
            freeCount = Int(fields.byte(place + 7))
            for bit in 0..<16 where holes & 1 << UInt16(bit) != 0 { absent |= 0xf << UInt64(4 * bit) }
        } else {
            holes = 0
            count = 64
            freeCount = Int(fields.big(place + 4, as: UInt32.self))
        }
        guard count == 64 - absent.nonzeroBitCount, count > 0, free & absent == absent,
            freeCount == (free & ~absent).nonzeroBitCount
        else { return nil }
    }

    /// The runs of inodes that there are blocks for, as numbers in the group.
    var runs: [Range<UInt64>] {
        if holes == 0 { return [first..<first + Self.inodes] }
        var runs: [Range<UInt64>] = []
        for bit in 0..<UInt64(16) where holes & 1 << UInt16(bit) == 0 {
            let start = first + bit * Self.inodesPerHole
            if let last = runs.last, last.upperBound == start {
                runs[runs.count - 1] = last.lowerBound..<start + Self.inodesPerHole
            } else {
                runs.append(start..<start + Self.inodesPerHole)
            }
        }
        return runs
    }

    /// Tells whether inode `number` of the group, which must be one of the chunk's, is free.
    func isFree(_ number: UInt64) -> Bool { free & 1 << (number - first) != 0 }
}
