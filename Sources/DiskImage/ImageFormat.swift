// SPDX-License-Identifier: GPL-3.0-or-later

/// How an image file stores a disk.
public enum ImageFormat: String, Sendable, Hashable, CaseIterable {
    /// The disk's bytes at their own offsets, zeros as holes.
    case raw
    /// QEMU's format, version 2 or 3. qemu docs/interop/qcow2.
    case qcow2
}

/// How the clusters of a qcow2 image are compressed.
public enum ImageCompression: String, Sendable, Hashable, CaseIterable {
    /// Not at all.
    case none
    /// Raw deflate, which qcow2 calls zlib. RFC 1951.
    case zlib
    /// Zstandard. RFC 8878.
    case zstd
}
