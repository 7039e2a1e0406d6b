// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CBlkid

/// What libblkid finds on a volume.
public struct ContentSignature: Sendable, Hashable {
    /// TYPE: `ext4`; nil where nothing is known, or several are.
    public var type: String?
    /// USAGE: `filesystem`, `raid`, `crypto`, `other`.
    public var usage: String?
    /// VERSION.
    public var version: String?
    /// UUID.
    public var uuid: String?
    /// LABEL.
    public var label: String?
    /// All types whose signature is there, when there is more than one.
    public var ambivalent: [String] = []

    /// Makes one of nothing.
    public init() {}
}

/// Asks libblkid what lies on a volume; ambiguity is reported, not guessed away.
///
/// libblkid reads by itself, without read-ahead. What has no file of its own, such as a logical volume, is shown to it as
/// a sparse memory file that holds the places where it looks. memfd_create(2), blkid_do_safeprobe.
public enum ContentProbe {
    /// Most signatures of one volume that are collected.
    private static let maximumSignatures = 32

    /// Returns what is on `source`.
    ///
    /// - Throws: `BlockError` when it cannot be read.
    public static func signature(of source: any BlockSource) throws(BlockError) -> ContentSignature {
        // Too short for any superblock, and libblkid takes a length of 0 for "all there is".
        guard source.lengthInBytes >= 1024 else { return ContentSignature() }
        if let place = source.filePlace {
            return try probe(RawFile(reading: place.path), place.offset, source)
        }
        return try probe(windows(of: source), 0, source)
    }

    private static func probe(
        _ file: RawFile, _ offset: Int64, _ source: any BlockSource
    ) throws(BlockError) -> ContentSignature {
        defer { withExtendedLifetime(file) {} }
        guard let probe = blkid_new_probe() else { throw BlockError(.query, source.name, .invalid("no memory")) }
        defer { blkid_free_probe(probe) }
        guard
            blkid_probe_set_device(
                probe, file.descriptor, blkid_loff_t(offset), blkid_loff_t(source.lengthInBytes)) == 0
        else { throw BlockError(.query, source.name, .invalid("libblkid refuses it")) }
        blkid_probe_set_sectorsize(probe, UInt32(clamping: source.logicalSectorSize))
        blkid_probe_enable_superblocks(probe, 1)
        let wanted =
            BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL
        blkid_probe_set_superblocks_flags(probe, wanted)
        // Tables are read by ourselves, both copies and all contradictions of them.
        blkid_probe_enable_partitions(probe, 0)
        switch blkid_do_safeprobe(probe) {
        case 0: return values(probe)
        case 1: return ContentSignature()
        case -2: return allSignatures(probe)
        default: throw BlockError(.read, source.name, .invalid("libblkid could not read where superblocks are"))
        }
    }

    private static func values(_ probe: blkid_probe) -> ContentSignature {
        func value(_ name: String) -> String? {
            var data: UnsafePointer<CChar>?
            var length = 0
            guard blkid_probe_lookup_value(probe, name, &data, &length) == 0, let data, length > 1 else { return nil }
            let bytes = UnsafeRawBufferPointer(start: data, count: length).prefix { $0 != 0 }
            return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
        }
        var signature = ContentSignature()
        signature.type = value("TYPE")
        signature.usage = value("USAGE")
        signature.version = value("VERSION")
        signature.uuid = value("UUID")
        signature.label = value("LABEL")
        return signature
    }

    private static func allSignatures(_ probe: blkid_probe) -> ContentSignature {
        var signature = ContentSignature()
        blkid_reset_probe(probe)
        while signature.ambivalent.count < maximumSignatures, blkid_do_probe(probe) == 0 {
            guard let type = values(probe).type, !signature.ambivalent.contains(type) else { continue }
            signature.ambivalent.append(type)
        }
        return signature
    }

    // MARK: Sources without a file

    /// Places where libblkid looks for superblocks, from the start and before the end, in bytes.
    private static let head: [Range<Int64>] = [0..<(512 << 10), 1 << 20..<(1 << 20) + (64 << 10), 2 << 20..<(2 << 20) + (64 << 10)]
    private static let tail: Int64 = 576 << 10

    private static func windows(of source: any BlockSource) throws(BlockError) -> RawFile {
        let length = source.lengthInBytes
        let file = try RawFile(inMemory: source.name, length: length)
        let end = max(length - tail, 0)..<length
        for range in head + [end] + (try masterFileTable(of: source)) {
            try copy(range.clamped(to: 0..<length), of: source, to: file)
        }
        return file
    }

    private static func copy(
        _ range: Range<Int64>, of source: any BlockSource, to file: RawFile
    ) throws(BlockError) {
        guard !range.isEmpty else { return }
        // Whole sectors: what is not aligned would be read through other means, or not at all.
        let sector = Int64(max(source.logicalSectorSize, 512))
        let start = range.lowerBound / sector * sector
        let bytes = try source.bytes(at: start, count: Int(range.upperBound - start))
        try file.write(bytes, at: start)
    }

    /// Returns where an NTFS has the first records of its master file table: without them libblkid does not believe it.
    ///
    /// Boot sector: "NTFS    " at 3, bytes a sector at 11 (16 bits), sectors a cluster at 13, cluster of the table at 48
    /// (64 bits), little-endian.
    private static func masterFileTable(of source: any BlockSource) throws(BlockError) -> [Range<Int64>] {
        let fields = Fields(try source.bytes(at: 0, count: Int(min(512, source.lengthInBytes))))
        guard fields.text(3, 8) == "NTFS    " else { return [] }
        let raw: UInt8 = fields.integer(13)
        let sectors = raw <= 128 ? UInt64(raw) : raw >= 224 ? 1 << UInt64(256 - Int(raw)) : 0
        let (cluster, first) = UInt64(fields.integer(11, as: UInt16.self)).multipliedReportingOverflow(by: sectors)
        let (offset, second) = fields.integer(48, as: UInt64.self).multipliedReportingOverflow(by: cluster)
        guard !first, !second, offset < UInt64(source.lengthInBytes) else { return [] }
        let start = Int64(offset)
        return [start..<min(start + (16 << 10), source.lengthInBytes)]
    }
}
