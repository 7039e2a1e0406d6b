// SPDX-License-Identifier: GPL-3.0-or-later

/// Tells whether an XFS log is clean: its last record says that the file system was unmounted.
///
/// The log is a ring of blocks of 512 bytes. The first word of each holds the number of the round in which it was
/// written, so that the end is where the number drops; a record's header has its magic number there and the round's
/// behind it. XFS Algorithms & Data Structures, "Journaling Log"; Linux fs/xfs/libxfs/xfs_log_format.h.
struct XFSLog {
    private static let magic: UInt32 = 0xfeed_babe
    private static let blockSize: Int64 = 512
    /// Most bytes of a record, with its headers of 512 bytes for each 32 KiB.
    private static let maximumRecord = (256 << 10) + 8 * 512
    /// Flag of the operation that a proper unmount writes as its record's only one.
    private static let unmountFlag: UInt8 = 0x20

    private let bytes: VolumeBytes
    private let superblock: XFSSuperblock
    private let start: Int64
    private let count: Int64

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock) {
        self.bytes = bytes
        self.superblock = superblock
        let place = superblock.offset(ofBlock: superblock.logStart, count: superblock.logBlocks)
        start = superblock.logStart == 0 ? -1 : place ?? -1
        count = Int64(superblock.logBlocks) * Int64(superblock.blockSize) / Self.blockSize
    }

    /// The state that follows for the file system.
    var state: FileSystemState {
        if superblock.logStart == 0 { return .unknown("its log is on another device") }
        guard start >= 0, count >= 2 else { return .unknown("the log lies outside the volume") }
        do throws(FileSystemError) {
            return try isClean() && superblock.logFeatures == 0 ? .clean : .needsRecovery
        } catch {
            return .unknown("\(error)")
        }
    }

    private func isClean() throws(FileSystemError) -> Bool {
        guard let head = try findHead() else { return true }
        // The record before the head must be the unmount's, and end there.
        let window = min(Int64(Self.maximumRecord) / Self.blockSize, count)
        let back = try read(before: head, count: window)
        var index = back.count / 512 - 1
        while index >= 0, back.big(index * 512, as: UInt32.self) != Self.magic { index -= 1 }
        guard index >= 0, try hasOneRound(back, head: head) else { return false }
        let header = ByteFields(back.part(index * 512, back.count - index * 512))
        let version: UInt32 = header.big(8)
        let length = Int(header.big(12, as: UInt32.self))
        let bufferSize = Int(header.big(320, as: UInt32.self))
        guard length > 0, length <= 256 << 10 else { return false }
        let isLarge = version & 2 != 0 && bufferSize > 32 << 10 && bufferSize <= 256 << 10
        let headerBlocks = isLarge ? (bufferSize + (32 << 10) - 1) / (32 << 10) : 1
        let recordBlocks = headerBlocks + (length + 511) / 512
        guard header.count == recordBlocks * 512, header.big(40, as: UInt32.self) == 1 else { return false }
        // The operation's header: transaction, length, client, flags.
        return header.byte(headerBlocks * 512 + 9) & Self.unmountFlag != 0
    }

    /// Tells whether the blocks before the head are of the newest round, or beyond the ring's start of the one before.
    ///
    /// A block that is older was never written: the log was being written to when the machine stopped.
    private func hasOneRound(_ back: ByteFields, head: Int64) throws(FileSystemError) -> Bool {
        let blocks = back.count / 512
        let newest = Self.round(back, (blocks - 1) * 512)
        for index in 0..<blocks {
            let isBeforeStart = Int64(blocks - index) > head && head > 0
            // After mkfs, what lies beyond the start was never written, in any round.
            if isBeforeStart { continue }
            guard Self.round(back, index * 512) == newest else { return false }
        }
        return true
    }

    /// Returns the block behind the last one written; nil when nothing was ever written.
    ///
    /// The number of the ring's blocks stands for its start: all of them are of one round.
    private func findHead() throws(FileSystemError) -> Int64? {
        let first = try round(of: 0)
        let last = try round(of: count - 1)
        if first == 0 { return nil }
        if first == last { return count }
        // The first block of the older round lies between a newer and an older one.
        var low: Int64 = 0
        var high = count - 1
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if try round(of: middle) == last { high = middle } else { low = middle }
        }
        return high
    }

    private static func round(_ fields: ByteFields, _ offset: Int) -> UInt32 {
        fields.big(offset) == magic ? fields.big(offset + 4) : fields.big(offset)
    }

    private func round(of block: Int64) throws(FileSystemError) -> UInt32 {
        Self.round(try bytes.fields(at: start + block * Self.blockSize, count: 512), 0)
    }

    /// Returns the `blocks` blocks before `head`, beyond the ring's start those at its end.
    private func read(before head: Int64, count blocks: Int64) throws(FileSystemError) -> ByteFields {
        let direct = min(blocks, head)
        var content: [UInt8] = []
        if direct < blocks {
            let rest = blocks - direct
            content = try bytes.fields(
                at: start + (count - rest) * Self.blockSize, count: Int(rest * Self.blockSize)
            ).bytes
        }
        let offset = start + (head - direct) * Self.blockSize
        return ByteFields(content + (try bytes.fields(at: offset, count: Int(direct * Self.blockSize)).bytes))
    }
}
