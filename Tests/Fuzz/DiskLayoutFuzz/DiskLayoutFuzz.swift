// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CZlib
internal import DiskLayout
internal import FuzzSupport

/// Reads what lies on up to four disks: what libblkid finds, partition tables, md, LVM and firmware RAID, and whatever
/// lies on these.
///
/// What is found must lie within what it is found on, and be readable or say why not.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard var disks = SparseDisks(UnsafeRawBufferPointer(start: data, count: size)) else { return 0 }
    // Checksums left wrong are worth a look as well.
    if data[2] & 1 == 0 { disks.repairChecksums(crc) }
    let sources = disks.sources
    let serials = Dictionary(uniqueKeysWithValues: sources.indices.map { ("disk\($0)", "/dev/loop\($0)") })
    guard let layout = try? StorageLayout.read(sources, serials: serials, threads: 1) else { return 0 }
    for disk in layout.disks {
        for partition in disk.partitions {
            precondition(
                partition.partition.firstByte >= 0 && partition.partition.firstByte < disk.volume.source.lengthInBytes,
                "a partition behind its disk")
        }
    }
    for volume in layout.volumes {
        let length = volume.source.lengthInBytes
        precondition(length >= 0, "a volume of negative length")
        _ = try? volume.source.bytes(at: 0, count: Int(min(length, 8192)))
        _ = try? volume.source.bytes(at: max(length - 8192, 0), count: Int(min(length, 8192)))
        _ = try? volume.source.bytes(at: length / 2, count: Int(min(length - length / 2, 70_000)))
    }
    return 0
}

/// DDF's CRC-32: begun with zeros, and not inverted.
private func crc(_ bytes: [UInt8]) -> UInt32 {
    ~UInt32(truncatingIfNeeded: crc32(uLong(UInt32.max), bytes, uInt(bytes.count)))
}
