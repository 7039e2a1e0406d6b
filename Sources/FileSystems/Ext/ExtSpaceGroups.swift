// SPDX-License-Identifier: GPL-3.0-or-later

/// What is needed of a group's descriptor.
///
/// Linux Documentation/filesystems/ext4/group_descr.rst.
struct ExtSpaceGroup: Sendable {
    let blockBitmap: Int64
    let inodeBitmap: Int64
    let inodeTable: Int64
    let blockBitmapChecksum: UInt32
    let inodeBitmapChecksum: UInt32
    let freeClusters: UInt32
    let freeInodes: UInt32
    let directories: UInt32
    /// Inodes at the end of the table that were never written.
    let unusedInodes: UInt32
    /// Whether there are no inodes, and neither table nor bitmap was written.
    let isWithoutInodes: Bool
    /// Whether only the file system's own structures are in use, and the bitmap was not written.
    let isWithoutBlocks: Bool
}

/// All groups of a file system, and the blocks of its own structures.
struct ExtSpaceGroups: Sendable {
    let layout: ExtSpaceLayout
    private(set) var all: [ExtSpaceGroup] = []
    /// Blocks of superblocks, descriptors, bitmaps, inode tables: ascending, none touching the next.
    private(set) var structures: [Range<Int64>] = []

    init(_ layout: ExtSpaceLayout, _ volume: VolumeBytes, _ options: SpaceOptions) throws(FileSystemError) {
        self.layout = layout
        all.reserveCapacity(layout.groupCount)
        for index in 0..<layout.descriptorBlockCount {
            guard options.goesOn() else { throw FileSystemError(layout.volume, .stopped) }
            let block = layout.descriptorBlock(index)
            guard block < layout.blockCount else { throw layout.damaged("group descriptors in block \(block)") }
            let fields = try volume.fields(at: block * layout.blockSize, count: Int(layout.blockSize))
            let first = index * layout.descriptorsPerBlock
            for group in first..<min(first + layout.descriptorsPerBlock, layout.groupCount) {
                let place = (group - first) * layout.descriptorSize
                all.append(try Self.descriptor(fields, at: place, of: group, layout))
            }
        }
        try findStructures()
    }

    static func descriptor(
        _ fields: ByteFields, at place: Int, of group: Int, _ layout: ExtSpaceLayout
    ) throws(FileSystemError) -> ExtSpaceGroup {
        if layout.hasDescriptorChecksum {
            let checksum: UInt16 = fields.little(place + 30)
            guard Self.checksum(fields, at: place, of: group, layout) == checksum else {
                throw layout.damaged("the descriptor of group \(group) does not match its checksum")
            }
        }
        let isLong = layout.descriptorSize >= 64
        func count(_ low: Int, _ high: Int) -> UInt32 {
            let upper: UInt32 = isLong ? UInt32(fields.little(place + high, as: UInt16.self)) << 16 : 0
            return upper | UInt32(fields.little(place + low, as: UInt16.self))
        }
        func block(_ low: Int, _ high: Int) -> Int64 {
            let upper: UInt64 = isLong ? UInt64(fields.little(place + high, as: UInt32.self)) << 32 : 0
            return Int64(clamping: upper | UInt64(fields.little(place + low, as: UInt32.self)))
        }
        // Without a checksum, old file systems have anything there.
        let flags: UInt16 = layout.hasDescriptorChecksum ? fields.little(place + 18) : 0
        let made = ExtSpaceGroup(
            blockBitmap: block(0, 32), inodeBitmap: block(4, 36), inodeTable: block(8, 40),
            blockBitmapChecksum: count(24, 56), inodeBitmapChecksum: count(26, 58),
            freeClusters: count(12, 44), freeInodes: count(14, 46), directories: count(16, 48),
            unusedInodes: layout.hasDescriptorChecksum ? count(28, 50) : 0,
            isWithoutInodes: flags & 1 != 0, isWithoutBlocks: flags & 2 != 0)
        guard Int(made.unusedInodes) <= layout.inodesPerGroup, Int(made.freeInodes) <= layout.inodesPerGroup,
            made.unusedInodes <= made.freeInodes,
            !made.isWithoutInodes || (Int(made.freeInodes) == layout.inodesPerGroup && made.directories == 0)
        else { throw layout.damaged("the descriptor of group \(group) contradicts itself about inodes") }
        return made
    }

    /// Returns the checksum of the descriptor at `place`: the lower half of a CRC-32C, or a CRC-16 before that.
    private static func checksum(_ fields: ByteFields, at place: Int, of group: Int, _ layout: ExtSpaceLayout) -> UInt16
    {
        let number = (0..<4).map { UInt8(truncatingIfNeeded: group >> ($0 * 8)) }
        let (start, rest) = (fields.part(place, 30), fields.part(place + 32, layout.descriptorSize - 32))
        if layout.hasMetadataChecksum {
            var register = CRC32C.update(layout.seed, number[...])
            register = CRC32C.update(CRC32C.update(register, start), [0, 0])
            return UInt16(truncatingIfNeeded: CRC32C.update(register, rest))
        }
        var register = CRC16.update(.max, layout.superblock.fields.part(104, 16))
        register = CRC16.update(CRC16.update(register, number[...]), start)
        return CRC16.update(register, rest)
    }

    /// Collects the blocks of all structures; they lie within the file system and do not overlap.
    private mutating func findStructures() throws(FileSystemError) {
        var found: [Range<Int64>] = []
        // Consecutive groups have their bitmaps and tables side by side: a run for each kind saves most of the memory.
        var open = [Range<Int64>](repeating: 0..<0, count: 4)
        func add(_ blocks: Range<Int64>, _ kind: Int) {
            if open[kind].upperBound == blocks.lowerBound, !open[kind].isEmpty {
                open[kind] = open[kind].lowerBound..<blocks.upperBound
            } else {
                if !open[kind].isEmpty { found.append(open[kind]) }
                open[kind] = blocks
            }
        }
        let end = layout.blockCount
        for (number, group) in all.enumerated() {
            let head = layout.head(of: number)
            let bitmaps = [group.blockBitmap, group.inodeBitmap]
            guard head.upperBound <= layout.blocks(of: number).upperBound,
                bitmaps.allSatisfy({ $0 > 0 && $0 < end }), group.inodeTable > 0,
                group.inodeTable <= end - layout.inodeTableBlocks
            else { throw layout.damaged("the structures of group \(number) do not fit") }
            if !head.isEmpty { add(head, 0) }
            add(group.blockBitmap..<group.blockBitmap + 1, 1)
            add(group.inodeBitmap..<group.inodeBitmap + 1, 2)
            add(group.inodeTable..<group.inodeTable + layout.inodeTableBlocks, 3)
        }
        found += open.filter { !$0.isEmpty }
        let protection = layout.superblock.mountProtectionBlock
        if protection != 0 {
            guard protection < UInt64(end) else { throw layout.damaged("the MMP block is \(protection)") }
            found.append(Int64(protection)..<Int64(protection) + 1)
        }
        found.sort { $0.lowerBound < $1.lowerBound }
        for blocks in found {
            guard let last = structures.last, blocks.lowerBound <= last.upperBound else {
                structures.append(blocks)
                continue
            }
            guard blocks.lowerBound == last.upperBound else {
                throw layout.damaged("two structures lie in block \(blocks.lowerBound)")
            }
            structures[structures.count - 1] = last.lowerBound..<blocks.upperBound
        }
    }

    /// Returns the indices of the structures that any block of `blocks` belongs to.
    func structures(in blocks: Range<Int64>) -> Range<Int> {
        func first(_ isBehind: (Range<Int64>) -> Bool) -> Int {
            var (low, high) = (0, structures.count)
            while low < high {
                let middle = low + (high - low) / 2
                if isBehind(structures[middle]) { high = middle } else { low = middle + 1 }
            }
            return low
        }
        let start = first { $0.upperBound > blocks.lowerBound }
        return start..<max(start, first { $0.lowerBound >= blocks.upperBound })
    }
}

/// CRC-16 with the polynomial 0x8005, lowest bit first, as group descriptors had it before CRC-32C.
enum CRC16 {
    /// Continues the register `seed` over `bytes`.
    static func update(_ seed: UInt16, _ bytes: ArraySlice<UInt8>) -> UInt16 {
        bytes.reduce(seed) { register, byte in
            (0..<8).reduce(register ^ UInt16(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xa001 : value >> 1 }
        }
    }
}
