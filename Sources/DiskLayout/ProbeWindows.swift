// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Copies of the places where libblkid looks for signatures, as a trace of its reads shows them.
struct ProbeWindows {
    /// The copies, each with its first byte.
    private(set) var pieces: [(start: Int64, bytes: [UInt8])] = []
    private let source: any BlockSource

    /// Start of each place from the beginning, and its length: superblocks of 4 KiB and less, LUKS's second headers,
    /// UDF's anchors.
    private static let fromStart: [(Int64, Int)] =
        [(0, 72 << 10)] + [128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20].map { ($0, 4096) }
    /// Bytes at the end, of disks for firmware RAID, of others for md and NILFS2.
    private static let (atEndOfDisk, atEnd) = (132 << 10, 16 << 10)
    /// Distances from the end of a disk's last sectors where Promise's metadata may lie.
    private static let promise: [Int64] = [
        204_288, 302_592, 345_600, 376_320, 466_432, 486_912, 498_688, 507_392, 1_580_544,
    ]

    /// Copies what libblkid will read of `source`.
    init(of source: any BlockSource, isWholeDisk: Bool, withZFS: Bool) throws(BlockError) {
        self.source = source
        let length = source.lengthInBytes
        for (start, count) in Self.fromStart { try copy(start, count) }
        let atEnd = isWholeDisk ? Self.atEndOfDisk : Self.atEnd
        try copy(max(length - Int64(atEnd), 0), atEnd)
        if let old = MDSuperblock.place(of: .v0_90, length: length) { try copy(old, 4096) }
        if isWholeDisk {
            for distance in Self.promise where distance < length { try copy(length - distance, 512) }
            try copyWhatAnchorsName()
        }
        if withZFS {
            for label in Self.zfsLabels(length: length) { try copy(label, 256 << 10) }
        }
        try copyWhatBootSectorsName()
    }

    /// Returns the first bytes of the four labels that a ZFS device of `length` bytes has.
    static func zfsLabels(length: Int64) -> [Int64] {
        let size: Int64 = 256 << 10
        let end = length / size * size
        return end >= 4 * size ? [0, size, end - 2 * size, end - size] : []
    }

    private mutating func copy(_ start: Int64, _ count: Int) throws(BlockError) {
        let length = source.lengthInBytes
        guard start >= 0, start < length else { return }
        // Whole sectors: a source may know no others.
        let sector = Int64(max(source.logicalSectorSize, 512))
        let first = start / sector * sector
        let end = start + min(Int64(count), length - start)
        let last = end - end % sector <= length - sector && end % sector > 0 ? end - end % sector + sector : end
        pieces.append((first, try source.bytes(at: first, count: Int(last - first))))
    }

    /// Copies the header that DDF's anchor leads to, which lies in the last sector, or before a controller's own area.
    ///
    /// SNIA DDF 2.0, section 4.1: a signature, and at byte 96 the header's sector, big-endian.
    private mutating func copyWhatAnchorsName() throws(BlockError) {
        let end = source.lengthInBytes / 512 * 512
        for place in [end - 512, end - 257 * 512] where place > 0 {
            var anchor = Fields(try source.bytes(at: place, count: 512))
            anchor.isBigEndian = true
            let sector: UInt64 = anchor.integer(96)
            guard anchor.integer(0) == DDFMetadata.signature, sector < UInt64(Int64.max) / 512 else { continue }
            try copy(Int64(sector) * 512, 512)
        }
    }

    /// Copies a file table's or root folder's start, which boot sectors of NTFS, FAT and exFAT lead to.
    private mutating func copyWhatBootSectorsName() throws(BlockError) {
        guard let boot = pieces.first.map({ Fields($0.bytes.prefix(512)) }), boot.bytes.count == 512 else { return }
        if boot.text(3, 8) == "NTFS    " {
            try copyNTFSFileTable(boot)
        } else if boot.text(3, 8) == "EXFAT   " {
            let (sector, cluster) = (min(Int64(boot.bytes[108]), 12), min(Int64(boot.bytes[109]), 25))
            let (fat, heap) = (Int64(boot.integer(80, as: UInt32.self)), Int64(boot.integer(88, as: UInt32.self)))
            let root = Int64(boot.integer(96, as: UInt32.self))
            guard root >= 2 else { return }
            try copy((fat << sector) + root * 4, 4096)
            try copy((heap + ((root - 2) << cluster)) << sector, 64 << 10)
        } else {
            let sector = Int64(boot.integer(11, as: UInt16.self))
            let reserved = Int64(boot.integer(14, as: UInt16.self))
            let (copies, perCluster) = (Int64(boot.bytes[16]), Int64(boot.bytes[13]))
            guard [512, 1024, 2048, 4096].contains(sector), copies > 0, perCluster > 0 else { return }
            let short = Int64(boot.integer(22, as: UInt16.self))
            let data = (reserved + copies * (short > 0 ? short : Int64(boot.integer(36, as: UInt32.self)))) * sector
            if short > 0 {
                try copy(data, min(Int(boot.integer(17, as: UInt16.self)) * 32, 64 << 10))
            } else {
                let root = Int64(boot.integer(44, as: UInt32.self))
                guard root >= 2 else { return }
                try copy(reserved * sector + root * 4, 4096)
                try copy(data + (root - 2) * perCluster * sector, 64 << 10)
            }
        }
    }

    private mutating func copyNTFSFileTable(_ boot: Fields) throws(BlockError) {
        let sector = Int64(boot.integer(11, as: UInt16.self))
        // Above 128 the byte is the negative power of two.
        let raw = Int64(boot.bytes[13])
        let cluster = raw <= 128 ? raw * sector : sector << min(256 - raw, 16)
        let (start, isTooFar) = boot.integer(48, as: Int64.self).multipliedReportingOverflow(by: cluster)
        guard !isTooFar, start >= 0, start < source.lengthInBytes else { return }
        // The table's own record and that of the volume, the fourth; records take 4 KiB at most.
        try copy(start, 16 << 10)
    }
}
