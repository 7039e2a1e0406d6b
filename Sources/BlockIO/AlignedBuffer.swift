// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Memory for direct I/O, aligned to 4096 bytes; owned, freed with the last reference.
///
/// From 2 MiB on it lies in huge pages where the kernel has some: what is contiguous takes few segments of a request,
/// while small pages that lie anywhere cut it into pieces of a controller's maximum, at half the speed or less.
///
/// One thread at a time may touch the bytes: whoever holds the buffer keeps to that.
public final class AlignedBuffer: @unchecked Sendable {
    /// Alignment of the first byte, which satisfies every sector size in use.
    ///
    /// open(2), O_DIRECT.
    public static let alignment = 4096

    private static let hugePage = 2 << 20

    /// The bytes.
    public let bytes: UnsafeMutableRawBufferPointer
    /// What was mapped for them; nil for memory of the heap.
    private let mapping: UnsafeMutableRawBufferPointer?

    /// Allocates `count` bytes; their content is undefined.
    ///
    /// madvise(2), `MADV_HUGEPAGE`.
    public init(count: Int) {
        mapping = count >= Self.hugePage ? Self.map(count + Self.hugePage) : nil
        guard let mapping, let base = mapping.baseAddress else {
            bytes = .allocate(byteCount: max(count, 1), alignment: Self.alignment)
            return
        }
        let first = base.alignedUp(toMultipleOf: Self.hugePage)
        // Pages that are no huge ones serve as well.
        _ = madvise(first, count, MADV_HUGEPAGE)
        bytes = UnsafeMutableRawBufferPointer(start: first, count: count)
    }

    deinit {
        if let mapping { munmap(mapping.baseAddress, mapping.count) } else { bytes.deallocate() }
    }

    /// Maps memory that is the process's own, so that what is freed is the system's again at once; nil when refused.
    ///
    /// mmap(2).
    private static func map(_ count: Int) -> UnsafeMutableRawBufferPointer? {
        let start = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let start, start != MAP_FAILED else { return nil }
        return UnsafeMutableRawBufferPointer(start: start, count: count)
    }

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
