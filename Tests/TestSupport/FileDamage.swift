// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Damage to files in place, as a failing disk or a careless hand does it.
public enum FileDamage {
    /// Inverts the bits of `mask` in byte `offset`.
    public static func flip(_ path: String, at offset: Int64, mask: UInt8 = 1) throws {
        var bytes = try read(path, offset, 1)
        bytes[0] ^= mask
        try write(path, offset, bytes)
    }

    /// Exchanges the `count` bytes at `first` and at `second`.
    public static func swap(_ path: String, _ first: Int64, _ second: Int64, count: Int) throws {
        let (one, other) = (try read(path, first, count), try read(path, second, count))
        try write(path, first, other)
        try write(path, second, one)
    }

    /// Sets the file's length.
    public static func truncate(_ path: String, to length: Int64) throws {
        guard Glibc.truncate(path, off_t(length)) == 0 else { throw ToolError("truncate \(path): errno \(errno)") }
    }

    private static func read(_ path: String, _ offset: Int64, _ count: Int) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        guard pread(descriptor, &bytes, count, off_t(offset)) == count else {
            throw ToolError("cannot read \(path) at byte \(offset): errno \(errno)")
        }
        return bytes
    }

    private static func write(_ path: String, _ offset: Int64, _ bytes: [UInt8]) throws {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        guard pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count else {
            throw ToolError("cannot write \(path) at byte \(offset): errno \(errno)")
        }
    }
}
