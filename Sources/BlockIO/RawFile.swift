// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc

/// A file descriptor for C libraries that read by themselves; closed with the last reference.
public final class RawFile: Sendable {
    /// The descriptor, which stays this object's.
    public let descriptor: Int32
    private let name: String

    /// Opens `path` read-only, through the page cache.
    ///
    /// open(2).
    /// - Throws: `BlockError` with the kernel's answer.
    public init(reading path: String) throws(BlockError) {
        name = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw BlockError(.open, path, .system(.current)) }
    }

    /// Makes a file of `length` zeros in memory, of which only what is written takes any.
    ///
    /// memfd_create(2).
    /// - Throws: `BlockError` with the kernel's answer.
    public init(inMemory name: String, length: Int64) throws(BlockError) {
        self.name = name
        descriptor = cl_memory_file("coldclone")
        guard descriptor >= 0 else { throw BlockError(.create, name, .system(.current)) }
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw BlockError(.resize, name, .system(.current)) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Writes all of `bytes` at `offset`; for files in memory.
    public func write(_ bytes: [UInt8], at offset: Int64) throws(BlockError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(
                    descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset) + off_t(done))
            }
            guard count > 0 else { throw BlockError(.write, name, .system(.current)) }
            done += count
        }
    }
}
