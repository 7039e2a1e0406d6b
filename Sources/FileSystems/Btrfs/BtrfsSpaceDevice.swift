// SPDX-License-Identifier: GPL-3.0-or-later

/// How a device is divided: chunks' pieces, what is kept for the superblocks, and the rest.
struct BtrfsDeviceSpace {
    /// A part of the device that a chunk lies on.
    private struct Piece {
        var offset: UInt64
        var chunk: Int
    }

    /// What no chunk is made of since Linux 5.11, and what boot loaders use.
    private static let reserved: Int64 = 1 << 20
    /// How much is kept free of other things for the superblock and each of its copies.
    private static let superblockLength: Int64 = 64 << 10
    /// An item of the tree of devices: the number of the tree of chunks, of the chunks' owner, address, length, UUID.
    private static let extentSize = 32

    private let scan: BtrfsTreeScan
    private let superblock: BtrfsSuperblock
    private let chunks: [BtrfsChunk]
    /// By their place on the device.
    private let pieces: [Piece]

    /// Checks that the tree of chunks, the tree of devices and the superblock agree.
    init(_ scan: BtrfsTreeScan, _ roots: [BtrfsTreeRoot]) throws(FileSystemError) {
        self.scan = scan
        superblock = scan.trees.superblock
        chunks = scan.trees.chunks
        var pieces: [Piece] = []
        for (number, chunk) in chunks.enumerated() {
            for stripe in chunk.stripes where stripe.device == superblock.deviceNumber {
                pieces.append(Piece(offset: stripe.offset, chunk: number))
            }
        }
        self.pieces = pieces.sorted { $0.offset < $1.offset }
        try checkChunks()
        try checkDeviceTree(try BtrfsFreeAddresses.root(BtrfsTreeRoot.Number.devices, roots, superblock))
        try checkChunkTree()
    }

    private func damaged(_ what: String) -> FileSystemError { FileSystemError(superblock.volume, .damaged(what)) }

    private func checkChunks() throws(FileSystemError) {
        let sector = UInt64(superblock.sectorSize)
        guard superblock.deviceLength <= UInt64(scan.trees.bytes.lengthInBytes) else {
            throw damaged("the device of \(superblock.deviceLength) bytes is longer than the volume")
        }
        guard superblock.deviceCount > 1 || superblock.deviceLength == superblock.totalLength else {
            throw damaged("the superblock contradicts itself about the device's length")
        }
        for chunk in chunks {
            guard chunk.logical % sector == 0, chunk.length % sector == 0, chunk.type & BtrfsChunk.Kind.mask != 0,
                chunk.type & ~BtrfsChunk.Kind.known == 0,
                superblock.deviceCount > 1 || chunk.stripes.allSatisfy({ $0.device == superblock.deviceNumber })
            else { throw damaged("the chunk at \(chunk.logical) is wrong") }
        }
        for chunk in scan.trees.systemChunks {
            guard let number = scan.trees.chunk(of: chunk.logical, count: chunk.length), chunks[number] == chunk else {
                throw damaged("the superblock's chunks contradict the tree of chunks")
            }
        }
        var end: UInt64 = 0
        for piece in pieces {
            guard piece.offset >= end else { throw damaged("chunks overlap at byte \(piece.offset) of the device") }
            end = piece.offset + chunks[piece.chunk].stripeLength
            guard end <= superblock.deviceLength else { throw damaged("a chunk ends behind the device") }
        }
    }

    /// Holds the tree of devices, which lists what is used of each, against the chunks.
    private func checkDeviceTree(_ root: BtrfsPointer) throws(FileSystemError) {
        var left = pieces[...]
        try scan.leaves(of: root) { node throws(FileSystemError) in
            for index in 0..<node.count {
                let key = node.key(index)
                let fields = node.item(index)
                switch key.kind {
                case BtrfsKey.Kind.deviceExtent where key.object == superblock.deviceNumber:
                    guard let piece = left.popFirst(), piece.offset == key.offset,
                        fields.little(24, as: UInt64.self) == chunks[piece.chunk].stripeLength,
                        fields.little(16, as: UInt64.self) == chunks[piece.chunk].logical
                    else { throw damaged("the device tree contradicts the chunks at byte \(key.offset)") }
                case BtrfsKey.Kind.deviceExtent:
                    guard superblock.deviceCount > 1 else { throw damaged("the device tree names another device") }
                case BtrfsKey.Kind.deviceReplacement:
                    // Source, two places, how it is read, state: started, or suspended.
                    let state: UInt64 = fields.little(32)
                    guard state != 1, state != 4 else {
                        throw FileSystemError(superblock.volume, .unsupported("the replacement of a device"))
                    }
                default: break
                }
            }
        }
        guard left.isEmpty else { throw damaged("the device tree lacks chunks") }
    }

    /// Looks for the device in the tree of chunks: number, length, bytes used, and its UUID.
    private func checkChunkTree() throws(FileSystemError) {
        let used = pieces.reduce(0) { $0 &+ chunks[$1.chunk].stripeLength }
        var count: UInt64 = 0
        var isFound = false
        var root = superblock.chunkTree
        root.owner = BtrfsTreeRoot.Number.chunks
        try scan.leaves(of: root) { node throws(FileSystemError) in
            for index in 0..<node.count where node.key(index).kind == BtrfsKey.Kind.device {
                count += 1
                guard node.key(index).offset == superblock.deviceNumber else { continue }
                let fields = node.item(index)
                guard fields.little(0, as: UInt64.self) == superblock.deviceNumber,
                    fields.little(8, as: UInt64.self) == superblock.deviceLength,
                    fields.little(16, as: UInt64.self) == used, fields.part(66, 16) == superblock.deviceUUID[...]
                else { throw damaged("the device's item contradicts the superblock or the chunks") }
                isFound = true
            }
        }
        guard isFound, count == superblock.deviceCount else {
            throw damaged("there are \(count) devices, but \(superblock.deviceCount) by the superblock")
        }
    }

    /// Returns the bytes of the device that hold nothing; of chunks, what `addresses` names, or nothing where it is nil.
    func free(_ addresses: FreeRuns?) -> FreeRuns {
        var free = FreeRuns()
        var position: Int64 = 0
        for piece in pieces {
            let chunk = chunks[piece.chunk]
            let start = Int64(piece.offset)
            append(position..<start, to: &free)
            position = start + Int64(chunk.stripeLength)
            guard let addresses, !chunk.isStriped else { continue }
            let logical = Int64(chunk.logical)
            for run in addresses.runs(in: logical..<logical + Int64(chunk.length)) {
                append(start + run.lowerBound - logical..<start + run.upperBound - logical, to: &free)
            }
        }
        append(position..<Int64(superblock.deviceLength), to: &free)
        return free
    }

    /// Appends `run` without what is kept for the superblocks, whatever the chunks say.
    private func append(_ run: Range<Int64>, to free: inout FreeRuns) {
        var position = max(run.lowerBound, Self.reserved)
        for start in [BtrfsSuperblock.offset] + BtrfsSuperblock.copies {
            let end = start + Self.superblockLength
            guard end > position, start < run.upperBound else { continue }
            if start > position { free.append(position..<start) }
            position = end
        }
        if position < run.upperBound { free.append(position..<run.upperBound) }
    }
}

extension FreeRuns {
    /// Returns the parts of runs that lie in `range`, in order.
    fileprivate func runs(in range: Range<Int64>) -> some Sequence<Range<Int64>> {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = low + (high - low) / 2
            if ranges[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        return ranges[low...].lazy.prefix { $0.lowerBound < range.upperBound }.map { $0.clamped(to: range) }
    }
}
