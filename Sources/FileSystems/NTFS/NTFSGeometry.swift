// SPDX-License-Identifier: GPL-3.0-or-later

/// Sizes and places of an NTFS volume, as its boot sector gives them.
struct NTFSGeometry: Sendable {
    /// What messages call the volume.
    let volume: String
    let sectorSize: Int64
    let clusterSize: Int64
    let clusterCount: Int64
    /// Bytes of a record of the master file table.
    let recordSize: Int
    /// Where the master file table begins.
    let tableCluster: Int64
    /// Where the copy of its first records begins.
    let mirrorCluster: Int64

    /// Bytes that clusters cover: the copy of the boot sector lies behind them.
    var lengthInBytes: Int64 { clusterCount * clusterSize }

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        guard let sector = try bytes.fieldsIfPresent(at: 0, count: 512), NTFSBootSector.isPresent(sector) else {
            throw FileSystemError(bytes.name, .damaged("there is no NTFS boot sector"))
        }
        volume = bytes.name
        let size = Int64(sector.little(11, as: UInt16.self))
        guard [512, 1024, 2048, 4096].contains(size), let perCluster = Self.sectorsPerCluster(sector.byte(13)),
            perCluster * size <= 2 << 20
        else { throw FileSystemError(bytes.name, .damaged("its sector or cluster size")) }
        sectorSize = size
        clusterSize = perCluster * size
        clusterCount = Int64(clamping: sector.little(40, as: UInt64.self)) / perCluster
        guard clusterCount > 0, clusterCount <= bytes.lengthInBytes / clusterSize else {
            throw FileSystemError(bytes.name, .damaged("its clusters do not fit the volume"))
        }
        // Clusters a record, or below zero the power of two in bytes.
        let record = Int64(sector.little(64, as: Int8.self))
        recordSize = record > 0 ? Int(record * clusterSize) : record > -17 ? 1 << Int(-record) : 0
        guard [512, 1024, 2048, 4096, 8192, 16384].contains(recordSize) else {
            throw FileSystemError(bytes.name, .damaged("the size of its MFT records"))
        }
        tableCluster = Int64(clamping: sector.little(48, as: UInt64.self))
        mirrorCluster = Int64(clamping: sector.little(56, as: UInt64.self))
        guard tableCluster > 0, tableCluster < clusterCount, mirrorCluster > 0, mirrorCluster < clusterCount else {
            throw FileSystemError(bytes.name, .damaged("its MFT lies outside"))
        }
    }

    /// Decodes the boot sector's byte: a power of two, or below zero its exponent.
    private static func sectorsPerCluster(_ byte: UInt8) -> Int64? {
        if byte > 0x80 { return byte >= 0xf4 ? 1 << (0x100 - Int64(byte)) : nil }
        return byte > 0 && byte & (byte - 1) == 0 ? Int64(byte) : nil
    }

    /// Returns the bytes of `length` clusters from `cluster`, which lie within.
    func bytes(_ cluster: Int64, _ length: Int64) -> Range<Int64> {
        cluster * clusterSize..<(cluster + length) * clusterSize
    }

    /// Makes an error of a record.
    func damaged(_ record: UInt64, _ what: String) -> FileSystemError {
        FileSystemError(volume, file: "MFT record \(record)", .damaged(what))
    }
}
