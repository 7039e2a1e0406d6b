// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import Synchronization
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
    private let isLocked = Atomic<Bool>(false)
    /// Held by who writes through the page cache.
    private let turn = Monitor(())

    /// Whether aligned writes go past the page cache.
    public var isDirect: Bool { direct != nil }

    /// Creates `path` for this user alone; a file that exists is refused.
    ///
    /// open(2), `O_EXCL`.
    ///
    /// - Throws: `BlockError` with the kernel's answer.
    public convenience init(creating path: String, direct: Bool = false) throws(BlockError) {
        try self.init(path, flags: O_CREAT | O_EXCL, .create, direct: direct)
    }

    /// Opens the plain file `path` of an earlier run to go on with it; a symbolic link is refused.
    ///
    /// open(2), `O_NOFOLLOW`.
    ///
    /// - Throws: `BlockError` with the kernel's answer.
    public convenience init(resuming path: String, direct: Bool = false) throws(BlockError) {
        try self.init(path, flags: O_NOFOLLOW | O_NONBLOCK, .open, direct: direct)
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BlockError(.open, path, .invalid("it is no plain file"))
        }
    }

    private init(
        _ path: String, flags: Int32, _ operation: BlockError.Operation, direct wantsDirect: Bool
    ) throws(BlockError) {
        name = path
        switch retryingOnInterrupt({ Glibc.open(path, O_RDWR | O_CLOEXEC | flags, mode_t(0o644)) }) {
        case .success(let raw): descriptor = FileDescriptor(rawValue: raw)
        case .failure(let errno): throw BlockError(operation, path, .system(errno))
        }
        // The file just created, whatever its name means by now. A file system without O_DIRECT says EINVAL here: the
        // page cache serves as well.
        let sameFile = "/proc/self/fd/\(descriptor.rawValue)"
        let second = wantsDirect ? Glibc.open(sameFile, O_WRONLY | O_CLOEXEC | cl_o_direct()) : -1
        direct = second >= 0 ? FileDescriptor(rawValue: second) : nil
    }

    deinit {
        // A child that is just being started shares the lock until it runs its program: closing alone would leave it.
        if isLocked.load(ordering: .relaxed) { flock(descriptor.rawValue, LOCK_UN) }
        try? direct?.close()
        try? descriptor.close()
    }

    /// Keeps others from going on with the same file, until this one is closed; false when somebody is at it already.
    ///
    /// flock(2).
    public func lock() -> Bool {
        guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else { return false }
        isLocked.store(true, ordering: .relaxed)
        return true
    }

    /// Length of the file in bytes.
    public func length() throws(BlockError) -> Int64 {
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw BlockError(.query, name, .system(.current)) }
        return Int64(status.st_size)
    }

    /// Writes all of `buffer` at `offset`.
    public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
        if let direct, isAligned(buffer, offset), try writeAll(direct, buffer, offset) { return }
        try writeCached(buffer, offset)
        // Write-back begins at once: the final fsync is then short, and the progress shown is the truth.
        _ = cl_start_writeback(descriptor.rawValue, offset, Int64(buffer.count))
    }

    /// Writes through the page cache, one thread at a time: the kernel lets no more into a file, and keeps the others
    /// spinning on a processor that has better things to do.
    private func writeCached(_ buffer: UnsafeRawBufferPointer, _ offset: Int64) throws(BlockError) {
        var failure: BlockError?
        turn.update { _ in
            do throws(BlockError) { _ = try writeAll(descriptor, buffer, offset) } catch { failure = error }
            return false
        }
        if let failure { throw failure }
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
            case .failure(.notSupported) where descriptor != self.descriptor: return false
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

    /// Makes `count` bytes at `offset` those at byte `place` of `source`, on the target alone: they share storage, or the
    /// NFS server copies them.
    ///
    /// ioctl(2) `FICLONERANGE`; copy_file_range(2) only on NFS, as elsewhere it saves nothing.
    /// - Throws: `BlockError` where the target cannot do that; nothing is changed then, or part of the range.
    public func share(_ source: FileSource, from place: Int64, count: Int, at offset: Int64) throws(BlockError) {
        let from = source.descriptorForSharing
        let cloned = retryingOnInterrupt { cl_clone_range(descriptor.rawValue, offset, from, place, Int64(count)) }
        guard case .failure(let refusal) = cloned else { return }
        var done = 0
        while cl_is_on_nfs(descriptor.rawValue) != 0, done < count {
            let result = retryingOnInterrupt {
                cl_copy_file_range(descriptor.rawValue, offset + Int64(done), from, place + Int64(done), count - done)
            }
            guard case .success(let copied) = result, copied > 0 else { break }
            done += Int(copied)
        }
        guard done == count else { throw BlockError(.write, name, offset: offset, length: count, .system(refusal)) }
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
