// SPDX-License-Identifier: GPL-3.0-or-later

/// The bits of a bitmap's block: zero is free.
struct ExtBitmap: Sendable {
    let bytes: ArraySlice<UInt8>

    /// Returns whether bit `index` is set; beyond the end all are.
    func isSet(_ index: Int) -> Bool {
        let place = bytes.startIndex + index / 8
        return place >= bytes.endIndex || bytes[place] & 1 << UInt8(index % 8) != 0
    }

    /// Returns the first bit from `start` on that is set, or is not; `end` when there is none before.
    func next(isSet: Bool, from start: Int, to end: Int) -> Int {
        bytes.withUnsafeBytes { raw in
            var position = start
            // Words of 64 bits; blocks have a multiple of that.
            while position < end, position / 64 * 8 + 8 <= raw.count {
                let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: position / 64 * 8, as: UInt64.self))
                let wanted = (isSet ? word : ~word) & (.max << UInt64(position % 64))
                if wanted != 0 { return min(position / 64 * 64 + wanted.trailingZeroBitCount, end) }
                position = position / 64 * 64 + 64
            }
            return end
        }
    }

    /// Calls `body` with each run of clear bits below `end`.
    func forEachFree(below end: Int, _ body: (Range<Int>) -> Void) {
        var position = 0
        while position < end {
            let start = next(isSet: false, from: position, to: end)
            position = next(isSet: true, from: start, to: end)
            if start < position { body(start..<position) }
        }
    }

    /// Returns how many bits below `end` are clear.
    func freeCount(below end: Int) -> Int {
        var count = 0
        forEachFree(below: end) { count += $0.count }
        return count
    }
}

/// Bitmaps of consecutive groups, read together where they lie side by side.
struct ExtBitmapReader {
    /// Which bitmap of a group.
    enum Kind { case blocks, inodes }

    private let groups: ExtSpaceGroups
    private let volume: VolumeBytes
    private let kind: Kind
    private var read: [UInt8] = []
    private var first: Int64 = 0

    init(_ groups: ExtSpaceGroups, _ volume: VolumeBytes, _ kind: Kind) {
        self.groups = groups
        self.volume = volume
        self.kind = kind
    }

    private func place(_ group: Int) -> Int64 {
        kind == .blocks ? groups.all[group].blockBitmap : groups.all[group].inodeBitmap
    }

    /// Returns the bitmap of `group`, which must match its checksum.
    mutating func bitmap(_ group: Int) throws(FileSystemError) -> ExtBitmap {
        let layout = groups.layout
        let size = Int(layout.blockSize)
        let block = place(group)
        if block < first || block >= first + Int64(read.count / size) {
            var count = 1
            while (count + 1) * size <= 1 << 20, group + count < groups.all.count,
                place(group + count) == block + Int64(count)
            { count += 1 }
            read = try volume.fields(at: block * layout.blockSize, count: count * size).bytes
            first = block
        }
        let start = Int(block - first) * size
        let bytes = read[start..<start + size]
        if layout.hasMetadataChecksum {
            let descriptor = groups.all[group]
            let (bits, expected) =
                kind == .blocks
                ? (layout.clustersPerGroup, descriptor.blockBitmapChecksum)
                : (layout.inodesPerGroup, descriptor.inodeBitmapChecksum)
            let mask: UInt32 = layout.descriptorSize >= 64 ? .max : 0xffff
            guard CRC32C.update(layout.seed, bytes.prefix((bits + 7) / 8)) & mask == expected & mask else {
                throw layout.damaged("the \(kind) bitmap of group \(group) does not match its checksum")
            }
        }
        return ExtBitmap(bytes: bytes)
    }
}

extension ExtSpaceGroups {
    /// Reads all block bitmaps, and holds what they say against every count there is.
    func freeRuns(_ volume: VolumeBytes, _ options: SpaceOptions) throws(FileSystemError) -> FreeRuns {
        var free = FreeRuns()
        var total: Int64 = 0
        var reader = ExtBitmapReader(self, volume, .blocks)
        for (number, group) in all.enumerated() {
            guard options.goesOn() else { throw FileSystemError(layout.volume, .stopped) }
            let bitmap = group.isWithoutBlocks ? bitmapOfStructures(number) : try reader.bitmap(number)
            let (count, blocks) = (layout.clusterCount(of: number), layout.blocks(of: number))
            var found = 0
            bitmap.forEachFree(below: count) { run in
                found += run.count
                let start = blocks.lowerBound + Int64(run.lowerBound) * layout.blocksPerCluster
                let end = min(blocks.lowerBound + Int64(run.upperBound) * layout.blocksPerCluster, blocks.upperBound)
                free.append(layout.bytes(start..<end))
            }
            guard found == Int(group.freeClusters) else {
                throw layout.damaged(
                    "group \(number) counts \(group.freeClusters) free clusters, its bitmap has \(found)")
            }
            total += Int64(found)
        }
        let counted = layout.superblock.freeBlockCount
        guard counted == UInt64(total * layout.blocksPerCluster) else {
            throw layout.damaged(
                "the superblock counts \(counted) free blocks, the bitmaps \(total * layout.blocksPerCluster)")
        }
        for blocks in structures where free.overlaps(layout.bytes(blocks)) {
            throw layout.damaged("its own structures in blocks \(blocks) are called free")
        }
        return free
    }

    /// Makes the bitmap that a group has in which nothing was ever written.
    private func bitmapOfStructures(_ group: Int) -> ExtBitmap {
        var bytes = [UInt8](repeating: 0, count: Int(layout.blockSize))
        let blocks = layout.blocks(of: group)
        for structure in structures[structures(in: blocks)].map({ $0.clamped(to: blocks) }) {
            let first = (structure.lowerBound - blocks.lowerBound) / layout.blocksPerCluster
            let last = (structure.upperBound - 1 - blocks.lowerBound) / layout.blocksPerCluster
            for bit in Int(first)...max(Int(first), Int(last)) { bytes[bit / 8] |= 1 << UInt8(bit % 8) }
        }
        return ExtBitmap(bytes: bytes[...])
    }
}
