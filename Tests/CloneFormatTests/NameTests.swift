// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// Names, points in time, identities and codes.
struct NameTests {
    @Test func plainNamesAreSafe() {
        for name in ["sda", "sda.qcow2", "a-b_c.1", "A", "0", "_", "a..b", String(repeating: "a", count: 200)] {
            #expect(FileName.isSafe(name), "\(name)")
        }
    }

    @Test func sanitizedNamesAreSafe() {
        let cases = [
            ("sda", "sda"), ("VMware-56 4d", "VMware-56-4d"), ("../../etc", "etc"), (".hidden", "hidden"),
            ("--rf", "rf"), ("a/b", "a-b"), ("", "machine"), ("...", "machine"), ("/", "machine"), (" ", "machine"),
            ("ü", "machine"), ("a\u{0}\n", "a--"), ("Größe", "Gr----e"),
        ]
        for (text, expected) in cases {
            #expect(FileName.sanitize(text, fallback: "machine") == expected, "\(text)")
            #expect(FileName.isSafe(FileName.sanitize(text, fallback: "machine")))
        }
        let long = String(repeating: "x", count: 300)
        #expect(FileName.sanitize(long, fallback: "m") == String(long.prefix(100)))
    }

    @Test func timesAreInUTC() throws {
        let now = Timestamp()
        #expect(now.rfc3339.wholeMatch(of: /20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\dZ/) != nil)
        #expect(now.compact.wholeMatch(of: /20\d{6}T\d{6}Z/) != nil)
        #expect(now.compact == now.rfc3339.filter { !"-:".contains($0) })
        #expect(FileName.isSafe("a-" + now.compact))
    }

    @Test func uuidsComeInTextForm() {
        let text = UUIDText.random()
        #expect(text.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
        #expect(UUIDText.bytes(text).map(Hexadecimal.encode) == text.filter { $0 != "-" })
        #expect(UUIDText.random() != text)
        #expect(UUIDText.bytes("00010203-0405-0607-0809-0a0b0c0d0e0f") == (0...15).map { UInt8($0) })
        for refused in ["", "x", "00010203-0405-0607-0809-0a0b0c0d0e0", "00010203-0405-0607-0809-0a0b0c0d0e0g"] {
            #expect(UUIDText.bytes(refused) == nil, "\(refused)")
        }
    }

    @Test func exitCodesAreTheAgreedOnes() {
        let codes: [ExitCode] = [.done, .failed, .degraded, .verificationFailed, .usage, .cancelled]
        #expect(codes.map(\.rawValue) == [0, 1, 3, 4, 64, 130])
    }

    @Test func journalAndEventsComeBack() throws {
        let journal = Journal(
            cloneId: "a", cloneUuid: UUIDText.random(), startedAt: Timestamp().rfc3339,
            machine: MachineIdentity(name: "m"), imageFormat: "qcow2", compression: "zstd", level: 3,
            clusterSizeInBytes: 65536,
            disks: [JournalDisk(name: "sda", source: "/dev/sda", lengthInBytes: 9, identity: Digest(of: [1]))])
        let read: Journal = try JSONText.decode(journal.encoded(), file: "journal")
        #expect(read == journal && read.format == "coldclone-journal")
        #expect(try Journal(opening: journal.encoded(), file: "journal") == journal)
        // Finished disks may name no file elsewhere, and no disk that was not begun.
        for (name, image) in [("sda", "../../etc/shadow"), ("sdb", "sdb.raw")] {
            var hostile = journal
            hostile.finished = [
                DiskRecord(
                    name: name, order: 0, source: "x", lengthInBytes: 9, logicalSectorSizeInBytes: 512,
                    physicalSectorSizeInBytes: 512, contentDigest: Digest(of: []),
                    image: ImageRecord(
                        file: image, format: "raw", compression: "none", clusterSizeInBytes: nil, headerDigest: nil,
                        lengthInBytes: 9),
                    chunks: ChunkRecord(
                        file: "\(name).chunks", lengthInBytes: 9, digest: Digest(of: []), zero: 0, data: 1, lost: 0),
                    bytes: ByteTotals(read: 9, skipped: 0, unreadable: 0), skipped: [], skippedExtents: [])
            ]
            #expect(throws: FormatError.self) { _ = try Journal(opening: hostile.encoded(), file: "journal") }
        }
        let event = CloneEvent(.diskFinished, disk: "sda", message: "a\nb", bytesRead: 1 << 53, seconds: 0.1)
        let line = try JSONText.encode(event, compact: true)
        #expect(line.count { $0 == UInt8(ascii: "\n") } == 1 && line.last == UInt8(ascii: "\n"))
        let again: CloneEvent = try JSONText.decode(line, file: "events.jsonl")
        #expect(again == event)
        let error = #expect(throws: FormatError.self) {
            let _: Journal = try JSONText.decode(Array("{}".utf8), file: "journal")
        }
        #expect(error?.description == "journal is damaged: format is missing")
    }
}
