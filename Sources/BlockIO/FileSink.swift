// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import SystemPackage

/// A new file on the target.
///
/// It is created, never opened over an existing one.
public final class FileSink: BlockSink {
    /// What messages call it: the path.
    public let name: String
    private let descriptor: FileDescriptor
    /// For what is aligned, when the page cache is to be passed by and the file system grants that.
    private let direct: FileDescriptor?

    /// Whether aligned writes go past the page cache.
    public var isDirect: Bool { direct != nil }

    /// Creates `path` for this user alone; a file that exists is refused.
    ///
    /// open(2), `O_EXCL`.
    ///
    /// - Throws: `BlockError` with the kernel's answer.
    public init(creating path: String, direct wantsDirect: Bool = false) throws(BlockError) {
        name = path
        let flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC
        switch retryingOnInterrupt({ Glibc.open(path, flags, mode_t(0o644)) }) {
        case .success(let raw): descriptor = FileDescriptor(rawValue: raw)
        case .failure(let errno): throw BlockError(.create, path, .system(errno))
        }
        // The file just created, whatever its name means by now. A file system without O_DIRECT says EINVAL here: the
        // page cache serves as well.
        let sameFile = "/proc/self/fd/\(descriptor.rawValue)"
        let second = wantsDirect ? Glibc.open(sameFile, O_WRONLY | O_CLOEXEC | cl_o_direct()) : -1
        direct = second >= 0 ? FileDescriptor(rawValue: second) : nil
    }

    deinit {
        try? direct?.close()
        try? descriptor.close()
    }

    /// Writes all of `buffer` at `offset`.
    public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
        if let direct, isAligned(buffer, offset), try writeAll(direct, buffer, offset) { return }
        _ = try writeAll(descriptor, buffer, offset)
        // Write-back begins at once: the final fsync is then short, and the progress shown is the truth.
        _ = cl_start_writeback(descriptor.rawValue, offset, Int64(buffer.count))
    }

    /// Tells whether a write meets the strictest alignment in use, that of 4096-byte sectors.
    private func isAligned(_ buffer: UnsafeRawBufferPointer, _ offset: Int64) -> Bool {
        (Int(bitPattern: buffer.baseAddress) | buffer.count | Int(offset)) & (AlignedBuffer.alignment - 1) == 0
    }

    /// Writes all of `buffer`; false when the descriptor is direct and the file system will not have it after all.
    private func writeAll(
        _ descriptor: FileDescriptor, _ buffer: UnsafeRawBufferPointer, _ offset: Int64
    ) throws(BlockError) -> Bool {
        var done = 0
        while done < buffer.count {
            let rest = buffer.part(done, buffer.count - done)
            let result = retryingOnInterrupt {
                pwrite(descriptor.rawValue, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
            }
            switch result {
            case .success(0): throw BlockError(.write, name, offset: offset, length: rest.count, .system(.noSpace))
            case .success(let count): done += count
            case .failure(.invalidArgument) where descriptor != self.descriptor: return false
            case .failure(let errno):
                throw BlockError(
                    .write, name, offset: offset + Int64(done), length: rest.count, .system(errno))
            }
        }
        return true
    }

    /// Fills `buffer` with what was written at `offset`; zeros behind the file's end.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        var done = 0
        while done < buffer.count {
            let rest = buffer.part(done, buffer.count - done)
            let result = retryingOnInterrupt {
                pread(descriptor.rawValue, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
            }
            switch result {
            case .success(0): return rest.clear()
            case .success(let count): done += count
            case .failure(let errno):
                throw BlockError(.read, name, offset: offset + Int64(done), length: rest.count, .system(errno))
            }
        }
    }

    /// Sets the file's length in bytes.
    public func setLength(_ lengthInBytes: Int64) throws(BlockError) {
        if case .failure(let errno) = retryingOnInterrupt({ ftruncate(descriptor.rawValue, off_t(lengthInBytes)) }) {
            throw BlockError(.resize, name, offset: lengthInBytes, .system(errno))
        }
    }

    /// Returns when everything written is on stable storage.
    public func synchronize() throws(BlockError) {
        if case .failure(let errno) = retryingOnInterrupt({ fsync(descriptor.rawValue) }) {
            throw BlockError(.synchronize, name, .system(errno))
        }
    }

    /// Closes the file and reports what the close found out.
    public func close() throws(BlockError) {
        // On Linux the descriptor is gone even when close fails, so deinit must not close it again: dup it away.
        let copy = dup(descriptor.rawValue)
        guard copy >= 0 else { throw BlockError(.close, name, .system(.current)) }
        if Glibc.close(copy) != 0 { throw BlockError(.close, name, .system(.current)) }
    }
}
