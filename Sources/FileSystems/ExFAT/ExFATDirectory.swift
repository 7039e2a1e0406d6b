// SPDX-License-Identifier: GPL-3.0-or-later

/// A directory's entry with those that belong to it, of 32 bytes each.
struct ExFATEntries: Sendable {
    static let bitmap: UInt8 = 0x81
    static let upperCase: UInt8 = 0x82
    static let label: UInt8 = 0x83
    static let file: UInt8 = 0x85
    static let stream: UInt8 = 0xc0
    static let name: UInt8 = 0xc1
    /// Bytes of an entry.
    static let size = 32
    /// Most entries that follow a file's.
    private static let secondaries = 2...18

    /// Where the first one lies on the volume.
    let offset: Int64
    let fields: ByteFields

    var type: UInt8 { fields.byte(0) }
    /// Whether the entries are a file's, or a directory's.
    var isFile: Bool { type == Self.file }
    var isDirectory: Bool { fields.byte(4) & 0x10 != 0 }
    /// Where its content lies.
    var content: ExFATPlace { place(at: Self.size) }
    /// What lies behind in the content was never written, and reads as zeros.
    var validLength: Int64 { fields.little(Self.size + 8) }

    /// Bytes and bits alike in all entries that have clusters: 1 flags, 20 first cluster, 24 length.
    func place(at entry: Int) -> ExFATPlace {
        ExFATPlace(
            first: fields.little(entry + 20), isContiguous: fields.byte(entry + 1) & 2 != 0,
            length: fields.little(entry + 24))
    }

    /// The name, in units of UTF-16.
    var units: ArraySlice<UInt16> {
        var units: [UInt16] = []
        for entry in stride(from: 2 * Self.size, to: fields.count, by: Self.size)
        where fields.byte(entry) == Self.name {
            for place in stride(from: entry + 2, to: entry + Self.size, by: 2) { units.append(fields.little(place)) }
        }
        return units.prefix(Int(fields.byte(Self.size + 3)))
    }

    /// What else than the content the entries give clusters to: a vendor's additions.
    var additions: [ExFATPlace] {
        stride(from: 2 * Self.size, to: fields.count, by: Self.size).compactMap { entry in
            let place = place(at: entry)
            // Benign secondary entries whose clusters are possible.
            return fields.byte(entry) & 0xe0 == 0xe0 && fields.byte(entry + 1) & 1 != 0 && place.first != 0
                ? place : nil
        }
    }

    /// Returns how many entries follow the first one of `type`; nil when there cannot be so many.
    static func following(_ first: ByteFields) -> Int? {
        guard first.byte(0) == file else { return 0 }
        let count = Int(first.byte(1))
        return secondaries.contains(count) ? count : nil
    }

    /// Tells why the entries of a file make no sense; nil when they do.
    var fault: String? {
        guard isFile else { return nil }
        var sum: UInt16 = 0
        for (place, byte) in fields.bytes.enumerated() where place != 2 && place != 3 {
            sum = (sum >> 1 | sum << 15) &+ UInt16(byte)
        }
        if sum != fields.little(2, as: UInt16.self) { return "its entries' checksum" }
        let nameLength = Int(fields.byte(Self.size + 3))
        guard fields.byte(Self.size) == Self.stream, nameLength > 0, units.count == nameLength else {
            return "its entries"
        }
        guard let length = content.length, length >= 0, validLength >= 0, validLength <= length,
            (length == 0) == (content.first == 0), additions.allSatisfy({ ($0.length ?? -1) >= 0 })
        else { return "its sizes" }
        return nil
    }
}

/// Puts a directory's entries together, one after the other.
struct ExFATCollector {
    /// Whether what does not belong together is an error, or passed over.
    private let isStrict: Bool
    private let volume: String
    private var pending: [UInt8] = []
    private var missing = 0
    private var offset: Int64 = 0
    /// Whether the directory's end was seen.
    private(set) var isAtEnd = false

    init(isStrict: Bool, volume: String) {
        self.isStrict = isStrict
        self.volume = volume
    }

    /// Takes an entry that lies at byte `place`; returns those that it completes.
    mutating func add(_ entry: ArraySlice<UInt8>, at place: Int64) throws(FileSystemError) -> ExFATEntries? {
        let type = entry.first ?? 0
        // Secondary entries, in use.
        let belongs = type & 0xc0 == 0xc0
        if missing > 0 ? !belongs : belongs {
            // A file whose entries were cut off, or some without a file.
            try complain(missing > 0 ? offset : place, "its entries are torn apart")
            missing = 0
        }
        if type == 0 { isAtEnd = true }
        if type < 0x80 { return nil }
        if belongs {
            guard missing > 0 else { return nil }
            pending += entry
            missing -= 1
        } else {
            pending = Array(entry)
            offset = place
            guard let count = ExFATEntries.following(ByteFields(entry)) else {
                try complain(place, "how many entries it has")
                return nil
            }
            missing = count
        }
        guard missing == 0 else { return nil }
        let entries = ExFATEntries(offset: offset, fields: ByteFields(pending))
        guard let fault = entries.fault else { return entries }
        try complain(offset, fault)
        return nil
    }

    /// Ends the directory: nothing may be left.
    func finish() throws(FileSystemError) {
        if missing > 0 { try complain(offset, "its entries are cut off") }
    }

    private func complain(_ place: Int64, _ what: String) throws(FileSystemError) {
        if isStrict { throw FileSystemError(volume, file: "inode \(place)", .damaged(what)) }
    }
}

/// Makes names that differ in case only the same: the table that every exFAT volume brings along.
struct ExFATUpperCase: Sendable {
    private var units: [UInt16]

    /// Decodes the table: a unit for each one from 0, or 0xffff and how many stay as they are.
    init(_ bytes: [UInt8]) {
        units = (0...UInt16.max).map { $0 }
        let fields = ByteFields(bytes)
        var unit = 0
        var place = 0
        while place + 1 < fields.count, unit < units.count {
            let value: UInt16 = fields.little(place)
            place += 2
            if value == .max, place + 1 < fields.count {
                unit += Int(fields.little(place, as: UInt16.self))
                place += 2
            } else {
                units[unit] = value
                unit += 1
            }
        }
    }

    /// Returns the checksum of a table's bytes.
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        bytes.reduce(0) { ($0 >> 1 | $0 << 31) &+ UInt32($1) }
    }

    /// Returns `text` in upper case.
    func folded(_ text: String) -> [UInt16] { text.utf16.map { units[Int($0)] } }
}
