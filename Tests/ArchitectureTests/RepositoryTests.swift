// SPDX-License-Identifier: GPL-3.0-or-later

internal import Testing

/// Holds the manifest, the folders and the first lines of files against what was agreed.
@Suite struct RepositoryTests {
    private let table = ImportTable.coldclone

    @Test func theManifestDeclaresTheRoomsThatExist() throws {
        let manifest = PackageManifest(try Repository.text(of: "Package.swift"))
        let declared = manifest.targets.filter(\.isInSources).map(\.name).sorted()
        #expect(declared == (try Repository.names(in: "Sources")))
        #expect(Set(declared) == table.rooms)
    }

    @Test func theManifestDeclaresNoForbiddenRoom() throws {
        for target in PackageManifest(try Repository.text(of: "Package.swift")).targets where target.isInSources {
            let rooms = target.strings.intersection(table.rooms)
            let forbidden = rooms.filter { !table.allows($0, in: target.name) }
            #expect(forbidden.isEmpty, "\(target.name)")
        }
    }

    @Test func everySwiftTargetIsStrict() throws {
        let targets = PackageManifest(try Repository.text(of: "Package.swift")).targets
        #expect(targets.count > table.rooms.count)
        // The fuzzer's entry point is C, as the rooms that carry headers are.
        for target in targets where !table.cRooms.union(["CFuzzer"]).contains(target.name) {
            #expect(target.hasStrictSettings, "\(target.name)")
        }
    }

    @Test func aLooseTargetIsSeen() {
        let manifest = PackageManifest(
            """
            let package = Package(
                name: "x",
                targets: [
                    .target(name: "A", dependencies: ["B"]),
                    .target(
                        name: "B", swiftSettings: strict),
                    tests("ATests", ["A"]),
                ]
            )
            """)
        #expect(manifest.targets.map(\.name) == ["A", "B", "ATests"])
        #expect(manifest.targets.map(\.hasStrictSettings) == [false, true, false])
        #expect(manifest.targets.map(\.isInSources) == [true, true, false])
        #expect(manifest.targets.first?.strings == ["B"])
    }

    @Test func everySourceFileBeginsWithItsLicence() throws {
        let paths =
            try Repository.files(below: "Sources", endingIn: [".swift", ".c", ".h", ".modulemap"])
            + Repository.files(below: "Tests", endingIn: [".swift", ".c", ".h"])
        #expect(paths.count > 20)
        for path in paths {
            #expect(try Repository.source(path).lines.first ?? "" == SwiftSource.licence, "\(path)")
        }
    }

    @Test func theTopLevelHoldsOnlyWhatIsAgreed() throws {
        let agreed: Set = [
            "Package.resolved", "Package.swift", "README.md", "Sources", "Tests", "image-build", "overlay",
        ]
        let others = try Repository.names(in: "").filter { !$0.hasPrefix(".") && !agreed.contains($0) }
        #expect(others.isEmpty)
    }

    @Test func everyTestTargetTestsARoom() throws {
        // One folder a room, besides those that test no single one.
        let folders = try Repository.names(in: "Tests").filter { $0.hasSuffix("Tests") }
        let rooms = Set(table.rooms.map { "\($0)Tests" }).union(["ArchitectureTests", "HostTests", "LabTests"])
        #expect(folders.filter { !rooms.contains($0) }.isEmpty)
    }
}
