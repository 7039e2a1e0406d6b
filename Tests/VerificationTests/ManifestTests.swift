// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import TestSupport
import Testing
import Verification

/// Manifests that are damaged, foreign, hostile or too new.
@Suite struct ManifestTests {
    @Test func noManifestMeansIncomplete() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        try clone.remove(Manifest.fileName)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.map(\.message) == ["no manifest: the clone is incomplete"])
        #expect(report.problems.map(\.kind) == [.manifest])
        #expect(report.disks == [])
    }

    @Test func aFlippedBitAnywhereIsFound() throws {
        let clone = try CloneFolder([smallDisk("sda"), smallDisk("sdb", seed: 2)])
        let bytes = try clone.bytes(Manifest.fileName)
        for offset in stride(from: 0, to: bytes.count, by: 37) {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[offset] ^= 1 << bit
                try clone.replace(Manifest.fileName, with: damaged)
                let report = try verify(clone)
                #expect(report.verdict == .failed, "byte \(offset), bit \(bit)")
                #expect(report.problems.map(\.kind) == [.manifest])
            }
        }
    }

    @Test func everyTruncationIsFound() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let bytes = try clone.bytes(Manifest.fileName)
        for length in bytes.indices {
            try clone.replace(Manifest.fileName, with: Array(bytes[..<length]))
            #expect(try verify(clone).problems.map(\.kind) == [.manifest])
        }
    }

    @Test func theManifestOfAnotherCloneIsFound() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let other = try CloneFolder([smallDisk("sda")], uuid: "00000000-0000-4000-8000-000000000001")
        try clone.replace(Manifest.fileName, with: other.bytes(Manifest.fileName))
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.contains { $0.kind == .chunkFile && $0.message.contains("belongs to another clone") })
    }

    @Test func aNewerVersionIsRefusedByNameAndNumber() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        try clone.reseal { $0.version = FormatVersion(major: 2, minor: 3) }
        #expect(
            try verify(clone).problems.map(\.message) == [
                "manifest.json has format version 2.3; this release reads up to 1.1"
            ])
        try clone.reseal { $0.version = FormatVersion(major: 1, minor: 9) }
        #expect(try verify(clone).verdict == .verified)
    }

    @Test(arguments: [
        "../sda.raw", "/etc/passwd", "..", ".", "", "a/b", "sda.raw\0", "-rf", ".hidden", "a\nb",
        String(repeating: "a", count: 201),
    ])
    func namesCannotLeaveTheFolder(name: String) throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let changes: [(inout Manifest) -> Void] = [
            { $0.disks[0].image.file = name }, { $0.disks[0].chunks.file = name }, { $0.disks[0].name = name },
        ]
        for change in changes {
            try clone.reseal(change)
            let report = try verify(clone)
            #expect(report.problems.map(\.kind) == [.manifest])
            #expect(report.problems.first?.message.contains("unsafe name") == true)
        }
    }

    @Test(arguments: [Int64.min, -1, (1 << 53) + 1, .max])
    func impossibleLengthsAreRefused(length: Int64) throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let changes: [(inout Manifest) -> Void] = [
            { $0.disks[0].lengthInBytes = length }, { $0.disks[0].image.lengthInBytes = length },
            { $0.disks[0].chunks.lengthInBytes = length },
        ]
        for change in changes {
            try clone.reseal(change)
            #expect(try verify(clone).problems.map(\.kind) == [.manifest])
        }
    }

    @Test(arguments: [Int.min, -1, 2, .max])
    func countsThatCannotBeTrueAreFound(count: Int) throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let changes: [(inout Manifest) -> Void] = [
            { $0.disks[0].chunks.zero = count }, { $0.disks[0].chunks.data = count },
            { $0.disks[0].chunks.lost = count }, { $0.disks[0].bytes.read = Int64(count) },
            { $0.disks[0].bytes.skipped = Int64(count) }, { $0.disks[0].bytes.unreadable = Int64(count) },
        ]
        for change in changes {
            try clone.reseal(change)
            let report = try verify(clone)
            #expect(report.verdict == .failed)
            #expect(report.problems.first?.kind == .manifest)
            #expect(report.problems.contains { $0.disk == "sda" })
        }
    }

    @Test func manyHugeDisksDoNotOverflow() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        try clone.reseal { manifest in
            let disk = manifest.disks[0]
            manifest.disks = (0..<2000).map { index in
                var disk = disk
                disk.name = "d\(index)"
                disk.image.file = "d\(index).raw"
                disk.chunks.file = "d\(index).chunks"
                disk.lengthInBytes = 1 << 53
                return disk
            }
        }
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problemCount >= 4000)
        #expect(report.problems.count == Receipt.maximumProblems)
    }

    @Test func disksMayNotShareNames() throws {
        let clone = try CloneFolder([smallDisk("sda"), smallDisk("sdb")])
        try clone.reseal { $0.disks[1].name = "sda" }
        #expect(try verify(clone).problems.first?.message.contains("two disks are called sda") == true)
        try clone.reseal { $0.disks[1].image.file = "sda.raw" }
        #expect(try verify(clone).problems.map(\.kind) == [.manifest])
        try clone.reseal { $0.disks[1].image.file = "receipt.json" }
        #expect(try verify(clone).problems.contains { $0.message.contains("has the name of another") })
    }

    @Test func deepNestingDoesNotTrap() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        for opening in ["[", "{\"a\":"] {
            let text = String(repeating: opening, count: 200_000)
            try clone.replace(Manifest.fileName, with: Array(text.utf8))
            #expect(try verify(clone).problems.map(\.kind) == [.manifest])
        }
    }

    @Test func moreThan64MebibytesAreNotRead() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        try clone.setLength(Manifest.fileName, to: Int64(Manifest.maximumLength) + 1)
        let problem = try #require(try verify(clone).problems.first)
        #expect(problem.kind == .manifest)
        #expect(problem.message.contains("67108864"))
    }

    @Test func unknownWordsOfLaterReleasesAreNotTrusted() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        try clone.reseal { $0.state = .unknown("splendid") }
        let report = try verify(clone)
        #expect(report.verdict == .degraded)
        #expect(report.warnings == ["the manifest's state \"splendid\" is not known to this release"])
        try clone.reseal { $0.disks[0].image.format = "vhdx" }
        #expect(try verify(clone).problems.map(\.kind) == [.image])
    }

    @Test func strangeFilesAreWarnings() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        for name in ["domain.xml", "events.jsonl", "receipt.json", "sda.map", ".nfs0001"] {
            try clone.replace(name, with: [])
        }
        #expect(try verify(clone).warnings == [])
        try clone.replace("stranger.txt", with: [])
        try clone.replace("journal", with: [])
        let report = try verify(clone)
        #expect(report.verdict == .verified)
        #expect(
            report.warnings == [
                "journal is left over: the capture did not clean up behind itself",
                "unexpected file \"stranger.txt\": it is no part of the clone",
            ])
    }
}
