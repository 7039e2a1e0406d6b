// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import SystemPackage

/// A block device or a plain file, opened read-only.
///
/// Reads that are aligned to the sector size go past the page cache where `direct` asks for it and the file system
/// grants it; all others, and all reads elsewhere, go through it.
public final class FileSource: BlockSource {
    /// What messages call it: the path.
    public let name: String
    /// Length in bytes.
    public let lengthInBytes: Int64
    /// Smallest addressable unit in bytes.
    public let logicalSectorSize: Int
    /// Sector size of the medium in bytes.
    public let physicalSectorSize: Int
    /// Whether the path is a block device.
    public let isBlockDevice: Bool
    /// The device's number for a block device, else that of the device its file system is on.
    ///
    /// stat(2).
    public let deviceNumber: UInt64
    /// Inode number of the file or device node.
    ///
    /// stat(2).
    public let inodeNumber: UInt64

    private let buffered: FileDescriptor
    private let direct: FileDescriptor?

    /// For calls that take the file whose content is to be shared.
    var descriptorForSharing: Int32 { buffered.rawValue }

    /// Whether reads go past the page cache.
    public var isDirect: Bool { direct != nil }

    /// When to go past the page cache.
    public enum Direct: Sendable {
        case never, always
        /// For block devices: a disk that is read once gains nothing from the cache.
        case devices
    }

    /// The path itself, from its first byte.
    public var filePlace: FilePlace? { FilePlace(path: name, offset: 0) }

    /// Opens `path` read-only; a block device is set read-only in the kernel first when `protect` asks for it.
    ///
    /// Returns without side effects on the medium: `O_RDONLY`, no `O_EXCL`. open(2).
    /// - Throws: `BlockError` when it cannot be opened, or is neither a block device nor a plain file.
    public convenience init(
        _ path: String, direct: Direct = .devices, protect: Bool = false
    ) throws(BlockError) {
        try self.init(path, direct, protect) { flags throws(BlockError) in try Self.open(path, flags: flags) }
    }

    /// Opens the file `name` of `folder` read-only, never through a symbolic link.
    ///
    /// openat(2).
    /// - Throws: `BlockError` when it cannot be opened, or is neither a block device nor a plain file.
    public convenience init(_ name: String, in folder: PinnedFolder, direct: Direct) throws(BlockError) {
        try self.init("\(folder.path)/\(name)", direct, false) { flags throws(BlockError) in
            FileDescriptor(rawValue: try folder.open(file: name, flags: flags))
        }
    }

    private init(
        _ path: String, _ wanted: Direct, _ protect: Bool, opening: (Int32) throws(BlockError) -> FileDescriptor
    ) throws(BlockError) {
        name = path
        let descriptor = try opening(0)
        do throws(BlockError) {
            var status = stat()
            if fstat(descriptor.rawValue, &status) != 0 {
                throw BlockError(.query, path, .system(.current))
            }
            switch status.st_mode & S_IFMT {
            case S_IFBLK:
                isBlockDevice = true
                deviceNumber = UInt64(status.st_rdev)
                if protect { try Self.setReadOnly(descriptor, path) }
                let geometry = try Self.geometry(descriptor, path)
                (lengthInBytes, logicalSectorSize, physicalSectorSize) = geometry
            case S_IFREG:
                isBlockDevice = false
                deviceNumber = UInt64(status.st_dev)
                (lengthInBytes, logicalSectorSize, physicalSectorSize) = (Int64(status.st_size), 512, 512)
            default:
                throw BlockError(.open, path, .invalid("neither a block device nor a plain file"))
            }
            inodeNumber = UInt64(status.st_ino)
        } catch {
            try? descriptor.close()
            throw error
        }
        buffered = descriptor
        let wantsDirect = wanted == .always || (wanted == .devices && isBlockDevice)
        // A file system without O_DIRECT says EINVAL here: the page cache serves as well.
        direct = wantsDirect ? try? opening(cl_o_direct()) : nil
    }

    deinit {
        try? direct?.close()
        try? buffered.close()
    }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        var done = 0
        if let direct, isAligned(buffer, offset) {
            done = try readAll(direct, buffer, offset, from: 0)
        }
        if done < buffer.count {
            done = try readAll(buffered, buffer, offset, from: done)
        }
        if done < buffer.count {
            throw BlockError(.read, name, offset: offset, length: buffer.count, .unexpectedEnd)
        }
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        guard !isBlockDevice else { return Extent(offset: offset, length: lengthInBytes - offset, kind: .data) }
        guard let data = try seek(offset, cl_seek_data()) else {
            // Nothing but a hole to the end; but the end of a file that shrank is no hole.
            try checkStillWhole(offset)
            return Extent(offset: offset, length: lengthInBytes - offset, kind: .hole)
        }
        if data > offset {
            try checkStillWhole(offset)
            return Extent(offset: offset, length: min(data, lengthInBytes) - offset, kind: .hole)
        }
        let hole = try seek(offset, cl_seek_hole()) ?? lengthInBytes
        // A file that shrank meanwhile must not give an empty extent: the read will say what happened.
        return Extent(offset: offset, length: max(min(hole, lengthInBytes) - offset, 1), kind: .data)
    }

    /// Drops the file's clean pages from the page cache, so that the next read comes from the medium.
    ///
    /// A request to the kernel, which keeps pages that are in use. posix_fadvise(2).
    public func dropCache() {
        _ = posix_fadvise(buffered.rawValue, 0, 0, POSIX_FADV_DONTNEED)
    }

    /// Tells the kernel to read ahead generously.
    ///
    /// posix_fadvise(2).
    public func expectSequentialReads() {
        _ = posix_fadvise(buffered.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    private func isAligned(_ buffer: UnsafeMutableRawBufferPointer, _ offset: Int64) -> Bool {
        // The logical size is all that direct I/O asks for; a bad sector of 512 bytes is then no more than that.
        let mask = logicalSectorSize - 1
        return (Int(bitPattern: buffer.baseAddress) | buffer.count | Int(offset)) & mask == 0
    }

    /// Reads until `buffer` is full or the file ends, and returns how many of its bytes are filled.
    private func readAll(
        _ descriptor: FileDescriptor, _ buffer: UnsafeMutableRawBufferPointer, _ offset: Int64, from start: Int
    ) throws(BlockError) -> Int {
        var done = start
        while done < buffer.count {
            let rest = buffer.part(done, buffer.count - done)
            let result = retryingOnInterrupt {
                pread(descriptor.rawValue, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
            }
            switch result {
            case .success(0): return done
            case .success(let count): done += count
            case .failure(.invalidArgument) where descriptor != buffered:
                return done  // A tail that direct I/O will not take: the buffered descriptor goes on.
            case .failure(let errno):
                throw BlockError(
                    .read, name, offset: offset + Int64(done), length: buffer.count - done, .system(errno))
            }
        }
        return done
    }

    /// Returns where `whence` leads from `offset`, or nil when there is no data behind it.
    ///
    /// lseek(2).
    private func seek(_ offset: Int64, _ whence: Int32) throws(BlockError) -> Int64? {
        switch retryingOnInterrupt({ lseek(buffered.rawValue, off_t(offset), whence) }) {
        case .success(let position): return Int64(position)
        case .failure(.noSuchAddressOrDevice): return nil
        case .failure(.invalidArgument):
            // No SEEK_DATA here: everything is data.
            return whence == cl_seek_data() ? offset : lengthInBytes
        case .failure(let errno): throw BlockError(.seek, name, offset: offset, .system(errno))
        }
    }

    /// Checks that the file is as long as it was when it was opened: what is missing must never pass for zeros.
    private func checkStillWhole(_ offset: Int64) throws(BlockError) {
        var status = stat()
        if fstat(buffered.rawValue, &status) != 0 { throw BlockError(.query, name, .system(.current)) }
        guard Int64(status.st_size) >= lengthInBytes else {
            throw BlockError(.read, name, offset: max(offset, Int64(status.st_size)), .unexpectedEnd)
        }
    }

    private static func open(_ path: String, flags: Int32) throws(BlockError) -> FileDescriptor {
        let result = retryingOnInterrupt { Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags) }
        switch result {
        case .success(let raw): return FileDescriptor(rawValue: raw)
        case .failure(let errno): throw BlockError(.open, path, .system(errno))
        }
    }

    private static func setReadOnly(_ descriptor: FileDescriptor, _ path: String) throws(BlockError) {
        var isSet: Int32 = 0
        if cl_block_get_read_only(descriptor.rawValue, &isSet) == 0, isSet != 0 { return }
        var on: Int32 = 1
        if cl_block_set_read_only(descriptor.rawValue, &on) != 0 {
            throw BlockError(.setReadOnly, path, .system(.current))
        }
    }

    private static func geometry(
        _ descriptor: FileDescriptor, _ path: String
    ) throws(BlockError) -> (length: Int64, logical: Int, physical: Int) {
        var size: UInt64 = 0
        var logical: Int32 = 0
        var physical: UInt32 = 0
        guard cl_block_size_in_bytes(descriptor.rawValue, &size) == 0,
            cl_block_logical_sector_size(descriptor.rawValue, &logical) == 0,
            cl_block_physical_sector_size(descriptor.rawValue, &physical) == 0
        else { throw BlockError(.query, path, .system(.current)) }
        guard let length = Int64(exactly: size), logical >= 512, logical & (logical - 1) == 0 else {
            throw BlockError(.query, path, .invalid("the kernel reports \(size) bytes in sectors of \(logical)"))
        }
        return (length, Int(logical), max(Int(physical), Int(logical)))
    }
}
