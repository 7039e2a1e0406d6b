// SPDX-License-Identifier: GPL-3.0-or-later

/// A volume in IMSM metadata.
///
/// ```
/// byte 0    name, 16                  byte 50   policy against the write hole, 8 bits
/// byte 16   sectors, 64 bits          byte 80   unit of the migration, lower 32 bits
/// byte 24   status                    byte 88   whether it migrates, byte 89 how, 8 bits each
/// byte 28   reserved sectors          byte 90   dirty, 8 bits
/// byte 40   number, 16 bits           byte 96   unit of the migration, upper 32 bits
/// byte 112  the map; where the volume migrates, the map that it had before
///
/// map: byte 0   first sector, lower 32 bits     byte 16  members, 8 bits
///      byte 4   sectors a member, lower         byte 17  copies, 8 bits
///      byte 8   stripes, lower                  byte 18  failed disk, 8 bits, 255 for none
///      byte 12  sectors of a strip, 16 bits     byte 20  upper 32 bits of the three above
///      byte 14  state, 8 bits                   byte 48  for each slot the disk's number, 24 bits, and flags
///      byte 15  level, 8 bits
/// ```
public struct IMSMVolume: Sendable, Hashable {
    /// What is being done to a volume.
    public enum Migration: Sendable, Hashable {
        /// Parity or copies are made for the first time.
        case initialize
        /// A member is filled.
        case rebuild
        /// Parity or copies are compared.
        case check
        /// It gets another layout.
        case generalMigration
        /// Its state changes.
        case stateChange
        /// Parity or copies are compared and made right.
        case repair
        /// Something unknown here.
        case unknown(UInt8)

        /// The words that mdadm(8) prints.
        public var words: String {
            switch self {
            case .initialize: return "initialize"
            case .rebuild: return "rebuild"
            case .check: return "check"
            case .generalMigration: return "general migration"
            case .stateChange: return "state change"
            case .repair: return "repair"
            case .unknown(let raw): return "<unknown:\(raw)>"
            }
        }

        fileprivate init(_ raw: UInt8, status: UInt32) {
            switch raw {
            case 0: self = .initialize
            case 1: self = .rebuild
            // Old firmware knows of no repair: it is a check with a flag.
            case 2: self = status & 0x80 != 0 ? .repair : .check
            case 3: self = .generalMigration
            case 4: self = .stateChange
            case 5: self = .repair
            default: self = .unknown(raw)
            }
        }
    }

    /// Name.
    public var name: String
    /// UUID as mdadm(8) has it.
    public internal(set) var uuid = MDUUID(bytes: [])
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// Its bits of state.
    public var status: UInt32
    /// Reserved sectors at its begin.
    public var reservedSectors: UInt32
    /// Number that tells it from other volumes of the set, deleted ones too.
    public var number: UInt16
    /// What is being done to it; nil where nothing is.
    public var migration: Migration?
    /// How far that is, in units of its own.
    public var migrationUnit: UInt64
    /// Whether it was in use when the metadata were written: parity and copies may not agree.
    public var isDirty: Bool
    /// How it is kept from the write hole.
    public var writeHolePolicy: UInt8
    /// Where its data lie; where it migrates, where they will lie.
    public var map: IMSMMap
    /// Where they lay before the migration.
    public var previousMap: IMSMMap?

    /// Bytes that it takes in the metadata.
    let lengthInMetadata: Int

    /// The words that mdadm(8) prints for the policy against the write hole.
    public var writeHoleWords: String {
        switch writeHolePolicy {
        case 0, 5: return "off"
        case 1: return "PPL distributed"
        case 2: return "PPL journaling drive"
        case 3: return "Multiple distributed PPLs"
        case 4: return "Multiple PPLs on journaling drive"
        case 6: return "Write-intent bitmap"
        default: return "<unknown:\(writeHolePolicy)>"
        }
    }

    /// Reads the volume at byte `place`; nil when it does not end before `end`.
    init?(_ fields: Fields, at place: Int, _ end: Int, _ sectorSize: Int) {
        guard place + 112 <= end, let first = IMSMMap(fields, at: place + 112, end, sectorSize) else { return nil }
        name = fields.text(place, 16)
        lengthInBytes = fields.sectors(place + 16, place + 20, of: sectorSize)
        status = fields.integer(place + 24)
        reservedSectors = fields.integer(place + 28)
        number = fields.integer(place + 40)
        writeHolePolicy = fields.integer(place + 50)
        migrationUnit = UInt64(fields.integer(place + 80, as: UInt32.self))
        migrationUnit |= UInt64(fields.integer(place + 96, as: UInt32.self)) << 32
        isDirty = fields.integer(place + 90, as: UInt8.self) & 1 != 0
        map = first
        var length = 112 + first.lengthInMetadata
        if fields.integer(place + 88, as: UInt8.self) != 0 {
            guard let second = IMSMMap(fields, at: place + length, end, sectorSize) else { return nil }
            migration = Migration(fields.integer(place + 89), status: status)
            previousMap = second
            length += second.lengthInMetadata
        }
        lengthInMetadata = length
    }
}

/// Where the data of an IMSM volume lie.
public struct IMSMMap: Sendable, Hashable {
    /// What the firmware thinks of the volume.
    public enum State: Sendable, Hashable {
        case normal, uninitialized, degraded, failed
        /// A state that is not known here.
        case unknown(UInt8)

        /// The word that mdadm(8) prints.
        public var word: String {
            switch self {
            case .normal: return "normal"
            case .uninitialized: return "uninitialized"
            case .degraded: return "degraded"
            case .failed: return "failed"
            case .unknown(let raw): return "unknown(\(raw))"
            }
        }

        fileprivate init(_ raw: UInt8) {
            switch raw {
            case 0: self = .normal
            case 1: self = .uninitialized
            case 2: self = .degraded
            case 3: self = .failed
            default: self = .unknown(raw)
            }
        }
    }

    /// A member's place.
    public struct Slot: Sendable, Hashable {
        /// Number of the disk in the metadata.
        public var disk: Int
        /// Whether what it holds is not yet, or no longer, right.
        public var isOutOfSync: Bool
    }

    /// First byte on each member.
    public var firstByte: Int64
    /// Bytes that each member sets aside.
    public var memberLengthInBytes: Int64
    /// Number of stripes; with copies, of those that one copy takes on half of the members.
    public var stripeCount: UInt64
    /// Bytes of a chunk.
    public var chunkSizeInBytes: Int64
    /// What the firmware thinks of the volume.
    public var state: State
    /// RAID level, 10 among them.
    public var level: Int
    /// Copies of everything.
    public var copyCount: Int
    /// Number of the disk that failed first; nil for none.
    public var failedDisk: Int?
    /// The members in order.
    public var slots: [Slot]

    fileprivate var lengthInMetadata: Int { 48 + slots.count * 4 }

    fileprivate init?(_ fields: Fields, at place: Int, _ end: Int, _ sectorSize: Int) {
        let members = Int(fields.integer(place + 16, as: UInt8.self))
        guard place + 48 + members * 4 <= end else { return nil }
        firstByte = fields.sectors(place, place + 20, of: sectorSize)
        memberLengthInBytes = fields.sectors(place + 4, place + 24, of: sectorSize)
        stripeCount = UInt64(fields.integer(place + 8, as: UInt32.self))
        stripeCount |= UInt64(fields.integer(place + 28, as: UInt32.self)) << 32
        chunkSizeInBytes = Int64(fields.integer(place + 12, as: UInt16.self)) * Int64(sectorSize)
        state = State(fields.integer(place + 14))
        let raw: UInt8 = fields.integer(place + 15)
        // Mirrors side by side have the number of one.
        level = raw == 1 && members != 2 ? 10 : Int(raw)
        copyCount = Int(fields.integer(place + 17, as: UInt8.self))
        let failed: UInt8 = fields.integer(place + 18)
        failedDisk = failed == 0xff ? nil : Int(failed)
        slots = (0..<members).map { member in
            let entry: UInt32 = fields.integer(place + 48 + member * 4)
            return Slot(disk: Int(entry & 0xff_ffff), isOutOfSync: entry & 1 << 24 != 0)
        }
    }
}
