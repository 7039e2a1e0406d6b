// SPDX-License-Identifier: GPL-3.0-or-later

/// Lines of a configuration file, in the few shapes that they have.
enum ConfigurationText {
    /// Most lines that are looked at.
    static let maximumLines = 100_000

    /// Returns the lines of `text` without blanks around them, comments and empty ones left out.
    static func lines(_ text: String, comments: [Character] = ["#"]) -> [String] {
        let all = text.split(whereSeparator: \.isNewline)
        var result: [String] = []
        for line in all.prefix(maximumLines) {
            let line = trim(line)
            if let first = line.first, !comments.contains(first) { result.append(line) }
        }
        return result
    }

    /// Returns the words of a line.
    static func words(_ line: some StringProtocol) -> [String] {
        String(line).split { $0 == " " || $0 == "\t" }.map { String($0) }
    }

    /// Returns `text` without white space around it.
    static func trim(_ text: some StringProtocol) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }),
            let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }

    /// Returns `text` without the quotes around it, and what backslashes stand before in double ones.
    static func unquote(_ text: some StringProtocol) -> String {
        let text = trim(text)
        guard let quote = text.first, quote == "\"" || quote == "'" else { return text }
        var result = ""
        var isEscaped = false
        for character in text.dropFirst() {
            if isEscaped {
                result.append(character)
                isEscaped = false
            } else if character == "\\" && quote == "\"" {
                isEscaped = true
            } else if character == quote {
                break
            } else {
                result.append(character)
            }
        }
        return result
    }

    /// Returns the assignments of a shell's file, `KEY="value"`, the last one of a name.
    ///
    /// os-release(5).
    static func assignments(_ text: String) -> [String: String] {
        var values: [String: String] = [:]
        for line in lines(text) {
            var line = Substring(line)
            if line.hasPrefix("export ") { line = line.dropFirst(7) }
            guard let sign = line.firstIndex(of: "=") else { continue }
            let key = trim(line[..<sign])
            var value = trim(line[line.index(after: sign)...])
            if value.first != "\"", value.first != "'", let comment = value.firstRange(of: " #") {
                value = trim(value[..<comment.lowerBound])
            }
            values[key] = unquote(value)
        }
        return values
    }
}

/// Sections of an INI file, in which keys may stand several times: NetworkManager's and systemd's.
struct Sections {
    /// A section's name and its lines.
    struct Section {
        var name: String
        var values: [(key: String, value: String)] = []
    }

    private(set) var all: [Section] = []

    /// Reads `text`; names of sections and keys are compared in lower case.
    init(_ text: String) {
        for line in ConfigurationText.lines(text, comments: ["#", ";"]) {
            if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
                all.append(Section(name: line[line.index(after: line.startIndex)..<end].lowercased()))
            } else if let sign = line.firstIndex(of: "="), !all.isEmpty {
                all[all.count - 1].values.append(
                    (
                        ConfigurationText.trim(line[..<sign]).lowercased(),
                        ConfigurationText.trim(line[line.index(after: sign)...])
                    ))
            }
        }
    }

    /// Returns every value of `key` in the sections called `section`.
    func values(_ section: String, _ key: String) -> [String] {
        all.filter { $0.name == section }.flatMap { $0.values.filter { $0.key == key }.map(\.value) }
            .filter { !$0.isEmpty }
    }

    /// Returns the first value of `key` in the sections called `section`.
    func value(_ section: String, _ key: String) -> String? { values(section, key).first }
}
