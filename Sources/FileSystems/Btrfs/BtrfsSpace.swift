// SPDX-License-Identifier: GPL-3.0-or-later

extension BtrfsReader {
    private static let maximumSubvolumes = 1 << 18

    /// Returns what no chunk uses, and, of a file system of one device, what lies between the extents of the chunks.
    ///
    /// btrfs never overwrites in place: what the last transaction's trees do not name is free, and nothing but a log tree
    /// is younger than they are.
    func spaceUse(_ options: SpaceOptions) throws(FileSystemError) -> SpaceUse {
        try refuseUnsafe()
        try checkSuperblockCopies()
        let scan = BtrfsTreeScan(trees: trees, options: options)
        let roots = try scan.roots(limit: Self.maximumSubvolumes)
        let device = try BtrfsDeviceSpace(scan, roots)
        guard trees.superblock.deviceCount == 1 else {
            try refuseYoungerChunks(options)
            return SpaceUse(free: device.free(nil))
        }
        let free = device.free(try BtrfsFreeAddresses(scan, roots).free)
        guard options.isChecked else { return SpaceUse(free: free) }
        var walk = try BtrfsWalk(scan, free: free)
        try walk.go(through: roots)
        return SpaceUse(free: free, checkedExtents: walk.count)
    }

    /// Throws when the file system has a feature that changes what is free in a way not known here.
    private func refuseUnsafe() throws(FileSystemError) {
        let superblock = trees.superblock
        func unsupported(_ what: String) -> FileSystemError { FileSystemError(volume, .unsupported(what)) }
        guard state == .clean else { throw unsupported("free space while the file system is not clean") }
        // A log's blocks, and the data that it names, are in no other tree.
        guard superblock.hasCRC32C else { throw unsupported("a checksum that is not CRC-32C") }
        guard superblock.features & BtrfsSuperblock.Feature.zoned == 0 else { throw unsupported("a zoned device") }
        guard !superblock.isSeed else { throw unsupported("a seed device") }
        let unknown = superblock.writerFeatures & ~BtrfsSuperblock.Feature.ForWriters.known
        guard unknown == 0 else {
            throw unsupported("the feature 0x\(String(unknown, radix: 16)) of btrfs")
        }
        // The target of a replacement has the number 0.
        guard superblock.deviceNumber != 0 else { throw unsupported("a device that is to replace another") }
    }

    /// Throws when a copy of the superblock is younger than the first: then the first may not be the last word.
    private func checkSuperblockCopies() throws(FileSystemError) {
        let first = trees.superblock
        for offset in BtrfsSuperblock.copies where offset <= bytes.lengthInBytes - Int64(BtrfsSuperblock.size) {
            guard let copy = try? BtrfsSuperblock(bytes, at: offset), copy.uuid == first.uuid,
                copy.metadataUUID == first.metadataUUID
            else { continue }
            guard copy.generation <= first.generation else {
                throw FileSystemError(volume, .damaged("the superblock at byte \(offset) is younger than the first"))
            }
        }
    }

    /// Throws when blocks of a tree of chunks lie here that are younger than the superblock.
    ///
    /// Each device has a superblock of its own, and they are written one after the other: another device may already know
    /// of chunks that this one has no word of. Making a chunk writes the tree of chunks, whose copies are all here.
    private func refuseYoungerChunks(_ options: SpaceOptions) throws(FileSystemError) {
        let superblock = trees.superblock
        let size = superblock.nodeSize
        for chunk in trees.chunks where chunk.type & BtrfsChunk.Kind.system != 0 {
            guard let place = chunk.copies.first, chunk.length <= 1 << 30 else {
                throw FileSystemError(volume, .unsupported("a tree of chunks on other devices"))
            }
            for within in stride(from: Int64(0), through: Int64(chunk.length) - Int64(size), by: superblock.sectorSize)
            {
                if within % (1 << 20) == 0, !options.goesOn() { throw FileSystemError(volume, .stopped) }
                let head = try bytes.fields(at: place + within, count: BtrfsNode.headerSize)
                let logical = chunk.logical + UInt64(within)
                guard head.little(48, as: UInt64.self) == logical,
                    head.little(80, as: UInt64.self) > superblock.generation,
                    BtrfsNode(try bytes.fields(at: place + within, count: size), superblock, logical: logical) != nil
                else { continue }
                throw FileSystemError(volume, .damaged("the tree block at \(logical) is younger than the superblock"))
            }
        }
    }
}
