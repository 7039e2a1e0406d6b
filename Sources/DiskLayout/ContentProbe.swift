// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CBlkid
internal import Glibc
internal import SystemPackage

/// What the signatures on a disk, partition or volume say that it holds, in libblkid's words.
public struct DetectedContent: Sendable, Hashable {
    /// TYPE: `ext4`, `LVM2_member`; nil where nothing is known, or several are.
    public var type: String?
    /// USAGE: `filesystem`, `raid`, `crypto`, `other`.
    public var usage: String?
    /// VERSION.
    public var version: String?
    /// UUID.
    public var uuid: String?
    /// LABEL.
    public var label: String?
    /// All types whose signatures are there, when they exclude each other: nothing is guessed.
    public var ambivalent: [String] = []

    /// Whether no signature was found.
    public var isEmpty: Bool { type == nil && ambivalent.isEmpty }

    /// Makes one of which nothing is known.
    public init() {}
}

/// Asks libblkid what lies on a source.
///
/// libblkid reads file descriptors: of a device or file, or a range of one, it gets one of its own, buffered and
/// read-only, so that a filesystem read from elsewhere is not disturbed; of any other source a sparse file in memory
/// with copies of those places where libblkid looks. The low-level interface is used, which keeps no cache and reads
/// no configuration. libblkid(3).
public enum ContentProbe {
    /// Types of firmware RAID members, which lie on whole disks only.
    public static let firmwareRAIDTypes = [
        "adaptec_raid_member", "ddf_raid_member", "hpt37x_raid_member", "hpt45x_raid_member", "isw_raid_member",
        "jmicron_raid_member", "lsi_mega_raid_member", "nvidia_raid_member", "promise_fasttrack_raid_member",
        "silicon_medley_raid_member", "via_raid_member",
    ]

    /// Types that libblkid is not asked for.
    ///
    /// For `ocfs`, the long extinct first version of OCFS, it takes the length of two texts from the disk and copies as
    /// much from its stack, past its end (2.38.1): a disk could end the process.
    private static let unsafeTypes = ["ocfs"]

    /// Most types that are told of an ambivalent source.
    private static let maximumTypes = 32

    /// Returns what `source` holds.
    ///
    /// - Parameter isWholeDisk: whether firmware RAID metadata, which lie near a disk's end, may be this source's own.
    /// - Throws: `BlockError` when a place where a signature may be is unreadable.
    public static func read(_ source: any BlockSource, isWholeDisk: Bool) throws(BlockError) -> DetectedContent {
        guard source.lengthInBytes > 0 else { return DetectedContent() }
        let hasPools = try mayHoldZFS(source)
        let range: FileRange
        if let place = source.filePlace {
            range = try FileRange(reopening: place, length: source.lengthInBytes)
        } else {
            let windows = try ProbeWindows(of: source, isWholeDisk: isWholeDisk, withZFS: hasPools)
            range = try FileRange(inMemory: windows, of: source)
        }
        var excluded = unsafeTypes + (isWholeDisk ? [] : firmwareRAIDTypes)
        if !hasPools { excluded.append("zfs_member") }
        return try detect(range, source, excluding: excluded)
    }

    /// Tells whether one of the four places of a ZFS label holds the list of names that each label begins with.
    ///
    /// libblkid reads a whole MiB to count ZFS's root blocks: on every partition that would be most of what is read of
    /// a disk. ZFS On-Disk Specification, section 1.2: at 16 KiB of each label of 256 KiB, encoding XDR.
    private static func mayHoldZFS(_ source: any BlockSource) throws(BlockError) -> Bool {
        for label in ProbeWindows.zfsLabels(length: source.lengthInBytes) {
            let start = try source.bytes(at: label + 16 << 10, count: source.logicalSectorSize)
            if start.count >= 4, start[0] == 1, start[1] <= 1, start[2] == 0, start[3] == 0 { return true }
        }
        return false
    }

    private static func detect(
        _ range: FileRange, _ source: any BlockSource, excluding types: [String]
    ) throws(BlockError) -> DetectedContent {
        guard let probe = blkid_new_probe() else {
            throw BlockError(.query, source.name, .invalid("there is no memory for libblkid"))
        }
        defer { blkid_free_probe(probe) }
        func check(_ status: Int32) throws(BlockError) -> Int32 {
            guard status != -1 else {
                throw BlockError(.read, source.name, .system(Errno(rawValue: errno == 0 ? EIO : errno)))
            }
            return status
        }
        errno = 0
        _ = try check(blkid_probe_set_device(probe, range.descriptor, range.offset, range.length))
        _ = blkid_probe_set_sectorsize(probe, UInt32(clamping: source.logicalSectorSize))
        _ = try check(blkid_probe_enable_superblocks(probe, 1))
        _ = try check(blkid_probe_enable_partitions(probe, 0))
        _ = try check(
            blkid_probe_set_superblocks_flags(
                probe,
                BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_VERSION | BLKID_SUBLKS_UUID
                    | BLKID_SUBLKS_LABEL))
        if !types.isEmpty {
            var names: [UnsafeMutablePointer<CChar>?] = types.map { strdup($0) } + [nil]
            defer { for name in names { free(name) } }
            _ = try check(blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_NOTIN, &names))
        }
        var content = DetectedContent()
        // 0 found, 1 nothing, -2 signatures that exclude each other.
        switch try check(blkid_do_safeprobe(probe)) {
        case 0:
            let values = Self.values(probe)
            content.type = values["TYPE"]
            content.usage = values["USAGE"]
            content.version = values["VERSION"]
            content.uuid = values["UUID"]
            content.label = values["LABEL"]
        case -2:
            blkid_reset_probe(probe)
            while content.ambivalent.count < maximumTypes, try check(blkid_do_probe(probe)) == 0 {
                guard let type = Self.values(probe)["TYPE"], !content.ambivalent.contains(type) else { continue }
                content.ambivalent.append(type)
            }
        default: break
        }
        return content
    }

    private static func values(_ probe: blkid_probe) -> [String: String] {
        var values: [String: String] = [:]
        for index in 0..<max(blkid_probe_numof_values(probe), 0) {
            var name: UnsafePointer<CChar>?
            var data: UnsafePointer<CChar>?
            guard blkid_probe_get_value(probe, index, &name, &data, nil) == 0, let name, let data else { continue }
            let text = String(cString: data)
            if !text.isEmpty { values[String(cString: name)] = text }
        }
        return values
    }
}

/// A descriptor for libblkid, and the range of it that counts.
private struct FileRange {
    private let file: RawFile
    let offset: Int64
    let length: Int64
    var descriptor: Int32 { file.descriptor }

    /// Opens the file of `place` once more, buffered and read-only, for `length` bytes from there.
    init(reopening place: FilePlace, length: Int64) throws(BlockError) {
        file = try RawFile(reading: place.path)
        offset = place.offset
        self.length = length
    }

    /// Makes a file in memory, as long as `source`, of what `windows` hold.
    init(inMemory windows: ProbeWindows, of source: any BlockSource) throws(BlockError) {
        offset = 0
        length = source.lengthInBytes
        file = try RawFile(inMemory: "a file in memory for \(source.name)", length: length)
        for (start, bytes) in windows.pieces { try file.write(bytes, at: start) }
    }
}
