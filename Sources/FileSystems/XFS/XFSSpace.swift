// SPDX-License-Identifier: GPL-3.0-or-later

extension XFSReader {
    /// Returns which bytes of the volume hold nothing, by the free-space trees of its groups.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        var space = XFSSpace(bytes, superblock, options)
        let use = try space.read()
        guard XFSLog(bytes, superblock).state(isCareful: true) == .clean else {
            throw FileSystemError(volume, .damaged("its log is not whole around its head"))
        }
        return use
    }
}

/// Reads the free space of XFS, and holds all that is in use against it.
///
/// First the groups one after the other: headers, then all their trees, whose blocks must not be free. With everything
/// that is free known, the inodes and all their extents. What was found in use and what is free must at last add up to
/// the whole: then nothing in use was passed over either.
struct XFSSpace {
    let bytes: VolumeBytes
    let superblock: XFSSuperblock
    private let options: SpaceOptions

    private(set) var free = FreeRuns()
    /// Pieces held against what is free.
    private var checked = 0
    /// Blocks found in use, and how often more than once: both wrap, as only their difference counts.
    private(set) var usedBlocks: UInt64 = 0
    private var sharedBlocks: UInt64 = 0

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock, _ options: SpaceOptions) {
        self.bytes = bytes
        self.superblock = superblock
        self.options = options
    }

    func damaged(_ what: String) -> FileSystemError { FileSystemError(superblock.volume, .damaged(what)) }

    mutating func read() throws(FileSystemError) -> SpaceUse {
        try checkFeatures()
        var totals = XFSGroupTotals()
        for number in 0..<superblock.allocationGroupCount {
            try step()
            let group = try XFSAllocationGroup(bytes, superblock, number)
            var trees = XFSGroupSpace(group)
            try trees.read(&self)
            totals.add(group, trees)
        }
        let said = superblock.totals
        guard totals.allocatable == said.freeBlocks else {
            throw damaged("the groups have \(totals.allocatable) free blocks, the superblock says \(said.freeBlocks)")
        }
        guard totals.inodes == said.inodes, totals.freeInodes == said.freeInodes else {
            throw damaged("the groups' inodes are not as many as the superblock says")
        }
        guard let log = superblock.offset(ofBlock: superblock.logStart, count: superblock.logBlocks) else {
            throw damaged("the log lies outside a group")
        }
        try hold(
            log..<log + Int64(superblock.logBlocks) * Int64(superblock.blockSize), of: "the log")
        if options.isChecked {
            try readInodes()
            guard usedBlocks &- sharedBlocks &+ totals.free == superblock.blockCount else {
                throw damaged(
                    """
                    \(usedBlocks &- sharedBlocks) blocks in use and \(totals.free) free ones are not \
                    \(superblock.blockCount)
                    """)
            }
        }
        return SpaceUse(free: free, checkedExtents: options.isChecked ? checked : nil)
    }

    /// Refuses what says something of space that is not read here.
    private func checkFeatures() throws(FileSystemError) {
        func unsupported(_ what: String) -> FileSystemError {
            FileSystemError(superblock.volume, .unsupported(what))
        }
        let totals = superblock.totals
        guard superblock.logStart != 0 else { throw unsupported("a log on another device") }
        guard totals.realtimeExtents == 0 else { throw unsupported("a realtime device") }
        guard totals.unknownFeatures == 0 else {
            throw unsupported("the XFS feature 0x\(String(totals.unknownFeatures, radix: 16)) of writers")
        }
        guard !superblock.needsRepair else { throw damaged("xfs_repair(8) has to run first") }
    }

    /// Asks now and then whether to go on: called for each piece and each inode.
    mutating func step() throws(FileSystemError) {
        checked += 1
        if checked & 0xfff == 1, !options.goesOn() { throw FileSystemError(superblock.volume, .stopped) }
    }

    /// Appends a run of free blocks, which must lie behind all those before.
    mutating func appendFree(_ run: Range<Int64>, of group: UInt64) throws(FileSystemError) {
        guard free.append(run) else { throw damaged("group \(group): free space overlaps") }
    }

    /// Holds a piece that is in use, `what` of a group or of the file system, against what is free.
    mutating func hold(_ piece: Range<Int64>?, of what: @autoclosure () -> String) throws(FileSystemError) {
        guard let piece else { throw damaged("\(what()) lies outside its group") }
        guard !free.overlaps(piece) else {
            throw damaged("\(what()) at byte \(piece.lowerBound) is called free")
        }
        usedBlocks &+= UInt64(piece.upperBound - piece.lowerBound) / UInt64(superblock.blockSize)
        try step()
    }

    /// Holds blocks of a file's fork, or of its extent tree, against what is free.
    mutating func hold(_ block: UInt64, _ count: UInt64, ofInode inode: UInt64) throws(FileSystemError) {
        guard let start = superblock.offset(ofBlock: block, count: count) else {
            throw FileSystemError(
                superblock.volume, file: "inode \(inode)", .damaged("block \(block) lies outside its group"))
        }
        guard !free.overlaps(start..<start + Int64(count) * Int64(superblock.blockSize)) else {
            throw FileSystemError(
                superblock.volume, file: "inode \(inode)", .damaged("its block \(block) is called free"))
        }
        usedBlocks &+= count
        try step()
    }

    /// Tells whether any of `piece` is free, without counting it as in use: others account for it.
    mutating func isFree(_ piece: Range<Int64>) throws(FileSystemError) -> Bool {
        try step()
        return free.overlaps(piece)
    }

    /// Counts `blocks` that were, or will be, found in use by others as well.
    mutating func share(_ blocks: UInt64) { sharedBlocks &+= blocks }
}

/// What the groups add up to.
struct XFSGroupTotals {
    private(set) var free: UInt64 = 0
    /// As the superblock counts: with the free lists, and with what the trees of free space grew by.
    private(set) var allocatable: UInt64 = 0
    private(set) var inodes: UInt64 = 0
    private(set) var freeInodes: UInt64 = 0

    /// Adds a group, whose numbers were found true: the sums stay below the number of blocks.
    mutating func add(_ group: XFSAllocationGroup, _ trees: XFSGroupSpace) {
        free += group.freeBlocks
        allocatable += group.freeBlocks + UInt64(group.freeList.count) + trees.freeTreeBlocks
        inodes += group.inodeCount
        freeInodes += group.freeInodeCount
    }
}
