// SPDX-License-Identifier: GPL-3.0-or-later

/// The targets of Package.swift, read from its text: `swift package dump-package` waits for the build that runs us.
struct PackageManifest {
    struct Target {
        var name: String
        /// The call's arguments as written.
        var call: String
        /// Every string in the call but its name: among them, the rooms it depends on.
        var strings: Set<String>
        var isInSources: Bool
        var hasStrictSettings: Bool
    }

    var targets: [Target]

    init(_ text: String) {
        // What the helper functions at the top of the manifest put into each of their targets.
        let helpers = text.matches(of: /func (\w+)\(_ name: String.*?\n}\n/.dotMatchesNewlines())
        let strictHelpers = Set(
            helpers.filter { $0.output.0.contains("swiftSettings: strict") }.map { String($0.output.1) })

        guard let list = text.firstRange(of: "\n    targets: [") else {
            targets = []
            return
        }
        let body = text[list.upperBound...]
        let calls = body.matches(of: /\n        (\.\w+|room|tests)\((?:\n\s*)?(?:name: )?"([^"]+)"/)
        targets = calls.map { match in
            let function = String(match.output.1)
            let name = String(match.output.2)
            let call = Self.balanced(body[match.range.lowerBound...])
            let strings = Set(call.matches(of: /"([^"]+)"/).map { String($0.output.1) }).subtracting([name])
            return Target(
                name: name, call: call, strings: strings,
                isInSources: function != "tests" && !call.contains("path: \"Tests/"),
                hasStrictSettings: strictHelpers.contains(function) || call.contains("swiftSettings: strict"))
        }
    }

    /// Returns `text` up to the parenthesis that closes its first one.
    private static func balanced(_ text: Substring) -> String {
        var depth = 0
        var call = ""
        for character in text {
            call.append(character)
            if character == "(" { depth += 1 }
            if character == ")" {
                depth -= 1
                if depth == 0 { break }
            }
        }
        return call
    }
}
