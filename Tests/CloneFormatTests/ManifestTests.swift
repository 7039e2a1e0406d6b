// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// The manifest's seal, versions and bounds.
struct ManifestTests {
    private static let uuid = "3f6c1c1e-8a5e-4c59-9d5a-0f2b7c6d8e90"

    private func disk(_ name: String = "sda") -> DiskRecord {
        DiskRecord(
            name: name, order: 0, source: "/dev/\(name)", lengthInBytes: 5 << 20, logicalSectorSizeInBytes: 512,
            physicalSectorSizeInBytes: 4096, contentDigest: Digest(of: [1]),
            image: ImageRecord(
                file: "\(name).qcow2", format: "qcow2", compression: "zstd", clusterSizeInBytes: 65536,
                headerDigest: Digest(of: [2]), lengthInBytes: 458_752),
            chunks: ChunkRecord(
                file: "\(name).chunks", lengthInBytes: 194, digest: Digest(of: [3]), zero: 3, data: 2, lost: 0),
            bytes: ByteTotals(read: 4 << 20, skipped: 1 << 20, unreadable: 0),
            skipped: [SkippedTotal(reason: "swap", lengthInBytes: 1 << 20, extents: 1)],
            skippedExtents: [SkippedExtent(offset: 0, length: 1 << 20, reason: "swap")])
    }

    private func manifest(_ disks: DiskRecord...) -> Manifest {
        Manifest(
            cloneId: "a-20261122T103000Z", cloneUuid: Self.uuid, machine: MachineIdentity(name: "a \"b\" \\ ü"),
            agent: Program(name: "coldclone", version: "1"), startedAt: "2026-11-22T10:30:00Z",
            finishedAt: "2026-11-22T10:31:00Z", disks: disks)
    }

    private func open(_ bytes: [UInt8]) throws -> Manifest { try Manifest(opening: bytes, file: "manifest.json") }

    /// Returns `manifest` sealed with `text` in place of another: what a later release might write.
    private func sealed(_ manifest: Manifest, replacing old: String, by new: String) throws -> [UInt8] {
        var text = String(decoding: try manifest.sealed(), as: UTF8.self)
        let digits = try #require(text.firstRange(of: /"self_digest" : "sha256:[0-9a-f]{64}/))
        let own = text.index(digits.upperBound, offsetBy: -64)..<digits.upperBound
        text.replaceSubrange(own, with: String(repeating: "0", count: 64))
        let range = try #require(text.firstRange(of: old))
        text.replaceSubrange(range, with: new)
        let digest = Digest(of: Array(text.utf8)).hexadecimal
        return Array(text.replacing(/"self_digest" : "sha256:0{64}/, with: "\"self_digest\" : \"sha256:\(digest)").utf8)
    }

    @Test func comesBack() throws {
        let sealed = try manifest(disk("sda"), disk("sdb")).sealed()
        var opened = try open(sealed)
        #expect(try opened.sealed() == sealed)
        opened.selfDigest = manifest().selfDigest
        #expect(opened == manifest(disk("sda"), disk("sdb")))
        #expect(sealed.last == UInt8(ascii: "\n"))
    }

    @Test func everyFlippedBitIsRefused() throws {
        let sealed = try manifest().sealed()
        var accepted: [Int] = []
        for bit in 0..<sealed.count * 8 {
            var damaged = sealed
            damaged[bit / 8] ^= 1 << (bit % 8)
            if (try? open(damaged)) != nil { accepted.append(bit) }
        }
        #expect(accepted.isEmpty)
    }

    @Test func everyTruncationIsRefused() throws {
        // The line feed at the end is as much part of it as all else.
        let sealed = try manifest().sealed()
        for length in 0..<sealed.count { #expect(throws: FormatError.self) { try open(Array(sealed[..<length])) } }
        #expect(throws: FormatError.self) { try open(sealed + [UInt8(ascii: "\n")]) }
    }

    @Test func resealingWithoutAChangeIsAccepted() throws {
        let same = try sealed(manifest(disk()), replacing: "\"complete\"", by: "\"complete\"")
        #expect(try same == manifest(disk()).sealed())
    }

    @Test(arguments: ["2.0", "2.7", "1000.0"])
    func newerMajorVersionIsRefusedByNumber(version: String) throws {
        let bytes = try sealed(manifest(), replacing: "\"version\" : \"1.1\"", by: "\"version\" : \"\(version)\"")
        let error = #expect(throws: FormatError.self) { try open(bytes) }
        #expect(error?.description == "manifest.json has format version \(version); this release reads up to 1.1")
        #expect(error?.hint == "use a coldclone at least as new as the one that made the clone")
    }

    @Test func newerMinorVersionIsReadAndItsKeysIgnored() throws {
        let bytes = try sealed(
            manifest(disk()), replacing: "\"version\" : \"1.1\"",
            by: "\"version\" : \"1.9\", \"later\" : { \"a\" : [1, null, \"x\"] }")
        let opened = try open(bytes)
        #expect(opened.version == FormatVersion(major: 1, minor: 9))
        #expect(opened.disks == [disk()])
    }

    @Test func aWordOfALaterReleaseIsKept() throws {
        let opened = try open(sealed(manifest(), replacing: "\"complete\"", by: "\"partial\""))
        #expect(opened.state == .unknown("partial") && opened.state.rawValue == "partial")
    }

    @Test(arguments: ["1", "1.", ".1", "-1.0", "1.0.0", "a.b", "", "1,0", "99999999999999999999.0"])
    func oddVersionsAreRefused(version: String) throws {
        let bytes = try sealed(manifest(), replacing: "\"version\" : \"1.1\"", by: "\"version\" : \"\(version)\"")
        let error = #expect(throws: FormatError.self) { try open(bytes) }
        #expect(error?.description.contains("version") == true)
    }

    @Test(arguments: [
        ("\"coldclone-manifest\"", "\"coldclone-receipt\""), ("\"format\"", "\"fromat\""), (uuid, "none"),
        ("\"disks\" : [\n\n  ]", "\"disks\" : {}"), ("1048576", "4096"), ("1048576", "1e400"), ("1048576", "null"),
    ])
    func foreignAndImpossibleOnesAreRefused(old: String, new: String) throws {
        let bytes = try sealed(manifest(), replacing: old, by: new)
        let error = #expect(throws: FormatError.self) { try open(bytes) }
        #expect(error?.description.hasPrefix("manifest.json is damaged: ") == true)
    }

    @Test(arguments: ["", "x", "[]", "{}", "null", "\u{feff}{}", "{\"format\" : 1}", "[[[[[[[["])
    func otherTextsAreRefused(text: String) {
        #expect(throws: FormatError.self) { try open(Array(text.utf8)) }
        #expect(throws: FormatError.self) { try open([0xff, 0xfe] + Array(text.utf8)) }
    }

    @Test func aSecondOwnDigestIsRefused() throws {
        let twice = "\"state\" : \"complete\", \"self_digest\" : \"sha256:\(String(repeating: "1", count: 64))\""
        let bytes = try sealed(manifest(), replacing: "\"state\" : \"complete\"", by: twice)
        #expect(throws: FormatError.self) { try open(bytes) }
        // The words alone, within a text, do no harm.
        var quoting = manifest()
        quoting.machine.name = "\"self_digest\" : \"sha256:"
        #expect(try open(quoting.sealed()).machine.name == quoting.machine.name)
    }

    @Test(arguments: [
        "../x", "/etc/passwd", ".hidden", "-rf", "", ".", "..", "a/b", "a\\b", "a b", "a\0", "a\n", "ä",
        String(repeating: "a", count: 201),
    ])
    func unsafeNamesAreRefused(name: String) throws {
        #expect(!FileName.isSafe(name))
        var changed = [disk(), disk(), disk()]
        changed[0].name = name
        changed[1].image.file = name
        changed[2].chunks.file = name
        for disk in changed {
            let sealed = try manifest(disk).sealed()
            let error = #expect(throws: FormatError.self) { try open(sealed) }
            #expect(error?.description.contains("unsafe name") == true)
        }
    }

    @Test func impossibleLengthsAndSharedFilesAreRefused() throws {
        for length in [-1, Int64.min, 1 << 53 + 1, .max] {
            var changed = [disk(), disk(), disk()]
            changed[0].lengthInBytes = length
            changed[1].image.lengthInBytes = length
            changed[2].chunks.lengthInBytes = length
            for disk in changed { #expect(throws: FormatError.self) { try open(manifest(disk).sealed()) } }
        }
        var longest = disk()
        longest.lengthInBytes = 1 << 53
        #expect(try open(manifest(longest).sealed()).disks == [longest])
        #expect(throws: FormatError.self) { try open(manifest(disk(), disk()).sealed()) }
        var crossed = disk("sdb")
        crossed.chunks.file = "sda.qcow2"
        #expect(throws: FormatError.self) { try open(manifest(disk(), crossed).sealed()) }
    }
}
