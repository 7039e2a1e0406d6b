// SPDX-License-Identifier: GPL-3.0-or-later

/// As much of YAML as netplan's files use: maps and lists by indentation or in brackets, plain and quoted scalars.
///
/// Tolerant: what it does not understand it leaves out. No anchors, no multi-line scalars. yaml.org/spec/1.2.2.
indirect enum YAMLText: Equatable {
    case scalar(String)
    case list([YAMLText])
    case map([String: YAMLText])

    /// Deepest nesting that is followed.
    private static let maximumDepth = 24

    private struct Line {
        var indent: Int
        var text: Substring
    }

    /// Reads `text`.
    static func parse(_ text: String) -> YAMLText {
        var lines: [Line] = []
        for line in text.split(whereSeparator: \.isNewline).prefix(ConfigurationText.maximumLines) {
            let stripped = withoutComment(line)
            let content = stripped.drop { $0 == " " }
            guard !content.isEmpty, !content.allSatisfy(\.isWhitespace), !content.hasPrefix("---"),
                !content.hasPrefix("%")
            else { continue }
            lines.append(Line(indent: stripped.count - content.count, text: content))
        }
        var index = 0
        return block(lines, &index, indent: lines.first?.indent ?? 0, depth: 0)
    }

    /// The value of `key` in a map.
    subscript(_ key: String) -> YAMLText? {
        guard case .map(let values) = self else { return nil }
        return values[key]
    }

    /// The text of a scalar.
    var text: String? {
        guard case .scalar(let text) = self, !text.isEmpty else { return nil }
        return text
    }

    /// The elements of a list; a scalar is its own only one.
    var elements: [YAMLText] {
        switch self {
        case .list(let elements): elements
        case .scalar(let text): text.isEmpty ? [] : [self]
        case .map: []
        }
    }

    /// The keys and values of a map in the order of the keys.
    var pairs: [(key: String, value: YAMLText)] {
        guard case .map(let values) = self else { return [] }
        return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Returns what the lines from `index` on say that are indented by `indent` exactly.
    private static func block(_ lines: [Line], _ index: inout Int, indent: Int, depth: Int) -> YAMLText {
        guard index < lines.count, depth < maximumDepth else {
            skip(lines, &index, indent: indent)
            return .scalar("")
        }
        return lines[index].text.hasPrefix("- ") || lines[index].text == "-"
            ? list(lines, &index, indent: indent, depth: depth) : map(lines, &index, indent: indent, depth: depth)
    }

    private static func skip(_ lines: [Line], _ index: inout Int, indent: Int) {
        while index < lines.count, lines[index].indent >= indent { index += 1 }
    }

    private static func list(_ lines: [Line], _ index: inout Int, indent: Int, depth: Int) -> YAMLText {
        var elements: [YAMLText] = []
        while index < lines.count, lines[index].indent == indent, lines[index].text.hasPrefix("-") {
            let rest = lines[index].text.dropFirst()
            let content = rest.drop { $0 == " " }
            guard !content.isEmpty else {
                index += 1
                elements.append(nested(lines, &index, below: indent, depth: depth))
                continue
            }
            if split(content) != nil {
                // A map begins on the dash's line: read on as if the dash were a blank.
                let inner = indent + 1 + rest.count - content.count
                var own = [Line(indent: inner, text: content)]
                index += 1
                while index < lines.count, lines[index].indent > indent {
                    own.append(lines[index])
                    index += 1
                }
                var position = 0
                elements.append(map(own, &position, indent: inner, depth: depth + 1))
            } else {
                elements.append(inline(content, depth: depth))
                index += 1
            }
        }
        if index < lines.count, lines[index].indent > indent { skip(lines, &index, indent: indent + 1) }
        return .list(elements)
    }

    private static func map(_ lines: [Line], _ index: inout Int, indent: Int, depth: Int) -> YAMLText {
        guard depth < maximumDepth else {
            skip(lines, &index, indent: indent)
            return .scalar("")
        }
        var values: [String: YAMLText] = [:]
        while index < lines.count, lines[index].indent >= indent {
            guard lines[index].indent == indent, let (key, rest) = split(lines[index].text) else {
                index += 1
                continue
            }
            index += 1
            values[key] = rest.isEmpty ? nested(lines, &index, below: indent, depth: depth) : inline(rest, depth: depth)
        }
        return .map(values)
    }

    /// Returns the block that is indented by more than `indent`, or a list that is indented just as much.
    private static func nested(_ lines: [Line], _ index: inout Int, below indent: Int, depth: Int) -> YAMLText {
        guard index < lines.count else { return .scalar("") }
        let isListBelowKey = lines[index].indent == indent && lines[index].text.hasPrefix("- ")
        guard lines[index].indent > indent || isListBelowKey else { return .scalar("") }
        return block(lines, &index, indent: lines[index].indent, depth: depth + 1)
    }

    /// Splits `key: value`; nil when there is no colon that ends a key.
    private static func split(_ text: Substring) -> (key: String, value: Substring)? {
        if let quote = text.first, quote == "\"" || quote == "'" {
            guard let end = text.dropFirst().firstIndex(of: quote) else { return nil }
            let rest = text[text.index(after: end)...]
            guard rest.hasPrefix(":") else { return nil }
            return (ConfigurationText.unquote(text[...end]), rest.dropFirst().drop { $0 == " " })
        }
        guard text.first != "[", text.first != "{" else { return nil }
        var position = text.startIndex
        while let colon = text[position...].firstIndex(of: ":") {
            let next = text.index(after: colon)
            if next == text.endIndex || text[next] == " " {
                return (ConfigurationText.trim(text[..<colon]), text[next...].drop { $0 == " " })
            }
            position = next
        }
        return nil
    }

    /// Returns what stands on the rest of a line.
    private static func inline(_ text: Substring, depth: Int) -> YAMLText {
        let text = ConfigurationText.trim(text)
        guard depth < maximumDepth else { return .scalar("") }
        if text.hasPrefix("["), text.hasSuffix("]"), text.count >= 2 {
            return .list(pieces(text.dropFirst().dropLast()).map { inline($0, depth: depth + 1) })
        }
        if text.hasPrefix("{"), text.hasSuffix("}"), text.count >= 2 {
            var values: [String: YAMLText] = [:]
            for piece in pieces(text.dropFirst().dropLast()) {
                if let (key, value) = split(piece.drop { $0 == " " }) { values[key] = inline(value, depth: depth + 1) }
            }
            return .map(values)
        }
        return .scalar(ConfigurationText.unquote(text))
    }

    /// Splits at commas that are in no brackets and no quotes.
    private static func pieces(_ text: Substring) -> [Substring] {
        var result: [Substring] = []
        var depth = 0
        var quote: Character?
        var start = text.startIndex
        for index in text.indices {
            let character = text[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "\"" || character == "'" {
                quote = character
            } else if character == "[" || character == "{" {
                depth += 1
            } else if character == "]" || character == "}" {
                depth -= 1
            } else if character == ",", depth == 0 {
                result.append(text[start..<index])
                start = text.index(after: index)
            }
        }
        result.append(text[start...])
        return result.filter { !$0.allSatisfy(\.isWhitespace) }
    }

    private static func withoutComment(_ line: Substring) -> Substring {
        var quote: Character?
        var before: Character = " "
        for index in line.indices {
            let character = line[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "\"" || character == "'" {
                quote = character
            } else if character == "#", before == " " || before == "\t" {
                return line[..<index]
            }
            before = character
        }
        return line
    }
}
