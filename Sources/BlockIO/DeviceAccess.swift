// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Glibc
internal import SystemPackage

/// Whether the kernel lets anybody write to a block device.
public enum DeviceAccess {
    /// Sets the block device `path` read-only, or lets it be written again, and returns whether it was read-only before.
    ///
    /// Nothing on the medium changes. ioctl(2) BLKROGET, BLKROSET.
    /// - Throws: `BlockError` when it is no block device, or the kernel refuses.
    @discardableResult
    public static func set(readOnly: Bool, _ path: String) throws(BlockError) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw BlockError(.open, path, .system(.current)) }
        defer { close(descriptor) }
        var before: Int32 = 0
        if cl_block_get_read_only(descriptor, &before) != 0 { throw BlockError(.query, path, .system(.current)) }
        var value: Int32 = readOnly ? 1 : 0
        if cl_block_set_read_only(descriptor, &value) != 0 {
            throw BlockError(.setReadOnly, path, .system(.current))
        }
        return before != 0
    }
}
