// SPDX-License-Identifier: GPL-3.0-or-later

/// LVM2's configuration text, in which its metadata are written: sections, integers, strings and lists of both.
///
/// ```
/// name {            # comment
///     count = 4
///     id = "text with \" and \\"
///     stripes = [ "pv0", 7 ]
/// }
/// ```
/// lvm.conf(5) and lvmconfig(8) describe the syntax.
struct LVMConfig {
    /// Deepest nesting of sections that is followed; metadata take five.
    static let maximumDepth = 16
    /// Most entries of one text.
    static let maximumEntries = 1_000_000

    /// One value, or one element of a list.
    enum Value: Sendable, Hashable {
        case integer(Int64)
        case text(String)
    }

    /// What a name stands for.
    enum Node: Sendable {
        case section(Section)
        /// A single value is a list of one.
        case values([Value])
    }

    /// Names and what they stand for, in the order of the text; of a name that comes twice the first counts.
    struct Section: Sendable {
        private(set) var names: [String] = []
        private var nodes: [String: Node] = [:]

        fileprivate mutating func add(_ name: String, _ node: Node) {
            guard nodes[name] == nil else { return }
            names.append(name)
            nodes[name] = node
        }

        subscript(section name: String) -> Section? {
            if case .section(let section)? = nodes[name] { return section }
            return nil
        }

        /// The values of `name`; empty where there are none.
        subscript(values name: String) -> [Value] {
            if case .values(let values)? = nodes[name] { return values }
            return []
        }

        /// The integer that `name` stands for.
        func integer(_ name: String) -> Int64? {
            if case .integer(let value)? = self[values: name].first { return value }
            return nil
        }

        /// The text that `name` stands for.
        func text(_ name: String) -> String? {
            if case .text(let value)? = self[values: name].first { return value }
            return nil
        }

        /// The texts of a list, other values left out.
        func texts(_ name: String) -> [String] {
            self[values: name].compactMap {
                if case .text(let value) = $0 { return value }
                return nil
            }
        }

        /// The sections in this one, with their names.
        var sections: [(name: String, section: Section)] {
            names.compactMap { name in self[section: name].map { (name, $0) } }
        }
    }

    /// A text that is none: what was expected, and in which line.
    struct SyntaxError: Error, CustomStringConvertible {
        var line: Int
        var problem: String
        var description: String { "line \(line): \(problem)" }
    }

    private let bytes: [UInt8]
    private var position = 0
    private var entries = 0

    /// Returns the sections and values of `text`, which ends at its first zero byte.
    static func parse(_ text: [UInt8]) throws(SyntaxError) -> Section {
        var parser = LVMConfig(bytes: Array(text.prefix { $0 != 0 }))
        return try parser.section(depth: 0)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func error(_ problem: String) -> SyntaxError {
        SyntaxError(line: bytes.prefix(position).count { $0 == UInt8(ascii: "\n") } + 1, problem: problem)
    }

    /// The next byte that is neither white space nor in a comment, nil at the end.
    private mutating func next() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            case UInt8(ascii: "#"):
                while position < bytes.count, bytes[position] != 0x0a { position += 1 }
            default: return bytes[position]
            }
        }
        return nil
    }

    private mutating func section(depth: Int) throws(SyntaxError) -> Section {
        guard depth <= Self.maximumDepth else { throw error("sections lie too deep in each other") }
        var section = Section()
        while let byte = next() {
            if byte == UInt8(ascii: "}") {
                guard depth > 0 else { throw error("} without {") }
                position += 1
                return section
            }
            entries += 1
            guard entries <= Self.maximumEntries else { throw error("there are too many entries") }
            let name = try self.name()
            switch next() {
            case UInt8(ascii: "{"):
                position += 1
                section.add(name, .section(try self.section(depth: depth + 1)))
            case UInt8(ascii: "="):
                position += 1
                section.add(name, .values(try values()))
            default: throw error("neither { nor = behind \(name)")
            }
        }
        guard depth == 0 else { throw error("the text ends within a section") }
        return section
    }

    private mutating func name() throws(SyntaxError) -> String {
        let start = position
        while position < bytes.count, Self.isPartOfName(bytes[position]) { position += 1 }
        guard position > start else { throw error("a name is expected") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private static func isPartOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "@"):
            return true
        default: return false
        }
    }

    private mutating func values() throws(SyntaxError) -> [Value] {
        guard next() == UInt8(ascii: "[") else { return [try value()] }
        position += 1
        var values: [Value] = []
        while let byte = next() {
            if byte == UInt8(ascii: "]") {
                position += 1
                return values
            }
            entries += 1
            guard entries <= Self.maximumEntries else { throw error("there are too many entries") }
            values.append(try value())
            switch next() {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"): break
            default: throw error("neither , nor ] behind an element")
            }
        }
        throw error("the text ends within a list")
    }

    private mutating func value() throws(SyntaxError) -> Value {
        guard let first = next() else { throw error("the text ends before a value") }
        if first == UInt8(ascii: "\"") { return .text(try quoted()) }
        let word = try name()
        guard let integer = Int64(word) else { return .text(word) }
        return .integer(integer)
    }

    /// Reads a text in quotation marks, in which a backslash takes the next character as it is.
    private mutating func quoted() throws(SyntaxError) -> String {
        position += 1
        var text: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), position < bytes.count {
                text.append(bytes[position])
                position += 1
            } else {
                text.append(byte)
            }
        }
        throw error("the text ends within quotation marks")
    }
}
