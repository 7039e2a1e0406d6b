// SPDX-License-Identifier: GPL-3.0-or-later

/// The first cluster of an image we write: version 3, 16-bit refcounts, no extensions but the end mark.
///
/// Big-endian.
///
///     offset size  field
///          0    4  magic, "QFI" and 0xfb
///          4    4  version: 3
///          8   12  backing file: none
///         20    4  cluster bits
///         24    8  length of the disk in bytes
///         32    4  encryption: none
///         36    4  number of L1 entries
///         40    8  offset of the L1 table
///         48    8  offset of the refcount table
///         56    4  number of clusters of the refcount table
///         60   12  snapshots: none
///         72    8  incompatible features: bit 3 with zstd
///         80   16  compatible and autoclear features: none
///         96    4  log2 of the bits a refcount: 4
///        100    4  header length: 112
///        104    1  compression type: 0 zlib, 1 zstd
///        105    7  padding
///        112    8  end of the header extensions
struct Qcow2HeaderBytes {
    var clusterBits: Int
    var diskLength: Int64
    var l1Entries: Int
    var l1Offset: Int64
    var refcountTableOffset: Int64
    var refcountTableClusters: Int
    var isZstd: Bool

    /// The bytes of the whole cluster.
    var cluster: [UInt8] {
        var bytes: [UInt8] = []
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
        }
        append(Qcow2Layout.magic)
        append(UInt32(3))
        append(UInt64(0))
        append(UInt32(0))
        append(UInt32(clusterBits))
        append(UInt64(diskLength))
        append(UInt32(0))
        append(UInt32(l1Entries))
        append(UInt64(l1Offset))
        append(UInt64(refcountTableOffset))
        append(UInt32(refcountTableClusters))
        append(UInt32(0))
        append(UInt64(0))
        append(isZstd ? Qcow2Layout.compressionTypeFeature : 0)
        append(UInt64(0))
        append(UInt64(0))
        append(UInt32(4))
        append(UInt32(112))
        append(UInt8(isZstd ? 1 : 0))
        return bytes + [UInt8](repeating: 0, count: (1 << clusterBits) - bytes.count)
    }
}
