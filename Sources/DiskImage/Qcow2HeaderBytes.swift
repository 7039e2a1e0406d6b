// SPDX-License-Identifier: GPL-3.0-or-later

/// The first cluster of an image we write: version 3, 16-bit refcounts, no extensions but the end mark and, in an
/// overlay, the format of its backing file.
///
/// Big-endian.
///
///     offset size  field
///          0    4  magic, "QFI" and 0xfb
///          4    4  version: 3
///          8    8  offset of the backing file's name; 0 for none
///         16    4  length of that name
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
///        112    …  in an overlay: extension 0xe2792aca, its length, the backing file's format, padded to 8 bytes
///               8  end of the header extensions
///               …  in an overlay: the backing file's name
struct Qcow2HeaderBytes {
    var clusterBits: Int
    var diskLength: Int64
    var l1Entries: Int
    var l1Offset: Int64
    var refcountTableOffset: Int64
    var refcountTableClusters: Int
    var isZstd: Bool
    var backing: BackingName?

    /// The extensions' bytes, the end mark included.
    private var extensions: [UInt8] {
        guard let backing else { return [UInt8](repeating: 0, count: 8) }
        let format = Array(backing.format.rawValue.utf8)
        var bytes: [UInt8] = []
        for word in [Qcow2Layout.backingFormatExtension, UInt32(format.count)] {
            withUnsafeBytes(of: word.bigEndian) { bytes += $0 }
        }
        bytes += format + [UInt8](repeating: 0, count: (8 - format.count % 8) % 8)
        return bytes + [UInt8](repeating: 0, count: 8)
    }

    /// Whether header, extensions and name fit into the first cluster.
    var fits: Bool {
        Self.headerLength + extensions.count + (backing?.file.utf8.count ?? 0) <= 1 << clusterBits
            && (1...BackingName.maximumLength).contains(backing?.file.utf8.count ?? 1)
    }

    private static let headerLength = 112

    /// The bytes of the whole cluster.
    var cluster: [UInt8] {
        var bytes: [UInt8] = []
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
        }
        append(Qcow2Layout.magic)
        append(UInt32(3))
        let name = Array((backing?.file ?? "").utf8)
        let extensions = extensions
        append(UInt64(name.isEmpty ? 0 : Self.headerLength + extensions.count))
        append(UInt32(name.count))
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
        append(UInt32(Self.headerLength))
        append(UInt8(isZstd ? 1 : 0))
        bytes += [UInt8](repeating: 0, count: Self.headerLength - bytes.count) + extensions + name
        return bytes + [UInt8](repeating: 0, count: max((1 << clusterBits) - bytes.count, 0))
    }
}
