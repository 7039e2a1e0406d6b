// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CExt2fs
internal import Glibc

/// What libext2fs reads a volume through: an `io_manager` of ours that knows no way to write.
///
/// One thread at a time uses it, by the reader's lock.
final class ExtChannel {
    /// Bytes that one call of the library may read: its bound on loops in a damaged file system.
    static let budgetOfACall: Int64 = 512 << 20

    private let volume: VolumeBytes
    private var blockSize: Int64 = 1024
    /// Bytes that the call under way may still read.
    private var budget: Int64 = 0
    /// Why a read failed last: the library only passes numbers on.
    private(set) var failure: BlockError?

    init(_ volume: VolumeBytes) { self.volume = volume }

    /// Makes ready for the next call of the library.
    func beginCall() {
        budget = Self.budgetOfACall
        failure = nil
    }

    /// Reads `count` blocks, or minus `count` bytes, from `block` on: what `io_channel_read_blk64` asks for.
    private func read(_ block: UInt64, _ count: Int32, _ data: UnsafeMutableRawPointer?) -> errcode_t {
        let length = count < 0 ? -Int64(count) : Int64(count) * blockSize
        let (offset, overflow) = block.multipliedReportingOverflow(by: UInt64(blockSize))
        guard !overflow, let offset = Int64(exactly: offset), let data else { return Int(EXT2_ET_SHORT_READ) }
        budget -= max(length, 512)
        guard budget >= 0 else { return Int(EXT2_ET_CANCEL_REQUESTED) }
        do throws(BlockError) {
            try volume.read(into: UnsafeMutableRawBufferPointer(start: data, count: Int(length)), at: offset)
            return 0
        } catch {
            failure = error
            return Int(EXT2_ET_SHORT_READ)
        }
    }

    private static func of(_ channel: io_channel?) -> ExtChannel? {
        guard let pointer = channel?.pointee.private_data else { return nil }
        return Unmanaged<ExtChannel>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// The text that stands for `self` where the library wants a device's name.
    var nameForLibrary: String { String(UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque())) }

    /// Makes the table of functions; it must outlive the file system that is opened with it.
    static func makeManager() -> io_manager {
        let manager = io_manager.allocate(capacity: 1)
        manager.initialize(to: struct_io_manager())
        manager.pointee.magic = errcode_t(EXT2_ET_MAGIC_IO_MANAGER)
        manager.pointee.open = { name, _, result in
            guard let name, let result, let address = UInt(String(cString: name)),
                let object = UnsafeMutableRawPointer(bitPattern: address),
                let channel = calloc(1, MemoryLayout<struct_io_channel>.size)?
                    .bindMemory(to: struct_io_channel.self, capacity: 1)
            else { return errcode_t(EXT2_ET_NO_MEMORY) }
            let owner = Unmanaged<ExtChannel>.fromOpaque(object).takeUnretainedValue()
            channel.pointee.magic = errcode_t(EXT2_ET_MAGIC_IO_CHANNEL)
            channel.pointee.manager = ExtReader.manager.pointer
            channel.pointee.block_size = 1024
            channel.pointee.refcount = 1
            channel.pointee.private_data = object
            owner.blockSize = 1024
            result.pointee = channel
            return 0
        }
        manager.pointee.close = { channel in
            guard let channel else { return 0 }
            channel.pointee.refcount -= 1
            if channel.pointee.refcount <= 0 { free(channel) }
            return 0
        }
        manager.pointee.set_blksize = { channel, size in
            guard size > 0, size <= 64 << 10 else { return errcode_t(EXT2_ET_INVALID_ARGUMENT) }
            channel?.pointee.block_size = size
            ExtChannel.of(channel)?.blockSize = Int64(size)
            return 0
        }
        manager.pointee.read_blk = { ExtChannel.of($0)?.read(UInt64($1), $2, $3) ?? errcode_t(EXT2_ET_SHORT_READ) }
        manager.pointee.read_blk64 = { ExtChannel.of($0)?.read($1, $2, $3) ?? errcode_t(EXT2_ET_SHORT_READ) }
        manager.pointee.write_blk = { _, _, _, _ in errcode_t(EXT2_ET_RO_FILSYS) }
        manager.pointee.write_blk64 = { _, _, _, _ in errcode_t(EXT2_ET_RO_FILSYS) }
        manager.pointee.write_byte = { _, _, _, _ in errcode_t(EXT2_ET_RO_FILSYS) }
        manager.pointee.flush = { _ in 0 }
        return manager
    }
}
