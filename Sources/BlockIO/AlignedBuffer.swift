// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Memory for direct I/O, aligned to 4096 bytes; owned, freed with the last reference.
///
/// One thread at a time may touch the bytes: whoever holds the buffer keeps to that.
public final class AlignedBuffer: @unchecked Sendable {
    /// Alignment of the first byte, which satisfies every sector size in use.
    ///
    /// open(2), O_DIRECT.
    public static let alignment = 4096

    /// The bytes.
    public let bytes: UnsafeMutableRawBufferPointer

    /// Allocates `count` bytes; their content is undefined.
    public init(count: Int) {
        bytes = .allocate(byteCount: max(count, 1), alignment: Self.alignment)
    }

    deinit { bytes.deallocate() }

    /// Returns the first `count` bytes; the range must lie within the buffer.
    public func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[0..<count])
    }
}

extension UnsafeRawBufferPointer {
    /// Tells whether every byte is zero, at the speed of the C library's `memcmp`.
    public var isAllZero: Bool {
        guard let base = baseAddress, count > 0 else { return true }
        let head = Swift.min(count, 16)
        for index in 0..<head where self[index] != 0 { return false }
        // Equal to itself shifted by 16 bytes, of which the first are zero: all are.
        return count <= 16 || memcmp(base, base + 16, count - 16) == 0
    }

    /// Tells whether both hold the same bytes, at the speed of the C library's `memcmp`.
    public func isSame(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard count > 0, let mine = baseAddress, let theirs = other.baseAddress else { return true }
        return memcmp(mine, theirs, count) == 0
    }

    /// Returns `count` bytes from `offset` as a buffer of its own; the range must lie within this one.
    public func part(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self[offset..<offset + count])
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Returns `count` bytes from `offset` as a buffer of its own; the range must lie within this one.
    public func part(_ offset: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: self[offset..<offset + count])
    }

    /// Sets every byte to zero.
    public func clear() {
        guard let baseAddress else { return }
        memset(baseAddress, 0, count)
    }
}
