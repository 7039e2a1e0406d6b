// SPDX-License-Identifier: GPL-3.0-or-later

/// A value of LVM2's text metadata.
indirect enum LVMValue: Sendable, Hashable {
    case integer(Int64)
    case text(String)
    case array([LVMValue])
    case section(LVMSection)
}

/// A section of LVM2's text metadata: names with values, in the order in which they stand.
struct LVMSection: Sendable, Hashable {
    var entries: [(name: String, value: LVMValue)] = []

    func section(_ name: String) -> LVMSection? {
        if case .section(let section)? = value(name) { return section }
        return nil
    }

    func text(_ name: String) -> String? {
        if case .text(let text)? = value(name) { return text }
        return nil
    }

    func integer(_ name: String) -> Int64? {
        if case .integer(let integer)? = value(name) { return integer }
        return nil
    }

    /// The texts of an array; of a single text, that one.
    func texts(_ name: String) -> [String] {
        switch value(name) {
        case .text(let text)?: return [text]
        case .array(let values)?:
            return values.compactMap { if case .text(let text) = $0 { text } else { nil } }
        default: return []
        }
    }

    func array(_ name: String) -> [LVMValue] {
        if case .array(let values)? = value(name) { return values }
        return []
    }

    /// All sections in it.
    var sections: [(name: String, section: LVMSection)] {
        entries.compactMap { if case .section(let section) = $0.value { ($0.name, section) } else { nil } }
    }

    private func value(_ name: String) -> LVMValue? { entries.first { $0.name == name }?.value }

    static func == (left: LVMSection, right: LVMSection) -> Bool {
        left.entries.count == right.entries.count
            && zip(left.entries, right.entries).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }

    func hash(into hasher: inout Hasher) {
        for entry in entries {
            hasher.combine(entry.name)
            hasher.combine(entry.value)
        }
    }
}

/// Reads LVM2's text metadata: `name { … }`, `name = value`, `[a, b]`, `"text"` with backslashes, `# comment`.
///
/// lvm(8), lvm.conf(5) have the same syntax. Depth and number of values are bounded.
struct LVMTextParser {
    private static let maximumDepth = 16
    private static let maximumValues = 4_000_000

    private let bytes: [UInt8]
    private var position = 0
    private var values = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Returns the outermost section; nil when the text is none.
    static func parse(_ bytes: [UInt8]) -> LVMSection? {
        var parser = LVMTextParser(bytes)
        guard let section = parser.section(depth: 0) else { return nil }
        return parser.position >= bytes.count ? section : nil
    }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipBlanks() {
        while let byte = current {
            if byte == UInt8(ascii: "#") {
                while let byte = current, byte != 0x0a { position += 1 }
            } else if byte <= 0x20 {
                // The text ends in a zero.
                position += 1
            } else {
                return
            }
        }
    }

    /// Reads entries up to the closing brace, or the end at depth 0; nil for what is no such text.
    private mutating func section(depth: Int) -> LVMSection? {
        guard depth < Self.maximumDepth else { return nil }
        var section = LVMSection()
        while true {
            skipBlanks()
            guard let byte = current else { return depth == 0 ? section : nil }
            if byte == UInt8(ascii: "}") {
                position += 1
                return depth > 0 ? section : nil
            }
            guard let name = name() else { return nil }
            skipBlanks()
            values += 1
            guard values <= Self.maximumValues else { return nil }
            switch current {
            case UInt8(ascii: "{"):
                position += 1
                guard let inner = self.section(depth: depth + 1) else { return nil }
                section.entries.append((name, .section(inner)))
            case UInt8(ascii: "="):
                position += 1
                guard let value = value() else { return nil }
                section.entries.append((name, value))
            default: return nil
            }
        }
    }

    private mutating func name() -> String? {
        let start = position
        while let byte = current, byte > 0x20, ![0x7b, 0x7d, 0x3d, 0x23, 0x5b, 0x5d, 0x2c].contains(byte) {
            position += 1
        }
        guard position > start else { return nil }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        return text.first == "\"" && text.last == "\"" && text.count > 1 ? String(text.dropFirst().dropLast()) : text
    }

    private mutating func value() -> LVMValue? {
        skipBlanks()
        guard current == UInt8(ascii: "[") else { return scalar() }
        position += 1
        var values: [LVMValue] = []
        while true {
            skipBlanks()
            switch current {
            case nil: return nil
            case UInt8(ascii: "]"):
                position += 1
                return .array(values)
            case UInt8(ascii: ","): position += 1
            default:
                self.values += 1
                guard self.values <= Self.maximumValues, let value = scalar() else { return nil }
                values.append(value)
            }
        }
    }

    private mutating func scalar() -> LVMValue? {
        if current == UInt8(ascii: "\"") { return text().map { .text($0) } }
        let start = position
        while let byte = current, byte > 0x20, ![0x5d, 0x2c, 0x7d, 0x23].contains(byte) { position += 1 }
        guard position > start else { return nil }
        let word = String(decoding: bytes[start..<position], as: UTF8.self)
        return Int64(word).map { .integer($0) } ?? .text(word)
    }

    private mutating func text() -> String? {
        position += 1
        var content: [UInt8] = []
        while let byte = current {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: content, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard let next = current else { return nil }
                content.append(next)
                position += 1
            default: content.append(byte)
            }
        }
        return nil
    }
}
