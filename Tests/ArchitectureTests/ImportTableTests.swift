// SPDX-License-Identifier: GPL-3.0-or-later

internal import Testing

/// Holds every import in Sources against the table, and the table against itself.
@Suite struct ImportTableTests {
    private let table = ImportTable.coldclone

    @Test func everyImportIsInTheTable() throws {
        var imports = 0
        for path in try Repository.files(below: "Sources", endingIn: [".swift"]) {
            let found = try Repository.source(path).imports
            imports += found.count
            let violations = Self.violations(of: table, room: Self.room(of: path), imports: found)
            #expect(violations.isEmpty, "\(path)")
        }
        // No import at all means that nothing was read.
        #expect(imports > 20)
    }

    @Test func foundationIsImportedNowhereInSources() throws {
        for path in try Repository.files(below: "Sources", endingIn: [".swift"]) {
            let modules = Set(try Repository.source(path).imports.compactMap(\.module))
            #expect(modules.isDisjoint(with: ["Foundation", "FoundationNetworking", "FoundationXML"]), "\(path)")
        }
    }

    @Test func roomsOfCHoldNoSwift() throws {
        for room in table.cRooms {
            #expect(try Repository.files(below: "Sources/\(room)", endingIn: [".swift"]).isEmpty, "\(room)")
        }
    }

    @Test func importsPointDownwardsOnly() {
        for room in table.mayImport.keys {
            #expect(!table.reach(of: room).contains(room), "\(room) imports itself through others")
        }
    }

    @Test func nothingForbiddenIsReachable() {
        #expect(Set(table.neverReaches.keys) == Set(table.mayImport.keys))
        for (room, forbidden) in table.neverReaches {
            #expect(table.reach(of: room).isDisjoint(with: forbidden), "\(room)")
        }
    }

    // A test that cannot fail is worthless: the checker must see what it is there for, however it is written.

    @Test(arguments: [
        "import Crypto", "internal import Crypto", "public import Crypto", "private import Crypto",
        "@testable import Crypto", "@_exported public import Crypto", "@_spi(Secret) @testable import Crypto",
        "import struct Crypto.SHA256", "internal import func Crypto.hash", "import Crypto.Insecure",
        "  import Crypto  // for a moment", "import BlockIO; import Crypto", "import `Crypto`",
        "/* why not */ import Crypto", "@preconcurrency\nimport Crypto",
    ])
    func aForbiddenImportIsCaught(_ text: String) {
        let found = SwiftSource("// SPDX\n\n\(text)\n").imports
        #expect(found.contains { $0.module == "Crypto" })
        #expect(Self.violations(of: table, room: "DiskImage", imports: found).count == 1)
        #expect(Self.violations(of: table, room: "Capture", imports: found).isEmpty)
    }

    @Test func anImportThatCannotBeReadIsCaught() {
        let found = SwiftSource("import\n    Crypto").imports
        #expect(Self.violations(of: table, room: "Capture", imports: found).count == 1)
    }

    @Test(arguments: [
        "// import Crypto", "/// import Crypto", "let importCrypto = 1", "#if canImport(Crypto)", "importCrypto()",
        "let text = \"import Crypto\"", "let text = \"\"\"\n    import Crypto\n    \"\"\"",
    ])
    func whatIsNoImportIsLeftAlone(_ text: String) {
        #expect(SwiftSource(text).imports.isEmpty)
    }

    @Test func anUnknownRoomMayImportNothing() {
        let found = SwiftSource("import BlockIO").imports
        #expect(Self.violations(of: table, room: "Helpers", imports: found).count == 1)
    }

    @Test func aCycleAndAForbiddenReachAreSeen() {
        let table = ImportTable(
            cRooms: [], mayImport: ["A": ["B"], "B": ["C"], "C": ["A"]], neverReaches: ["A": ["C"]])
        #expect(table.reach(of: "A") == ["A", "B", "C"])
    }

    /// Returns the room that the file at `path`, `Sources/<room>/…`, belongs to.
    private static func room(of path: String) -> String {
        let parts = path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }

    /// Returns a line for each of `imports` that `table` does not let `room` make.
    private static func violations(of table: ImportTable, room: String, imports: [SwiftSource.Import]) -> [String] {
        imports.compactMap { found in
            guard let module = found.module else { return "line \(found.line): an import that cannot be read" }
            return table.allows(module, in: room) ? nil : "line \(found.line): \(room) must not import \(module)"
        }
    }
}
