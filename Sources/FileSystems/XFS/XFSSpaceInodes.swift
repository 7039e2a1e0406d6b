// SPDX-License-Identifier: GPL-3.0-or-later

extension XFSSpace {
    /// Walks all inodes in use, and holds all their extents against what is free.
    mutating func readInodes() throws(FileSystemError) {
        for number in 0..<superblock.allocationGroupCount {
            let group = try XFSAllocationGroup(bytes, superblock, number)
            let tree = XFSTree(bytes, superblock, .inodes, of: .group(number))
            var place = XFSInodePlace(group, superblock)
            var batch = XFSInodeBatch(superblock, number)
            let root = XFSTree.Branch(block: group.inodes.block, level: group.inodes.levels - 1)
            try tree.walk([root]) { _ throws(FileSystemError) in
            } record: { fields, offset throws(FileSystemError) in
                let chunk = try place.next(fields, offset, self)
                // No inode of it is in use: nothing is looked at.
                if chunk.freeCount == chunk.count { return }
                for run in chunk.runs where !batch.append(run, chunk) {
                    try batch.read(&self)
                    _ = batch.append(run, chunk)
                }
            }
            try batch.read(&self)
        }
    }
}

/// Inodes that lie one behind the other, read at once.
struct XFSInodeBatch {
    private static let maximumBytes = 1 << 20

    private let superblock: XFSSuperblock
    private let group: UInt64
    private var numbers: Range<UInt64> = 0..<0
    private var chunks: [XFSInodeChunk] = []

    init(_ superblock: XFSSuperblock, _ group: UInt64) {
        self.superblock = superblock
        self.group = group
    }

    /// Adds `run` of `chunk`; false when it does not follow the last one, or there is no more room.
    mutating func append(_ run: Range<UInt64>, _ chunk: XFSInodeChunk) -> Bool {
        if numbers.isEmpty {
            numbers = run
        } else {
            let next = numbers.lowerBound..<run.upperBound
            guard run.lowerBound == numbers.upperBound, next.count * superblock.inodeSize <= Self.maximumBytes else {
                return false
            }
            numbers = next
        }
        chunks.append(chunk)
        return true
    }

    /// Reads the inodes, holds the extents of each against what is free in `space`, and forgets them.
    mutating func read(_ space: inout XFSSpace) throws(FileSystemError) {
        defer { (numbers, chunks) = (0..<0, []) }
        guard let first = numbers.first else { return }
        let log = superblock.inodesPerBlockLog
        let count = numbers.count * superblock.inodeSize
        guard let block = superblock.offset(inGroup: group, first >> log) else {
            throw space.damaged("group \(group): inodes lie outside")
        }
        let start = block + Int64(first & (1 << log - 1)) * Int64(superblock.inodeSize)
        let fields = try space.bytes.fields(at: start, count: count)
        var index = 0
        for number in numbers {
            while number >= chunks[index].first + XFSInodeChunk.inodes { index += 1 }
            let place = Int(number - first) * superblock.inodeSize
            let id = group << (superblock.allocationGroupLog + log) | number
            let inode = XFSInodeSpace(fields, at: place, number: id, superblock)
            try space.step()
            if chunks[index].isFree(number) {
                guard inode.isFree else { throw inode.damaged("it is in use, but is called free") }
            } else {
                try inode.read(&space)
            }
        }
    }
}
