// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat
internal import DiskImage

/// What a capture would do, before it does anything: what is read of each disk, and the room it needs.
public struct CapturePlan: Sendable, Encodable {
    /// What would become of one disk.
    public struct Disk: Sendable, Encodable {
        /// Short name, the base of its files' names.
        public var name: String
        /// Path or URL that it is read from.
        public var source: String
        /// Length in bytes.
        public var lengthInBytes: Int64
        /// Bytes that would be read.
        public var bytesToRead: Int64
        /// What would be passed over, by reason.
        public var skipped: [SkippedTotal]
    }

    /// The room there is on the target, and what the clone may take.
    public struct Target: Sendable, Encodable {
        /// The folder.
        public var folder: String
        /// Free bytes there.
        public var freeInBytes: Int64
        /// Bytes of the clone when everything that is read is stored as it is: no zeros, nothing that compresses.
        public var worstCaseInBytes: Int64
        /// Bytes of the clone when content is like the samples that were read; nil where none were.
        public var expectedInBytes: Int64?
        /// Whether the expected, or else the worst case fits.
        public var fits: Bool { (expectedInBytes ?? worstCaseInBytes) <= freeInBytes }

        private enum CodingKeys: String, CodingKey {
            case folder, freeInBytes, worstCaseInBytes, expectedInBytes, fits
        }

        /// Writes all values, `fits` among them.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(folder, forKey: .folder)
            try container.encode(freeInBytes, forKey: .freeInBytes)
            try container.encode(worstCaseInBytes, forKey: .worstCaseInBytes)
            try container.encodeIfPresent(expectedInBytes, forKey: .expectedInBytes)
            try container.encode(fits, forKey: .fits)
        }
    }

    /// The disks, in order.
    public var disks: [Disk]
    /// How free space was told, and what becomes of each volume.
    public var freeSpace: FreeSpaceRecord
    /// The target; nil where none was named.
    public var target: Target?

    /// Bytes that would be read from all disks.
    public var bytesToRead: Int64 { disks.reduce(0) { $0 + $1.bytesToRead } }

    /// Works out what a capture of `disks` would read.
    ///
    /// - Throws: `CaptureError` when a source does not tell its extents.
    public init(disks: [CaptureDisk], freeSpace: FreeSpaceRecord) throws(CaptureError) {
        self.freeSpace = freeSpace
        self.disks = []
        do throws(BlockError) {
            for disk in disks { self.disks.append(try Self.look(at: disk)) }
        } catch {
            throw .io(error)
        }
    }

    /// Adds up the room that the clone takes in `folder`.
    ///
    /// - Parameter ratio: length of an image as a share of its content, as measured on samples; nil for unknown.
    public mutating func fit(
        into folder: String, freeInBytes: Int64, options: CaptureOptions, ratio: Double?
    ) {
        let read = bytesToRead
        // An L2 entry and a reference count a cluster; tables themselves are counted twice over.
        let tables = options.format == .qcow2 ? read / Int64(options.clusterSize) * 20 + (1 << 20) : 0
        let digests = read / Int64(Chunk.size) * 32 + disks.reduce(0) { $0 + $1.lengthInBytes } / (4 << 20) + (1 << 20)
        target = Target(
            folder: folder, freeInBytes: freeInBytes, worstCaseInBytes: read + tables + digests,
            expectedInBytes: ratio.map { Int64((Double(read) * min($0, 1)).rounded(.up)) + tables + digests })
    }

    private static func look(at disk: CaptureDisk) throws(BlockError) -> Disk {
        let extents = DiskExtents(disk)
        var skipped = SkippedList()
        var position: Int64 = 0
        while position < disk.source.lengthInBytes {
            let (extent, reason) = try extents.extent(at: position)
            if extent.kind == .hole { skipped.add(extent, reason) }
            position = extent.end
        }
        return Disk(
            name: disk.name, source: disk.source.name, lengthInBytes: disk.source.lengthInBytes,
            bytesToRead: disk.source.lengthInBytes - skipped.lengthInBytes, skipped: skipped.totals)
    }
}
