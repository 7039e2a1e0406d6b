// SPDX-License-Identifier: GPL-3.0-or-later

/// A UUID as md stores and mdadm(8) prints it: four groups of eight digits.
public struct MDUUID: Sendable, Hashable, CustomStringConvertible {
    /// The 16 bytes in the order they are printed.
    public let bytes: [UInt8]

    /// Makes a UUID of the bytes in the order they are printed.
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes.prefix(16)) }

    /// The text: `3a4f8e10:77c2d5b1:90ab12cd:ef345678`.
    public var description: String {
        let digits = bytes.map { hex($0, width: 2) }
        return stride(from: 0, to: digits.count, by: 4).map {
            digits[$0..<min($0 + 4, digits.count)].joined()
        }.joined(separator: ":")
    }
}

/// A RAID level of md.
///
/// Linux include/uapi/linux/raid/md_p.h, md_u.h.
public enum MDLevel: Sendable, Hashable, CustomStringConvertible {
    case linear, raid0, raid1, raid4, raid5, raid6, raid10, multipath, faulty, container
    /// A level that is not known here.
    case unknown(Int32)

    /// Decodes the number of a superblock.
    public init(rawValue: Int32) {
        switch rawValue {
        case -1: self = .linear
        case 0: self = .raid0
        case 1: self = .raid1
        case 4: self = .raid4
        case 5: self = .raid5
        case 6: self = .raid6
        case 10: self = .raid10
        case -4: self = .multipath
        case -5: self = .faulty
        case -100: self = .container
        default: self = .unknown(rawValue)
        }
    }

    /// The name that mdadm(8) prints: `raid5`.
    public var description: String {
        switch self {
        case .linear: return "linear"
        case .raid0: return "raid0"
        case .raid1: return "raid1"
        case .raid4: return "raid4"
        case .raid5: return "raid5"
        case .raid6: return "raid6"
        case .raid10: return "raid10"
        case .multipath: return "multipath"
        case .faulty: return "faulty"
        case .container: return "container"
        case .unknown(let raw): return "unknown(\(raw))"
        }
    }
}

/// What a member is in its array.
public enum MDRole: Sendable, Hashable {
    /// Holds data, at this place in the array from 0.
    case active(Int)
    /// Holds none, and waits.
    case spare
    /// Failed.
    case faulty
    /// The write journal of RAID 4, 5 or 6.
    case journal
    /// A role that is not known here.
    case unknown(UInt16)
}

/// What else a version 1 superblock makes use of: its feature map.
public struct MDFeatures: OptionSet, Sendable, Hashable {
    /// The bits as they stand on the disk.
    public let rawValue: UInt32
    /// Makes a set of the bits as they stand on the disk.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A write-intent bitmap lies beside the superblock.
    public static let bitmap = MDFeatures(rawValue: 1)
    /// The member is rebuilt up to a place only.
    public static let recovering = MDFeatures(rawValue: 2)
    /// The array is being reshaped.
    public static let reshaping = MDFeatures(rawValue: 4)
    /// There is a list of bad blocks.
    public static let badBlocks = MDFeatures(rawValue: 8)
    /// The member replaces another of the same role.
    public static let replacement = MDFeatures(rawValue: 16)
    /// The data offset changes with the reshape.
    public static let newOffset = MDFeatures(rawValue: 64)
    /// The array has a write journal.
    public static let journal = MDFeatures(rawValue: 512)
}
