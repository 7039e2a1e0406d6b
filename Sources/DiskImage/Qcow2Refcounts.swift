// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// The refcounts that an image stores.
struct Qcow2Refcounts: Sendable {
    /// Offsets of the refcount blocks, 0 where there is none or where the entry is not possible.
    let table: [UInt64]
    /// What is wrong with the table itself.
    let tableProblems: [StructureProblem]
    /// Refcounts a block.
    let entriesPerBlock: Int64

    private let file: any BlockSource
    private let header: Qcow2Header

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
        var seen = Set<UInt64>()
        for (index, block) in blocks.enumerated() where block != 0 {
            let isPossible =
                block % UInt64(size) == 0 && block >= UInt64(size) && Int64(size) <= file.lengthInBytes
                && block <= UInt64(file.lengthInBytes - Int64(size))
            // A block that counts for two ranges would have a small file take hours to check, too.
            if !isPossible || !seen.insert(block).inserted {
                let place = header.refcountTableOffset + Int64(index) * 8
                let reason = isPossible ? "at byte \(block) is used twice" : "cannot be at byte \(block)"
                problems.append(.init(fileOffset: place, reason: "refcount block \(index) \(reason)"))
                blocks[index] = 0
            }
        }
        table = blocks
        tableProblems = problems
    }

    /// Calls `body` with the stored refcount of each cluster of `range`, ascending, until it returns false.
    func forEach(
        in range: Range<Int64>, _ body: (_ cluster: Int64, _ count: UInt64) -> Bool
    ) throws(BlockError) {
        var first = range.lowerBound
        while first < range.upperBound {
            let index = first / entriesPerBlock
            let end = min((index + 1) * entriesPerBlock, range.upperBound)
            let start = Int(first - index * entriesPerBlock)
            let block = try block(index)
            let goesOn = block.withUnsafeBytes { bytes in
                for entry in 0..<Int(end - first) {
                    let count = bytes.isEmpty ? 0 : count(start + entry, in: bytes)
                    if !body(first + Int64(entry), count) { return false }
                }
                return true
            }
            guard goesOn else { return }
            first = end
        }
    }

    /// Returns the first cluster from `cluster` on in the range of block `index` that has references, or nil.
    func firstReferenced(from cluster: Int64, inBlock index: Int) throws(BlockError) -> Int64? {
        let offset = Int64(table[index])
        // The hole of a sparse file is not worth reading.
        let extent = try file.extent(at: offset)
        if extent.kind == .hole, extent.end >= offset + Int64(header.layout.clusterSize) { return nil }
        let block = try block(Int64(index))
        return block.withUnsafeBytes { bytes in
            let start = Int64(index) * entriesPerBlock
            let first = Int(max(cluster - start, 0))
            func referenced(_ entries: Range<Int>) -> Int64? {
                entries.first { count($0, in: bytes) != 0 }.map { start + Int64($0) }
            }
            // Whole bytes tell sooner than entries of a bit.
            let byte = ((first << header.refcountOrder) + 7) / 8
            let aligned = (byte * 8) >> header.refcountOrder
            if let found = referenced(first..<aligned) { return found }
            return bytes.part(byte, bytes.count - byte).isAllZero ? nil : referenced(aligned..<Int(entriesPerBlock))
        }
    }

    /// Returns block `index`, or nothing where none is.
    private func block(_ index: Int64) throws(BlockError) -> [UInt8] {
        guard index < table.count, table[Int(index)] != 0 else { return [] }
        return try file.bytes(at: Int64(table[Int(index)]), count: header.layout.clusterSize)
    }

    /// Widths below a byte count from the least significant bit; wider ones are big-endian.
    private func count(_ entry: Int, in block: UnsafeRawBufferPointer) -> UInt64 {
        switch header.refcountOrder {
        case 3: return UInt64(block[entry])
        case 4: return block.bigEndian(at: entry * 2, as: UInt16.self).map { UInt64($0) } ?? 0
        case 5: return block.bigEndian(at: entry * 4, as: UInt32.self).map { UInt64($0) } ?? 0
        case 6: return block.bigEndian(at: entry * 8, as: UInt64.self) ?? 0
        default:
            let bits = 1 << header.refcountOrder
            let perByte = 8 / bits
            return UInt64(block[entry / perByte] >> (entry % perByte * bits)) & (1 << bits - 1)
        }
    }
}
