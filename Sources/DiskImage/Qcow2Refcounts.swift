// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// The refcounts that an image stores.
final class Qcow2Refcounts: Sendable {
    /// Offsets of the refcount blocks, 0 where there is none or where the entry is not possible.
    let table: [UInt64]
    /// What is wrong with the table itself.
    let tableProblems: [StructureProblem]
    /// Refcounts a block.
    let entriesPerBlock: Int64

    private let file: any BlockSource
    private let header: Qcow2Header
    /// The block that was asked for last: questions come in order.
    private let recent = Mutex<(index: Int, bytes: [UInt8])>((-1, []))

    init(_ file: any BlockSource, _ header: Qcow2Header) throws(BlockError) {
        self.file = file
        self.header = header
        let size = header.layout.clusterSize
        entriesPerBlock = Int64((size * 8) >> header.refcountOrder)
        // What of the table lies behind the file's end is missing, not zero.
        let length = Int64(header.refcountTableClusters * size)
        let available = max(min(length, file.lengthInBytes - header.refcountTableOffset), 0)
        var problems: [StructureProblem] = []
        if available < length {
            problems.append(.init(fileOffset: header.refcountTableOffset, reason: "the refcount table is cut off"))
        }
        var blocks = try Qcow2Tables.words(file, header.refcountTableOffset, Int(available / 8))
        for (index, block) in blocks.enumerated() where block != 0 {
            let isPossible =
                block % UInt64(size) == 0 && block >= UInt64(size) && Int64(size) <= file.lengthInBytes
                && block <= UInt64(file.lengthInBytes - Int64(size))
            if !isPossible {
                let place = header.refcountTableOffset + Int64(index) * 8
                problems.append(.init(fileOffset: place, reason: "refcount block \(index) cannot be at byte \(block)"))
                blocks[index] = 0
            }
        }
        table = blocks
        tableProblems = problems
    }

    /// Returns the refcount of host `cluster` as the image stores it, 0 where no block covers it.
    func stored(_ cluster: Int64) throws(BlockError) -> UInt64 {
        let index = Int(cluster / entriesPerBlock)
        guard index < table.count, table[index] != 0 else { return 0 }
        let entry = Int(cluster % entriesPerBlock)
        if let count = recent.withLock({ $0.index == index ? count(entry, in: $0.bytes) : nil }) { return count }
        let bytes = try file.bytes(at: Int64(table[index]), count: header.layout.clusterSize)
        recent.withLock { $0 = (index, bytes) }
        return count(entry, in: bytes)
    }

    /// Widths below a byte count from the least significant bit; wider ones are big-endian.
    private func count(_ entry: Int, in bytes: [UInt8]) -> UInt64 {
        let bits = 1 << header.refcountOrder
        if bits < 8 {
            let perByte = 8 / bits
            return UInt64(bytes[entry / perByte] >> (entry % perByte * bits)) & (1 << bits - 1)
        }
        let width = bits / 8
        return bytes[entry * width..<(entry + 1) * width].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
