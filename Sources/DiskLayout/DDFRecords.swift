// SPDX-License-Identifier: GPL-3.0-or-later

/// The controller that DDF metadata were written by.
public struct DDFController: Sendable, Hashable {
    /// Identity.
    public var guid: DDFGUID
    /// Name of the product.
    public var product: String

    init(_ fields: Fields) {
        guid = DDFGUID(bytes: fields.part(8, 24))
        product = String(fields.text(40, 16).reversed().drop { $0 == " " }.reversed())
    }
}

/// A disk in DDF metadata.
///
/// Records of 64 bytes behind the section's first 64: GUID of 24, reference 32 bits, type and state 16 bits each, length
/// in sectors 64 bits, path of 18.
public struct DDFPhysicalDisk: Sendable, Hashable {
    /// Number of its record.
    public var index: Int
    /// Identity.
    public var guid: DDFGUID
    /// The number by which configurations call it.
    public var reference: UInt32
    /// What it is for, in bits.
    public var type: UInt16
    /// How it is, in bits.
    public var state: UInt16
    /// Bytes that volumes may take.
    public var lengthInBytes: Int64

    /// Whether it takes part, whatever it holds.
    public var isOnline: Bool { state & 1 != 0 && state & 2 == 0 && state & 64 == 0 }
    /// Whether it failed.
    public var hasFailed: Bool { state & 2 != 0 }
    /// Whether it is being filled.
    public var isRebuilding: Bool { state & 4 != 0 && !hasFailed }
    /// Whether it waits.
    public var isSpare: Bool { type & 12 != 0 && type & 2 == 0 }

    /// The words that mdadm(8) prints for type and state: `active/Online`.
    public var words: String {
        let types: [(UInt16, String)] = [
            (2, "active"), (4, "Global-Spare"), (8, "spare"), (16, ", foreign"), (32, "pass-through"),
        ]
        var states: [(UInt16, String)] = [
            (2, ", Failed"), (4, ", Rebuilding"), (8, ", in-transition"), (16, ", SMART-errors"),
            (32, ", Unrecovered-Read-Errors"), (64, ", Missing"),
        ]
        // Failed is stronger than what it was doing.
        if hasFailed { states.removeAll { $0.0 == 4 || $0.0 == 8 } }
        return types.filter { type & $0.0 != 0 }.map(\.1).joined() + "/"
            + (state & 1 != 0 && !hasFailed ? "Online" : "Offline")
            + states.filter { state & $0.0 != 0 }.map(\.1).joined()
    }

    static func all(_ fields: Fields, _ capacity: Int) -> [DDFPhysicalDisk] {
        (0..<min(capacity, fields.bytes.count / 64 - 1)).compactMap { index in
            let place = 64 + index * 64
            let reference: UInt32 = fields.integer(place + 24)
            guard reference != .max else { return nil }
            return DDFPhysicalDisk(
                index: index, guid: DDFGUID(bytes: fields.part(place, 24)), reference: reference,
                type: fields.integer(place + 28), state: fields.integer(place + 30),
                lengthInBytes: fields.bytes(ofSectorsAt: place + 32))
        }
    }
}

/// A volume in DDF metadata.
///
/// Records of 64 bytes behind the section's first 64: GUID of 24, unit 16 bits, type 16 bits at 30, state and state of
/// initialisation 8 bits each, name of 16 at 48.
public struct DDFVirtualDisk: Sendable, Hashable {
    /// Number of its record.
    public var index: Int
    /// Identity.
    public var guid: DDFGUID
    /// Number of the unit as which it is offered.
    public var unit: UInt16
    /// What it is, in bits.
    public var type: UInt16
    /// How it is.
    public var state: UInt8
    /// How far it was initialised, and who may write.
    public var initialization: UInt8
    let nameBytes: [UInt8]

    /// Name, without spaces at its end.
    public var name: String { String(Fields(nameBytes).text(0, 16).reversed().drop { $0 == " " }.reversed()) }
    /// Whether parity and copies may not agree.
    public var isInconsistent: Bool { state & 16 != 0 || initialization & 3 != 2 }
    /// Whether it gets another layout.
    public var isMorphing: Bool { state & 8 != 0 }
    /// Whether the firmware thinks it whole.
    public var isOptimal: Bool { state & 7 == 0 }

    /// The word that mdadm(8) prints for the state: `Optimal`.
    public var stateWord: String {
        [
            "Optimal", "Degraded", "Deleted", "Missing", "Failed", "Partially Optimal", "-reserved-", "-reserved-",
        ][Int(state & 7)]
    }

    /// The words that mdadm(8) prints for all of the state: `Optimal, Consistent`.
    public var stateWords: String {
        "\(stateWord), \(isMorphing ? "Morphing, " : "")\(state & 16 != 0 ? "Not Consistent" : "Consistent")"
    }

    /// The words that mdadm(8) prints for the state of initialisation.
    public var initializationWords: String {
        ["Not Initialised", "QuickInit in Progress", "Fully Initialised", "*UNKNOWN*"][Int(initialization & 3)]
    }

    /// The words that mdadm(8) prints for who may access it.
    public var accessWords: String {
        ["Read/Write", "Reserved", "Read Only", "Blocked (no access)"][Int(initialization >> 6)]
    }

    static func all(_ fields: Fields, _ capacity: Int) -> [DDFVirtualDisk] {
        (0..<min(capacity, fields.bytes.count / 64 - 1)).compactMap { index in
            let place = 64 + index * 64
            let guid = DDFGUID(bytes: fields.part(place, 24))
            guard !guid.isUnused else { return nil }
            return DDFVirtualDisk(
                index: index, guid: guid, unit: fields.integer(place + 24), type: fields.integer(place + 30),
                state: fields.integer(place + 32), initialization: fields.integer(place + 33),
                nameBytes: Array(fields.part(place + 48, 16)))
        }
    }
}

/// Where a volume, or one of the sets of members that it is made of, lies.
///
/// ```
/// byte 8    GUID of the volume, 24     byte 68   qualifier of the level, 8 bits
/// byte 36   sequence number            byte 69   sets of members, 8 bits, byte 70 which of them, byte 71 how combined
/// byte 64   members, 16 bits           byte 72   sectors a member, 64 bits
/// byte 66   chunk: 512 << this, 8 bits byte 80   sectors of the volume, 64 bits
/// byte 67   level, 8 bits              byte 512  references, 32 bits; then first sectors, 64 bits
/// ```
public struct DDFConfiguration: Sendable, Hashable {
    /// A member's place.
    public struct Member: Sendable, Hashable {
        /// The number by which the disk is called.
        public var reference: UInt32
        /// First byte on it.
        public var firstByte: Int64

        /// Whether no disk is named.
        public var isVacant: Bool { reference == .max }
    }

    /// Identity of the volume.
    public var guid: DDFGUID
    /// Counts changes.
    public var sequence: UInt32
    /// Bytes of a chunk; nil where the level has none.
    public var chunkSizeInBytes: Int64?
    /// RAID level, by its number.
    public var level: UInt8
    /// What else there is to the level.
    public var qualifier: UInt8
    /// Sets of members that the volume is made of: one, where the level says all.
    public var setCount: Int
    /// Which of these sets this is.
    public var setIndex: Int
    /// How the sets are combined, by number.
    public var secondaryLevel: UInt8
    /// Bytes that each member holds.
    public var memberLengthInBytes: Int64
    /// Length of the volume in bytes.
    public var lengthInBytes: Int64
    /// The members in order.
    public var members: [Member] = []

    /// The word that mdadm(8) prints for the level: `RAID5`.
    public var levelWord: String {
        switch level {
        case 0, 1, 3, 4, 5, 6: return "RAID\(level)"
        case 0x0f: return "JBOD"
        case 0x11: return "RAID1E"
        case 0x15: return "RAID5E"
        case 0x1f: return "CONCAT"
        case 0x25: return "RAID5EE"
        default: return "-unknown-"
        }
    }

    /// The word that mdadm(8) prints for how sets are combined.
    public var secondaryWord: String {
        let words = ["Striped", "Mirrored", "Concat", "Spanned"]
        return words.indices.contains(Int(secondaryLevel)) ? words[Int(secondaryLevel)] : "-unknown-"
    }

    /// Decodes a record that has place for `places` members; nil when it says that it has more.
    init?(_ fields: Fields, _ places: Int) {
        let count = Int(fields.integer(64, as: UInt16.self))
        guard count > 0, count <= places, 512 + places * 12 <= fields.bytes.count else { return nil }
        guid = DDFGUID(bytes: fields.part(8, 24))
        sequence = fields.integer(36)
        let shift: UInt8 = fields.integer(66)
        chunkSizeInBytes = shift < 32 ? 512 << Int64(shift) : nil
        level = fields.integer(67)
        qualifier = fields.integer(68)
        setCount = Int(fields.integer(69, as: UInt8.self))
        setIndex = Int(fields.integer(70, as: UInt8.self))
        secondaryLevel = fields.integer(71)
        memberLengthInBytes = fields.bytes(ofSectorsAt: 72)
        lengthInBytes = fields.bytes(ofSectorsAt: 80)
        let all = (0..<places).map { place in
            Member(
                reference: fields.integer(512 + place * 4),
                firstByte: fields.bytes(ofSectorsAt: 512 + places * 4 + place * 8))
        }
        // Unused places may stand between used ones; with fewer used ones than members, they are vacant members.
        let used = all.filter { !$0.isVacant }
        members = Array((used.count >= count ? used : all).prefix(count))
    }
}

extension Fields {
    /// Returns in bytes a count of sectors of 512 bytes, at most 63 bits of them.
    fileprivate func bytes(ofSectorsAt place: Int) -> Int64 {
        let (bytes, overflow) = integer(place, as: UInt64.self).multipliedReportingOverflow(by: 512)
        return overflow ? .max : Int64(clamping: bytes)
    }
}
