// SPDX-License-Identifier: GPL-3.0-or-later

/// Tells whether an XFS log is clean: its last record says that the file system was unmounted.
///
/// The log is a ring of blocks of 512 bytes. The first word of each holds the number of the round in which it was
/// written, so that the head, where writing goes on, is where the number drops; a record's header has its magic
/// number there and the round's behind it. XFS Algorithms & Data Structures, "Journaling Log"; Linux
/// fs/xfs/libxfs/xfs_log_format.h.
///
/// Up to 2 MiB are under way at once and may reach the disk in any order. Around the head, wherever the search for it
/// ends up, that many blocks on both sides are therefore looked at: any that is not of its round shows a write that was
/// cut off, and the log is not clean. Linux goes back to the last whole record there, which may be the unmount's; here
/// that is not worth the trust.
struct XFSLog {
    static let blockSize: Int64 = 512
    /// Eight buffers of 256 KiB each: all that may be under way at once.
    private static let window: Int64 = (8 * 256 << 10) / blockSize
    /// Most bytes that a record's data are.
    private static let maximumRecord = 256 << 10

    private let bytes: VolumeBytes
    private let superblock: XFSSuperblock
    private let start: Int64
    private let count: Int64

    /// Where writing goes on, and the round of the block before.
    private struct Head {
        /// From 1 to the number of the ring's blocks, which stands for its start.
        var block: Int64
        var round: UInt32
    }

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock) {
        self.bytes = bytes
        self.superblock = superblock
        let place = superblock.offset(ofBlock: superblock.logStart, count: superblock.logBlocks)
        start = superblock.logStart == 0 ? -1 : place ?? -1
        count = Int64(superblock.logBlocks) * Int64(superblock.blockSize) / Self.blockSize
    }

    /// Returns the state that follows for the file system.
    ///
    /// - Parameter isCareful: whether both sides of the head are looked at, 4 MiB, as anything that skips must;
    ///   else the last record alone tells, which is 256 KiB.
    func state(isCareful: Bool) -> FileSystemState {
        if superblock.logStart == 0 { return .unknown("its log is on another device") }
        guard start >= 0, count >= 2 else { return .unknown("the log lies outside the volume") }
        do throws(FileSystemError) {
            return try isClean(isCareful) && superblock.logFeatures == 0 ? .clean : .needsRecovery
        } catch {
            return .unknown("\(error)")
        }
    }

    private func isClean(_ isCareful: Bool) throws(FileSystemError) -> Bool {
        guard let head = try findHead() else { return false }
        if isCareful {
            guard try isWhole(before: head), try isWhole(behind: head) else { return false }
        }
        return try endsWithUnmount(head)
    }

    /// Finds a place where the round's number drops by one; nil when the log is not as one that was written properly.
    ///
    /// Where writes were cut off there may be several, all of them within the window of the one found.
    private func findHead() throws(FileSystemError) -> Head? {
        let first = try round(of: 0)
        let last = try round(of: count - 1)
        // 0 stands for a block that was never written; even a new log begins with an unmount's record.
        guard first > 0 else { return nil }
        if first == last { return Head(block: count, round: first) }
        guard last < .max, first == last + 1 else { return nil }
        var low: Int64 = 0
        var high = count - 1
        while high - low > 1 {
            let middle = low + (high - low) / 2
            switch try round(of: middle) {
            case first: low = middle
            case last: high = middle
            default: return nil
            }
        }
        return Head(block: high, round: first)
    }

    /// Tells whether the blocks before the head are of its round, and beyond the ring's start of the one before.
    private func isWhole(before head: Head) throws(FileSystemError) -> Bool {
        let direct = min(Self.window, head.block)
        guard try isOf(head.round, head.block - direct..<head.block) else { return false }
        // In the first round, what lies beyond the start was never written: that is round 0.
        let rest = min(Self.window, count) - direct
        return try isOf(head.round - 1, max(count - rest, head.block)..<count)
    }

    /// Tells whether the blocks behind the head are all of the round before, and from the ring's start of its own.
    private func isWhole(behind head: Head) throws(FileSystemError) -> Bool {
        let direct = min(Self.window, count - head.block)
        guard try isOf(head.round - 1, head.block..<head.block + direct) else { return false }
        return try isOf(head.round, 0..<min(Self.window - direct, head.block))
    }

    private func isOf(_ round: UInt32, _ blocks: Range<Int64>) throws(FileSystemError) -> Bool {
        guard !blocks.isEmpty else { return true }
        let fields = try read(blocks)
        return (0..<blocks.count).allSatisfy { Self.round(fields, $0 * Int(Self.blockSize)) == round }
    }

    /// Tells whether the record that ends at the head is that of an unmount.
    private func endsWithUnmount(_ head: Head) throws(FileSystemError) -> Bool {
        let most = Int64(Self.maximumRecord + XFSLogRecord.maximumHeader) / Self.blockSize
        let back = try read(before: head.block, count: min(most, count))
        let size = Int(Self.blockSize)
        var index = back.count / size - 1
        while index >= 0, back.big(index * size, as: UInt32.self) != XFSLogRecord.magic { index -= 1 }
        guard index >= 0 else { return false }
        let place = head.block - Int64(back.count / size - index)
        let record = XFSLogRecord(ByteFields(back.part(index * size, back.count - index * size)))
        return record.isUnmount(
            at: place >= 0 ? place : place + count, round: place >= 0 ? head.round : head.round - 1, of: superblock)
    }

    private static func round(_ fields: ByteFields, _ offset: Int) -> UInt32 {
        fields.big(offset) == XFSLogRecord.magic ? fields.big(offset + 4) : fields.big(offset)
    }

    private func round(of block: Int64) throws(FileSystemError) -> UInt32 {
        Self.round(try read(block..<block + 1), 0)
    }

    private func read(_ blocks: Range<Int64>) throws(FileSystemError) -> ByteFields {
        try bytes.fields(at: start + blocks.lowerBound * Self.blockSize, count: blocks.count * Int(Self.blockSize))
    }

    /// Returns the `blocks` blocks before `head`, beyond the ring's start those at its end.
    private func read(before head: Int64, count blocks: Int64) throws(FileSystemError) -> ByteFields {
        let direct = min(blocks, head)
        let beyond = direct < blocks ? try read(count - (blocks - direct)..<count).bytes : []
        return ByteFields(beyond + (try read(head - direct..<head).bytes))
    }
}

/// A record of the log: headers of 512 bytes, then operations.
struct XFSLogRecord {
    static let magic: UInt32 = 0xfeed_babe
    /// Bytes of data that one header holds the overwritten first words of.
    private static let dataPerHeader = 32 << 10
    static let maximumHeader = (256 << 10) / dataPerHeader * 512
    /// Flag of the operation that a proper unmount writes as its record's only one.
    private static let unmountFlag: UInt8 = 0x20

    /// The record, and nothing behind it.
    private let fields: ByteFields

    init(_ fields: ByteFields) { self.fields = fields }

    /// Blocks of headers: one for each 32 KiB of the buffer that the log is written from.
    private var headers: Int {
        let bufferSize = Int(fields.big(320, as: UInt32.self))
        let isVersion2 = fields.big(8, as: UInt32.self) & 2 != 0
        guard isVersion2, bufferSize > Self.dataPerHeader else { return 1 }
        return (bufferSize + Self.dataPerHeader - 1) / Self.dataPerHeader
    }

    /// Tells whether this is, as a whole and of this log, an unmount's record at block `place` of round `round`.
    func isUnmount(at place: Int64, round: UInt32, of superblock: XFSSuperblock) -> Bool {
        let length = Int(fields.big(12, as: UInt32.self))
        let headers = headers
        guard length > 0, length <= 256 << 10, headers * 512 <= Self.maximumHeader,
            fields.count == headers * 512 + (length + 511) / 512 * 512
        else { return false }
        // Where it was written, up to where all before it is in place, and for whom.
        let own = UInt64(round) << 32 | UInt64(place)
        guard fields.big(16, as: UInt64.self) == own, fields.big(24, as: UInt64.self) <= own,
            superblock.logUUIDs.contains(Array(fields.part(304, 16)))
        else { return false }
        // The operation's header: transaction, length, client, flags.
        return fields.big(40, as: UInt32.self) == 1 && fields.byte(headers * 512 + 9) & Self.unmountFlag != 0
            && hasChecksum(headers: headers, length: length)
    }

    /// Tells whether the checksum is right where there is one: mkfs.xfs(8) and old kernels write none.
    private func hasChecksum(headers: Int, length: Int) -> Bool {
        let said: UInt32 = fields.little(32)
        if said == 0 { return true }
        // The first header as a C structure, of which 32-bit kernels leave off the padding at the end.
        return [328, 324].contains { size in
            var register = CRC32C.update(.max, fields.part(0, 32))
            register = CRC32C.update(register, [0, 0, 0, 0])
            register = CRC32C.update(register, fields.part(36, size - 36))
            // Of the others, as many as the data need: the round, and the words.
            for index in 1..<max((length + Self.dataPerHeader - 1) / Self.dataPerHeader, 1) where index < headers {
                register = CRC32C.update(register, fields.part(index * 512, 4 + 64 * 4))
            }
            return ~CRC32C.update(register, fields.part(headers * 512, length)) == said
        }
    }
}
