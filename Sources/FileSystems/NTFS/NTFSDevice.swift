// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CNTFS
internal import Glibc

/// What libntfs-3g reads a volume through: device operations of ours that answer every write with EROFS.
///
/// One thread at a time uses it, by the reader's lock.
final class NTFSDevice {
    /// Bytes that one call of the library may read: its bound on loops in a damaged file system.
    private static let budgetOfACall: Int64 = 512 << 20

    private let volume: VolumeBytes
    private var position: Int64 = 0
    private var budget: Int64 = 0
    /// Why a read failed last: the library only passes numbers on.
    private(set) var failure: BlockError?

    init(_ volume: VolumeBytes) { self.volume = volume }

    /// Makes ready for the next call of the library.
    func beginCall() {
        budget = Self.budgetOfACall
        failure = nil
    }

    private func read(_ buffer: UnsafeMutableRawPointer?, _ count: Int64, at offset: Int64) -> Int64 {
        guard let buffer, count >= 0, offset >= 0, offset <= volume.lengthInBytes else { return Self.fail(EINVAL) }
        let length = min(count, volume.lengthInBytes - offset)
        budget -= max(length, 512)
        guard budget >= 0 else { return Self.fail(ELOOP) }
        do throws(BlockError) {
            try volume.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: Int(length)), at: offset)
            return length
        } catch {
            failure = error
            return Self.fail(EIO)
        }
    }

    private static func fail(_ code: Int32) -> Int64 {
        errno = code
        return -1
    }

    private static func of(_ device: UnsafeMutablePointer<ntfs_device>?) -> NTFSDevice? {
        guard let pointer = device?.pointee.d_private else { return nil }
        return Unmanaged<NTFSDevice>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Makes the library's device; freed by the library when it is unmounted.
    func makeDevice() -> UnsafeMutablePointer<ntfs_device>? {
        ntfs_device_alloc(
            "volume", 0, Self.operations.pointer, Unmanaged.passUnretained(self).toOpaque())
    }

    private struct Operations: @unchecked Sendable { let pointer: UnsafeMutablePointer<ntfs_device_operations> }

    private static let operations: Operations = {
        cn_silence()
        let pointer = UnsafeMutablePointer<ntfs_device_operations>.allocate(capacity: 1)
        pointer.initialize(to: ntfs_device_operations())
        pointer.pointee.open = { device, _ in
            cn_set_open(device)
            return 0
        }
        pointer.pointee.close = { device in
            cn_clear_open(device)
            return 0
        }
        pointer.pointee.seek = { device, offset, whence in
            guard let self = NTFSDevice.of(device) else { return NTFSDevice.fail(EINVAL) }
            let base: Int64 = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? self.position : self.volume.lengthInBytes
            let (place, overflow) = base.addingReportingOverflow(offset)
            guard !overflow, place >= 0, place <= self.volume.lengthInBytes else { return NTFSDevice.fail(EINVAL) }
            self.position = place
            return place
        }
        pointer.pointee.read = { device, buffer, count in
            guard let self = NTFSDevice.of(device) else { return NTFSDevice.fail(EINVAL) }
            let length = self.read(buffer, count, at: self.position)
            if length > 0 { self.position += length }
            return length
        }
        pointer.pointee.pread = { device, buffer, count, offset in
            NTFSDevice.of(device)?.read(buffer, count, at: offset) ?? NTFSDevice.fail(EINVAL)
        }
        pointer.pointee.write = { _, _, _ in NTFSDevice.fail(EROFS) }
        pointer.pointee.pwrite = { _, _, _, _ in NTFSDevice.fail(EROFS) }
        pointer.pointee.sync = { _ in 0 }
        pointer.pointee.stat = { device, status in
            guard let self = NTFSDevice.of(device), let status else { return -1 }
            status.pointee = stat()
            status.pointee.st_mode = S_IFREG
            status.pointee.st_size = Int(self.volume.lengthInBytes)
            return 0
        }
        pointer.pointee.ioctl = { _, _, _ in Int32(NTFSDevice.fail(EOPNOTSUPP)) }
        return Operations(pointer: pointer)
    }()
}
