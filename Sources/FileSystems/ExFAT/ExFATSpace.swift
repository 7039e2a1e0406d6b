// SPDX-License-Identifier: GPL-3.0-or-later

extension ExFATReader {
    /// Returns what the allocation bitmap calls free, held against the clusters of all files and directories.
    ///
    /// How full the volume is by its boot sector is a hint of whole percents, and is not looked at; nor are entries of
    /// the table that mark bad clusters, since a cluster that the bitmap calls free holds nothing, bad or not.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        try boot.checkCopy(bytes)
        var bits = AllocationBits(base: boot.heapOffset, unit: boot.clusterSize, limit: boot.lengthInBytes)
        try readBitmap(into: &bits, options)
        let used = bits.usedCount
        let free = bits.finish()
        var walk = ExFATWalk(bytes, boot, free, used: used, options)
        for place in bitmaps + [upperCasePlace] { try walk.hold(place, "its own tables") }
        if options.isChecked { try walk.run(root: rootPlace) } else { try walk.hold(rootPlace, "the root") }
        return SpaceUse(free: free, checkedExtents: options.isChecked ? walk.extents : nil)
    }

    /// Reads the bitmap in force; with two of them, both must say the same.
    private func readBitmap(into bits: inout AllocationBits, _ options: SpaceOptions) throws(FileSystemError) {
        let count = (Int64(boot.clusterCount) + 7) / 8
        for place in bitmaps where place.length != count {
            throw FileSystemError(volume, .damaged("its allocation bitmap's size"))
        }
        let place = bitmaps[boot.active]
        let other = bitmaps.count > 1 ? bitmaps[1 - boot.active] : nil
        // A long chain is followed once, not once a piece: where its clusters follow each other it is one run.
        var done: Int64 = 0
        var chains = ExFATChains(bytes, boot)
        try chains.follow(place, most: .max, "the allocation bitmap") { offset, clusters throws(FileSystemError) in
            var position = offset
            let end = min(offset + clusters * boot.clusterSize, offset + (count - done))
            while position < end {
                guard options.goesOn() else { throw FileSystemError(volume, .stopped) }
                let piece = try bytes.fields(at: position, count: Int(min(end - position, 1 << 20))).bytes
                if let other {
                    let same = try Self.content(
                        other, at: done, count: piece.count, "the second allocation bitmap", bytes, boot)
                    guard piece == same else {
                        throw FileSystemError(volume, .damaged("its allocation bitmaps differ"))
                    }
                }
                let left = Int64(boot.clusterCount) - done * 8
                bits.add(piece, count: Int(min(left, Int64(piece.count * 8))))
                position += Int64(piece.count)
                done += Int64(piece.count)
            }
            return true
        }
        guard done == count else { throw FileSystemError(volume, .damaged("its allocation bitmap ends early")) }
    }
}

/// Goes through all directories, and holds every cluster in use against what is free.
struct ExFATWalk {
    /// Directories that wait to be read: more than any real volume has.
    private static let maximumWaiting = 1 << 20

    private let bytes: VolumeBytes
    private let boot: ExFATBootSector
    private let free: FreeRuns
    private let used: Int64
    private let options: SpaceOptions
    private var chains: ExFATChains
    private var clusters: Int64 = 0
    private var steps = 0
    /// Pieces held so far.
    private(set) var extents = 0

    init(
        _ bytes: VolumeBytes, _ boot: ExFATBootSector, _ free: FreeRuns, used: Int64, _ options: SpaceOptions
    ) {
        self.bytes = bytes
        self.boot = boot
        self.free = free
        self.used = used
        self.options = options
        chains = ExFATChains(bytes, boot)
    }

    /// Goes through the tree.
    mutating func run(root: ExFATPlace) throws(FileSystemError) {
        var waiting = [(place: root, file: "the root")]
        while let next = waiting.popLast() {
            // First its clusters: what lies in free ones is no directory, and a ring of directories ends here.
            try hold(next.place, next.file)
            let isRoot = next.place.length == nil
            var walk = self
            try ExFATReader.scan(next.place, next.file, bytes, boot, isStrict: true) {
                entries throws(FileSystemError) in
                guard entries.isFile else {
                    try Self.check(entries, isRoot: isRoot, bytes.name)
                    return true
                }
                let file = "inode \(entries.offset)"
                for place in entries.additions { try walk.hold(place, file) }
                if entries.isDirectory {
                    guard waiting.count < Self.maximumWaiting else {
                        throw FileSystemError(bytes.name, .unsupported("so many directories"))
                    }
                    waiting.append((entries.content, file))
                } else {
                    try walk.hold(entries.content, file)
                }
                return true
            }
            self = walk
        }
    }

    /// Refuses what could have clusters that nobody knows of.
    private static func check(_ entries: ExFATEntries, isRoot: Bool, _ volume: String) throws(FileSystemError) {
        let known = [ExFATEntries.bitmap, ExFATEntries.upperCase, ExFATEntries.label, 0xa0]
        guard isRoot, known.contains(entries.type) else {
            let type = hexadecimal(entries.type, width: 2)
            throw FileSystemError(
                volume, file: "inode \(entries.offset)", .unsupported("a directory entry of type \(type)"))
        }
    }

    /// Holds the clusters of `place` against what is free, and counts them.
    mutating func hold(_ place: ExFATPlace, _ file: String) throws(FileSystemError) {
        var last: Int64?
        var (chains, extents, clusters, steps) = (chains, extents, clusters, steps)
        try chains.follow(place, most: .max, file) { offset, count throws(FileSystemError) in
            extents += 1
            clusters += count
            steps += 1
            last = offset + (count - 1) * boot.clusterSize
            guard !free.overlaps(offset..<offset + count * boot.clusterSize) else {
                throw FileSystemError(
                    bytes.name, file: file, .damaged("it uses clusters from byte \(offset) on that are called free"))
            }
            // More than there are: two files use the same ones, or a chain is a ring.
            guard clusters <= used else {
                throw FileSystemError(
                    bytes.name, file: file, .damaged("files use more clusters than the \(used) marked as used"))
            }
            if steps % 1024 == 0, !options.goesOn() { throw FileSystemError(bytes.name, .stopped) }
            return true
        }
        defer { (self.chains, self.extents, self.clusters, self.steps) = (chains, extents, clusters, steps) }
        if let last, place.length != nil, try !chains.ends(place, last: last) {
            throw FileSystemError(bytes.name, file: file, .damaged("its chain goes on behind its size"))
        }
    }
}
