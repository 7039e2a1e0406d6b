// SPDX-License-Identifier: GPL-3.0-or-later

/// What the checks need to know of a Swift file: its text, read line by line.
struct SwiftSource {
    /// An import declaration.
    struct Import: Hashable {
        /// First component of the imported name; nil for a declaration this reader does not understand.
        var module: String?
        /// Number of its line, from 1.
        var line: Int
    }

    /// The lines that every source file begins with, or that follow the tools version in the manifest.
    static let licence = "// SPDX-License-Identifier: GPL-3.0-or-later"

    var lines: [Substring]

    init(_ text: String) {
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Every import declaration: of any access level, with attributes, of one symbol, or of a submodule.
    var imports: [Import] {
        var found: [Import] = []
        var isInText = false
        for (index, line) in lines.enumerated() {
            let marks = line.ranges(of: "\"\"\"").count
            defer { if !marks.isMultiple(of: 2) { isInText.toggle() } }
            guard !isInText else { continue }
            // Block comments are forbidden by the linter; one within a line would still hide what follows it.
            let code = line.replacing(/\/\*.*?\*\//, with: " ")
            for statement in code.split(separator: ";") {
                guard let rest = statement.firstMatch(of: Self.importKeyword)?.output.1 else { continue }
                let module = rest.firstMatch(of: Self.moduleName)?.output.1
                found.append(Import(module: module.map(String.init), line: index + 1))
            }
        }
        return found
    }

    private static var importKeyword: Regex<(Substring, Substring)> {
        /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\b(.*)$/
    }

    private static var moduleName: Regex<(Substring, Substring)> {
        /^\s+(?:(?:actor|class|enum|func|let|macro|protocol|struct|typealias|var)\s+)?`?(\w+)/
    }
}
