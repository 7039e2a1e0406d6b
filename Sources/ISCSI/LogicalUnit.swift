// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What a logical unit says of itself.
public struct LogicalUnit: Sendable, Hashable {
    /// What makes it that unit and no other, wherever it is seen.
    public struct Identity: Sendable, Hashable {
        /// Serial number of page 0x80.
        public var serial: String?
        /// Names in the form that the kernel gives them in sysfs, best first: `naa.…`, `eui.…`, `t10.…`.
        public var wwids: [String]

        /// The best name.
        public var wwid: String? { wwids.first }

        /// Whether the best name is the world's only one of its kind, as IEEE hands them out.
        public var isUniqueInTheWorld: Bool {
            guard let wwid else { return false }
            if wwid.hasPrefix("eui.") { return !wwid.hasPrefix("eui.000000") }
            // Behind the type, the maker: some software targets are nobody's, and all give the same names.
            let isRegistered = ["naa.2", "naa.5", "naa.6"].contains { wwid.hasPrefix($0) }
            return isRegistered && !wwid.dropFirst(5).hasPrefix("000000")
        }

        /// Tells whether the unit has one of `names`, which the kernel may have padded with spaces.
        public func isAmong(_ names: Set<String>) -> Bool {
            let plain = Set(names.map { $0.filter { $0 != " " } })
            return wwids.contains { plain.contains($0.filter { $0 != " " }) }
        }
    }

    /// Its number.
    public var lun: LogicalUnitNumber
    /// Peripheral device type: 0 is a disk.
    public var deviceType: UInt8
    /// Vendor, as INQUIRY tells it.
    public var vendor: String
    /// Product, as INQUIRY tells it.
    public var product: String
    /// Product revision, as INQUIRY tells it.
    public var revision: String
    /// What it is recognised by.
    public var identity: Identity
    /// Size and sectors; nil when it is no disk, or has no medium.
    public var capacity: Capacity?
    /// Most blocks that one command may ask for, 0 for no limit.
    public var maximumTransferBlocks: UInt32

    /// Whether it is a disk.
    public var isDisk: Bool { [0x00, 0x0e].contains(deviceType) }

    /// Size and sectors.
    ///
    /// READ CAPACITY(16), SBC-3 5.16.
    public struct Capacity: Sendable, Hashable {
        /// Number of blocks.
        public var blocks: UInt64
        /// Bytes a logical block.
        public var blockSize: Int
        /// Bytes a physical block.
        public var physicalBlockSize: Int
        /// Whether the unit knows unmapped blocks, and they read as zeros.
        public var unmappedReadsAsZeros: Bool

        /// Length in bytes.
        public var lengthInBytes: Int64 { Int64(blocks) * Int64(blockSize) }

        /// Reads the answer to READ CAPACITY(16), or to READ CAPACITY(10) when there are no more than 8 bytes.
        ///
        /// - Throws: `ISCSIError` when the numbers are not those of a disk.
        init(_ bytes: UnsafeRawBufferPointer, action: String) throws(ISCSIError) {
            let last: UInt64?
            let size: UInt32?
            if bytes.count > 8 {
                last = bytes.bigEndian(at: 0)
                size = bytes.bigEndian(at: 8)
            } else {
                last = bytes.bigEndian(at: 0, as: UInt32.self).map(UInt64.init)
                size = bytes.bigEndian(at: 4)
            }
            guard let last, let size, (512...65536).contains(size), size & (size - 1) == 0,
                last < UInt64(Int64.max) / UInt64(size)
            else {
                throw ISCSIError(
                    action, .badAnswer("its capacity is missing, or its blocks are not 512 to 65536 bytes"))
            }
            blocks = last + 1
            blockSize = Int(size)
            let exponent = bytes.count > 13 ? bytes[13] & 0x0f : 0
            physicalBlockSize = min(blockSize << Int(exponent), max(blockSize, 1 << 20))
            unmappedReadsAsZeros = bytes.count > 14 && bytes[14] & 0xc0 == 0xc0
        }
    }
}

/// Readers of what units answer; none trusts a length.
enum SCSIAnswer {
    /// Returns the numbers of REPORT LUNS, ascending.
    ///
    /// SPC-4, 6.33.
    static func logicalUnits(_ bytes: UnsafeRawBufferPointer) -> [LogicalUnitNumber] {
        guard let length: UInt32 = bytes.bigEndian(at: 0) else { return [] }
        let count = min(Int(length), max(bytes.count - 8, 0)) / 8
        let found = (0..<count).compactMap { LogicalUnitNumber(entry: bytes.part(8 + $0 * 8, 8)) }
        return Set(found).sorted()
    }

    /// Returns what page 0x80 says, trimmed; nil when it is empty.
    ///
    /// SPC-4, 7.8.15.
    static func serial(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard let content = page(bytes, 0x80) else { return nil }
        let text = text(content)
        return text.isEmpty ? nil : text
    }

    /// Returns the names on page 0x83 that belong to the unit itself, in the kernel's form and order of preference.
    ///
    /// SPC-4, 7.8.6; Linux, `scsi_vpd_lun_id`.
    static func names(_ bytes: UnsafeRawBufferPointer) -> [String] {
        guard let content = page(bytes, 0x83) else { return [] }
        var found: [(rank: Int, name: String)] = []
        var position = 0
        while position + 4 <= content.count {
            let length = Int(content[position + 3])
            guard position + 4 + length <= content.count else { break }
            let designator = content.part(position + 4, length)
            // Association 0: the logical unit, not its port or target.
            if content[position + 1] & 0x30 == 0, let name = name(type: content[position + 1] & 0x0f, designator) {
                found.append(name)
            }
            position += 4 + length
        }
        // A stable order among equals, so that the same page gives the same list.
        return found.enumerated().sorted { ($1.element.rank, $0.offset) < ($0.element.rank, $1.offset) }
            .map(\.element.name)
    }

    private static func name(type: UInt8, _ bytes: UnsafeRawBufferPointer) -> (rank: Int, name: String)? {
        guard let first = bytes.first else { return nil }
        let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        switch type {
        case 1: return (1, "t10." + text(bytes))
        case 2: return (bytes.count == 16 ? 7 : bytes.count == 12 ? 6 : 3, "eui." + hex)
        case 3:
            let rank: Int =
                switch first >> 4 {
                case 6: 8
                case 5: 5
                case 4, 2: 4
                default: 2
                }
            return (rank, "naa." + hex)
        case 8:
            let name = text(bytes)
            return name.isEmpty ? nil : (9, name)
        default: return nil
        }
    }

    /// Returns the most blocks a command may transfer, as page 0xb0 says; 0 is no limit.
    ///
    /// SBC-3, 6.5.3.
    static func maximumTransferBlocks(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        page(bytes, 0xb0)?.bigEndian(at: 4) ?? 0
    }

    /// Returns vendor, product and revision of standard INQUIRY data.
    static func product(_ bytes: UnsafeRawBufferPointer) -> (vendor: String, product: String, revision: String) {
        func field(_ offset: Int, _ length: Int) -> String {
            offset + length <= bytes.count ? text(bytes.part(offset, length)) : ""
        }
        return (field(8, 8), field(16, 16), field(32, 4))
    }

    /// Returns what page `number` holds behind its header.
    private static func page(_ bytes: UnsafeRawBufferPointer, _ number: UInt8) -> UnsafeRawBufferPointer? {
        guard bytes.count >= 4, bytes[1] == number, let length: UInt16 = bytes.bigEndian(at: 2) else { return nil }
        return bytes.part(4, min(Int(length), bytes.count - 4))
    }

    /// Returns the printable bytes as text, without white space and NULs around.
    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        let text = String(
            decoding: bytes.prefix { $0 != 0 }.map { (0x20...0x7e).contains($0) ? $0 : 0x2e }, as: UTF8.self)
        return String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    /// Returns the ranges of GET LBA STATUS that follow `block` without a gap, as blocks, and whether each is unmapped.
    ///
    /// SBC-3, 5.10. What is not surely deallocated counts as mapped.
    static func statuses(
        _ bytes: UnsafeRawBufferPointer, from block: UInt64, end: UInt64
    ) -> [(blocks: Range<UInt64>, isUnmapped: Bool)] {
        guard let length: UInt32 = bytes.bigEndian(at: 0) else { return [] }
        // The length counts what follows it, four reserved bytes included.
        let count = max(min(Int(length) - 4, bytes.count - 8), 0) / 16
        var ranges: [(blocks: Range<UInt64>, isUnmapped: Bool)] = []
        var position = block
        for index in 0..<count {
            let descriptor = bytes.part(8 + index * 16, 16)
            guard let first: UInt64 = descriptor.bigEndian(at: 0), let length: UInt32 = descriptor.bigEndian(at: 8),
                first <= position, position < end
            else { break }
            let (last, overflow) = first.addingReportingOverflow(UInt64(length))
            guard !overflow, last > position else { break }
            let stop = min(last, end)
            ranges.append((position..<stop, descriptor[12] & 0x0f == 1))
            position = stop
        }
        return ranges
    }
}
