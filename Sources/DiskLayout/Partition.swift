// SPDX-License-Identifier: GPL-3.0-or-later

/// What a partition is for, as its table says.
public enum PartitionType: Sendable, Hashable, CustomStringConvertible {
    /// A GPT type GUID.
    case guid(GUID)
    /// An MBR type byte.
    case mbr(UInt8)

    /// The GUID, or the type byte in hexadecimal without leading zeros, as sfdisk(8) prints them.
    public var description: String {
        switch self {
        case .guid(let guid): return guid.description
        case .mbr(let type): return hex(type, width: 1)
        }
    }

    /// Whether it is an MBR's container of logical partitions: type 5, f or 85.
    public var isExtended: Bool {
        switch self {
        case .guid: return false
        case .mbr(let type): return type == 0x05 || type == 0x0f || type == 0x85
        }
    }
}

/// One partition, as its table says: it may reach beyond the disk, which is a finding of the table.
public struct Partition: Sendable, Hashable {
    /// The number that Linux gives it, from 1; logical ones from 5.
    public var number: Int
    /// First byte on the disk.
    public var firstByte: Int64
    /// Length in bytes, positive; the end fits in 63 bits.
    public var lengthInBytes: Int64
    /// What it is for.
    public var type: PartitionType
    /// The unique GUID of GPT, or the disk's identifier and the number as Linux's PARTUUID has it: `1b2c3d4e-01`.
    public var identifier: String
    /// The name of GPT, empty in an MBR.
    public var name: String
    /// The attribute bits of GPT, or the boot indicator of an MBR (0x80 active).
    public var flags: UInt64
    /// Whether it lies in an extended partition.
    public var isLogical: Bool

    /// First byte behind the partition.
    public var end: Int64 { firstByte + lengthInBytes }

    /// Makes a partition of `count` sectors from `first`; nil when its bytes cannot be counted in 63 bits.
    init?(
        number: Int, first: UInt64, count: UInt64, sectorSize: Int, type: PartitionType, identifier: String,
        name: String = "", flags: UInt64, isLogical: Bool = false
    ) {
        let size = UInt64(sectorSize)
        let limit = UInt64(Int64.max) / size
        guard count > 0, first <= limit, count <= limit - first else { return nil }
        self.number = number
        firstByte = Int64(first * size)
        lengthInBytes = Int64(count * size)
        self.type = type
        self.identifier = identifier
        self.name = name
        self.flags = flags
        self.isLogical = isLogical
    }
}
