// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// What an LVM2 physical volume says of itself: its label, its header and the metadata areas on it.
///
/// ```
/// one of the first four sectors of 512 bytes
///   byte 0    "LABELONE"
///   byte 8    number of this sector, 64 bits
///   byte 16   checksum of the sector from byte 20
///   byte 20   offset of the header in the sector, 32 bits
///   byte 24   "LVM2 001"
/// header
///   byte 0    UUID, 32 letters
///   byte 32   length of the device in bytes, 64 bits
///   byte 40   data areas: offset and length, 64 bits each, ended by two zeros; then metadata areas, likewise;
///             then an extension: version and flags, 32 bits each, and bootloader areas, likewise
/// ```
/// LVM2 lib/format_text/layout.h. All integers are little-endian.
public struct LVMLabel: Sendable, Hashable {
    /// A byte range of the device; a data area of length 0 reaches to the end.
    public struct Area: Sendable, Hashable {
        /// First byte.
        public var offset: Int64
        /// Length in bytes.
        public var length: Int64
    }

    /// What was found in one metadata area.
    public enum Metadata: Sendable, Hashable {
        /// The text of a volume group.
        case text([UInt8])
        /// An area that LVM was told to ignore: its content may be old.
        case ignored
        /// An area without a volume group: the physical volume is in none, or its area was made and never used.
        case empty
        /// An area that cannot be used, as the text says.
        case damaged(String)
    }

    /// Number of the sector of 512 bytes that holds the label, 0 to 3.
    public var sector: Int
    /// Whether the label's checksum is that of its sector.
    public var isChecksumCorrect: Bool
    /// The physical volume's UUID as LVM prints it.
    public var uuid: String
    /// Length of the device in bytes when it was made a physical volume, or was resized.
    public var deviceSizeInBytes: Int64
    /// Where extents lie; the first begins at the first extent, unless the metadata say otherwise.
    public var dataAreas: [Area] = []
    /// Where the metadata lie: none, one, or one at each end.
    public var metadataAreas: [Area] = []
    /// Where a bootloader may lie.
    public var bootloaderAreas: [Area] = []
    /// Whether the header says that the physical volume is in a volume group; false also before version 2 of it.
    public var isMarkedUsed = false
    /// What was found in each of `metadataAreas`.
    public var metadata: [Metadata] = []

    /// Sectors in which a label may be.
    static let sectors = 4
    /// Most areas of one kind that a header has place for.
    private static let maximumAreas = 16

    /// Reads the label of `source` and what it leads to; nil when there is none.
    ///
    /// A label whose checksum is wrong is reported, but not followed.
    /// - Throws: `BlockError` when the first sectors are unreadable; unreadable metadata are in `metadata`.
    public static func read(_ source: some BlockSource) throws(BlockError) -> LVMLabel? {
        let count = min(Int64(sectors * 512), source.lengthInBytes / 512 * 512)
        guard count > 0 else { return nil }
        let start = Fields(try source.bytes(at: 0, count: Int(count)))
        var found: LVMLabel?
        for sector in 0..<Int(count) / 512 {
            guard let label = LVMLabel(Fields(start.part(sector * 512, 512)), sector) else { continue }
            // A good label counts more than a bad one before it.
            if found == nil || (label.isChecksumCorrect && found?.isChecksumCorrect == false) { found = label }
        }
        guard var label = found, label.isChecksumCorrect else { return found }
        label.metadata = label.metadataAreas.map { LVMMetadataArea.read(source, $0) }
        return label
    }

    /// Makes a label of nothing but a UUID.
    public init(uuid: String) {
        sector = 1
        isChecksumCorrect = true
        self.uuid = uuid
        deviceSizeInBytes = 0
    }

    private init?(_ fields: Fields, _ sector: Int) {
        guard fields.text(0, 8) == "LABELONE", fields.text(24, 8) == "LVM2 001",
            fields.integer(8) == UInt64(sector)
        else { return nil }
        self.sector = sector
        isChecksumCorrect = lvmChecksum(fields.part(20, 492)) == fields.integer(16)
        let header = Int(min(fields.integer(20, as: UInt32.self), 512))
        uuid = Self.dashed(fields.part(header, 32))
        deviceSizeInBytes = Int64(clamping: fields.integer(header + 32, as: UInt64.self))
        guard header >= 32, isChecksumCorrect else { return }
        var place = header + 40
        dataAreas = Self.areas(fields, &place)
        metadataAreas = Self.areas(fields, &place)
        if fields.integer(place, as: UInt32.self) >= 1 {
            isMarkedUsed = fields.integer(place + 4, as: UInt32.self) & 1 != 0
            place += 8
            bootloaderAreas = Self.areas(fields, &place)
        }
    }

    /// Reads areas up to the zero offset that ends them, and leaves `place` behind it.
    private static func areas(_ fields: Fields, _ place: inout Int) -> [Area] {
        var areas: [Area] = []
        while areas.count < maximumAreas, place + 16 <= 512 {
            let (offset, length): (UInt64, UInt64) = (fields.integer(place), fields.integer(place + 8))
            place += 16
            guard offset > 0 else { break }
            areas.append(Area(offset: Int64(clamping: offset), length: Int64(clamping: length)))
        }
        return areas
    }

    /// Returns a UUID with LVM's dashes: groups of 6, 4, 4, 4, 4, 4 and 6.
    static func dashed(_ letters: some Collection<UInt8>) -> String {
        var rest = Array(letters)[...]
        return [6, 4, 4, 4, 4, 4, 6].map { count in
            defer { rest = rest.dropFirst(count) }
            return String(decoding: rest.prefix(count), as: UTF8.self)
        }.joined(separator: "-")
    }
}

/// One metadata area: a header of 512 bytes, then a ring in which each new text is written behind the last.
///
/// ```
/// byte 0    checksum of the header from byte 4
/// byte 4    a magic of 16 bytes
/// byte 20   version 1, 32 bits
/// byte 24   offset and length of the area, 64 bits each
/// byte 40   places of texts: offset and length in the area, 64 bits each, checksum and flags, 32 bits each;
///           the first is the committed text, the second one that is about to be
/// ```
/// LVM2 lib/format_text/layout.h.
enum LVMMetadataArea {
    static let magic = Array(" LVM2 x[5A%r0N*>".utf8)
    static let headerSize = 512
    /// Most bytes of a text that are read: thousands of volumes take a MiB.
    static let maximumText = 16 << 20

    static func read(_ source: some BlockSource, _ area: LVMLabel.Area) -> LVMLabel.Metadata {
        do throws(BlockError) {
            let fields = Fields(try source.bytes(at: area.offset, count: headerSize))
            guard Array(fields.part(4, 16)) == magic else { return .damaged("there is no header") }
            guard lvmChecksum(fields.part(4, headerSize - 4)) == fields.integer(0) else {
                return .damaged("the checksum of its header is wrong")
            }
            let version: UInt32 = fields.integer(20)
            guard version == 1 else { return .damaged("version \(version) is not known") }
            let (start, size): (UInt64, UInt64) = (fields.integer(24), fields.integer(32))
            guard start == UInt64(area.offset), size > UInt64(headerSize),
                Int64(clamping: size) <= source.lengthInBytes - area.offset
            else { return .damaged("it does not lie where its header says") }
            let (offset, length): (UInt64, UInt64) = (fields.integer(40), fields.integer(48))
            let flags: UInt32 = fields.integer(60)
            if flags & 1 != 0 { return .ignored }
            guard offset > 0 else { return .empty }
            guard offset >= UInt64(headerSize), offset < size, length > 0, length <= UInt64(maximumText),
                length <= size - UInt64(headerSize)
            else { return .damaged("\(length) bytes of text at \(offset) are not possible") }
            let first = min(length, size - offset)
            var text = try source.bytes(at: area.offset + Int64(offset), count: Int(first))
            if length > first {
                text += try source.bytes(at: area.offset + Int64(headerSize), count: Int(length - first))
            }
            guard lvmChecksum(text[...]) == fields.integer(56) else {
                return .damaged("the checksum of its text is wrong")
            }
            return .text(text)
        } catch {
            return .damaged(error.description)
        }
    }
}
