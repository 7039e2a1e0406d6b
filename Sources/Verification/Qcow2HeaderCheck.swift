// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// Holds a qcow2 image's first cluster against the manifest, so that no header of a later hand passes.
struct Qcow2HeaderCheck {
    /// Cluster sizes of the format as powers of two: qemu docs/interop/qcow2, cluster_bits.
    private static let clusterBits = 9...21

    let file: FileSource
    let record: ImageRecord

    /// Calls `report` with each thing that is wrong.
    func run(_ report: (Problem.Kind, String) -> Void) {
        guard let size = record.clusterSizeInBytes, let bits = Self.clusterBits.first(where: { 1 << $0 == size }),
            let digest = record.headerDigest
        else {
            report(.manifest, "the manifest gives \(record.file) no possible cluster size, or no header digest")
            return
        }
        guard ImageCompression(rawValue: record.compression) != nil else {
            report(.manifest, "the manifest gives \(record.file) an unknown compression")
            return
        }
        guard file.lengthInBytes >= Int64(size) else {
            report(.image, "\(record.file) is shorter than its header")
            return
        }
        do throws(BlockError) {
            let header = try file.bytes(at: 0, count: size)
            if Digest(of: header) != digest {
                report(.image, "the header of \(record.file), its first \(size) bytes, is not what was written")
            }
            // Byte 20: cluster_bits. Byte 104: compression type, 1 is zstd, of headers that are long enough.
            let fields = header.withUnsafeBytes { bytes in
                let length: UInt32 = bytes.bigEndian(at: 100) ?? 0
                return (bits: bytes.bigEndian(at: 20, as: UInt32.self), isZstd: length > 104 && bytes[104] == 1)
            }
            if fields.bits != UInt32(bits) {
                report(.image, "\(record.file) has clusters of another size than the manifest says")
            }
            if fields.isZstd != (record.compression == ImageCompression.zstd.rawValue) {
                report(.image, "\(record.file) is compressed in another way than the manifest says")
            }
        } catch {
            report(.unreadable, error.description)
        }
    }
}
