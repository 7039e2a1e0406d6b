// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// What manifest and journal say of a base.
struct BaseRecordTests {
    private static let uuid = "3f6c1c1e-8a5e-4c59-9d5a-0f2b7c6d8e90"

    private func record(
        _ kind: BaseRecord.Kind = .overlay, id: String = "web01-20261122T103000Z", uuid: String = uuid, depth: Int = 1
    ) -> BaseRecord {
        BaseRecord(kind: kind, cloneId: id, cloneUuid: uuid, manifestDigest: Digest(of: [1, 2, 3]), depth: depth)
    }

    private func manifest(_ base: BaseRecord?) -> Manifest {
        var manifest = Manifest(
            cloneId: "web01-20261123T103000Z", cloneUuid: Self.uuid, machine: MachineIdentity(name: "web01"),
            agent: Program(name: "test", version: "0"), startedAt: "2026-11-23T10:30:00Z",
            finishedAt: "2026-11-23T10:31:00Z", disks: [])
        manifest.base = base
        return manifest
    }

    private func journal(_ base: BaseRecord?) -> Journal {
        var journal = Journal(
            cloneId: "web01-20261123T103000Z", cloneUuid: Self.uuid, startedAt: "2026-11-23T10:30:00Z",
            machine: MachineIdentity(name: "web01"), imageFormat: "qcow2", compression: "none", level: nil,
            clusterSizeInBytes: 65536, disks: [])
        journal.base = base
        return journal
    }

    @Test(arguments: [BaseRecord.Kind.overlay, .copy])
    func survivesManifestAndJournal(kind: BaseRecord.Kind) throws {
        let base = record(kind, depth: kind == .copy ? 0 : 7)
        #expect(try Manifest(opening: manifest(base).sealed(), file: "m").base == base)
        #expect(try Journal(opening: journal(base).encoded(), file: "j").base == base)
    }

    /// An older release knows nothing of bases: it must not go on with such a capture, but may with all others.
    @Test func onlyAJournalWithABaseIsOfTheNewVersion() {
        #expect(journal(nil).version == FormatVersion(major: 1, minor: 0))
        #expect(journal(record()).version == FormatVersion(major: 2, minor: 0))
    }

    @Test func refusesWhatCannotBe() throws {
        let impossible = [
            record(id: "../etc"), record(id: ""), record(id: "a/b"), record(id: ".."), record(uuid: "x"),
            record(depth: 0), record(depth: BaseRecord.maximumDepth), record(depth: -1), record(.copy, depth: 1),
        ]
        for base in impossible {
            #expect(throws: FormatError.self, "\(base)") { try Manifest(opening: manifest(base).sealed(), file: "m") }
            #expect(throws: FormatError.self, "\(base)") { try Journal(opening: journal(base).encoded(), file: "j") }
        }
    }

    @Test func zerosOverABaseSurviveTheJournal() throws {
        let journal = DiskJournal(unitLength: 1 << 20, cloneUUID: Array(1...16), diskLength: 3 << 20)
        let unit = DiskJournal.Unit(
            index: 1,
            pieces: [
                .init(offset: 0, count: 65536, isPacked: false, isZero: true),
                .init(offset: 65536, count: 65536, isPacked: false), .init(offset: 131072, count: 77, isPacked: true),
            ], digests: [Digest(of: [7])], missing: [])
        let bytes = DiskJournal.encodedCheckpoint(first: 0, units: [unit])
        #expect(journal.units(ofCheckpoint: bytes, first: 0, previous: -1) == [unit])
    }
}
