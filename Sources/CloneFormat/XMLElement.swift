// SPDX-License-Identifier: GPL-3.0-or-later

/// An element of an XML document to write: with text or with children, never both.
struct XMLElement: Sendable {
    private let name: String
    /// Sorted by name, so that the same values give the same bytes.
    private let attributes: [(key: String, value: String)]
    private let children: [XMLElement]
    private let text: String?

    /// Makes an element; children that are nil are left out.
    init(_ name: String, _ attributes: [String: String] = [:], _ children: [XMLElement?] = []) {
        self.name = name
        self.attributes = attributes.sorted { $0.key < $1.key }
        self.children = children.compactMap(\.self)
        text = nil
    }

    /// Makes an element of text.
    init(_ name: String, _ attributes: [String: String] = [:], text: String) {
        self.name = name
        self.attributes = attributes.sorted { $0.key < $1.key }
        children = []
        self.text = text
    }

    /// Returns the element on lines of its own, two spaces a level.
    func rendered(indent: Int) -> String {
        let space = String(repeating: " ", count: indent)
        let start = "\(space)<\(name)" + attributes.map { " \($0.key)='\(Self.escape($0.value))'" }.joined()
        if let text { return "\(start)>\(Self.escape(text))</\(name)>\n" }
        guard !children.isEmpty else { return "\(start)/>\n" }
        return "\(start)>\n" + children.map { $0.rendered(indent: indent + 2) }.joined() + "\(space)</\(name)>\n"
    }

    /// Extensible Markup Language 1.0, 2.2 and 2.4: control characters are not allowed at all.
    private static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "'": result += "&apos;"
            case "\"": result += "&quot;"
            case "\u{0}"..<"\u{20}", "\u{7f}"..<"\u{a0}", "\u{fffe}", "\u{ffff}": result += "?"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
