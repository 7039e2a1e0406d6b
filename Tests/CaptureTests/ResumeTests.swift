// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// A capture that goes on ends in the very files that one without interruption makes.
@Suite struct ResumeTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var options: CaptureOptions
    }

    static let variants = [
        Variant(testDescription: "raw", options: CaptureOptions(format: .raw)),
        Variant(testDescription: "qcow2", options: CaptureOptions()),
        Variant(testDescription: "zlib", options: CaptureOptions(compression: .zlib, clusterSize: 4096)),
        Variant(testDescription: "zstd", options: CaptureOptions(compression: .zstd, clusterSize: 2 << 20)),
    ]

    /// A disk in a file, captured without interruption, and its clone's path.
    private struct Fixture {
        let folder: TemporaryFolder
        let path: String
        let reference: CloneCapture.Outcome
        let options: CaptureOptions
        var imageFile: String { reference.manifest.disks[0].image.file }

        init(_ options: CaptureOptions, length: Int = 150 << 20) throws {
            folder = try TemporaryFolder()
            self.options = options
            path = folder.file("disk.img")
            // Sparse, so that it is quick, with content at odd places.
            try Tool.output("truncate", ["-s", "\(length)", path])
            for (index, offset) in [0, 3_000_001, 40 << 20, 77_777_777, 120 << 20].enumerated() {
                let content = SampleContent.bytes(.mixed, length: 9 << 20, seed: UInt64(index) + 3)
                let piece = try SampleContent.write(content, to: folder.file("piece\(index)"))
                try Tool.output(
                    "dd", ["if=\(piece)", "of=\(path)", "oflag=seek_bytes", "seek=\(offset)", "conv=notrunc", "bs=1M"])
            }
            reference = try CaptureRun(folder, options).capture(
                disks: [CaptureDisk(name: "sda", source: try FileSource(path))])
        }

        /// Captures with a source that goes away at `offset`, and returns the folder that is left.
        func interrupted(at offset: Int64) throws -> String {
            let target = try folder.folder("target-\(UUIDText.random())")
            // Its last MiB is there: that is what it is known by.
            let end = reference.manifest.disks[0].lengthInBytes - (1 << 20)
            let plan = FaultPlan(.init(.read, in: offset..<end, .fail(.noSuchAddressOrDevice)))
            #expect(throws: CaptureError.self) {
                _ = try CloneCapture(
                    disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))],
                    target: target, machine: MachineIdentity(name: "test"), agent: Program(name: "test", version: "0"),
                    options: options
                ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
            }
            return "\(target)/\(try #require(try Folder.names(in: target).first))"
        }

        func resume(_ clone: String, _ source: (any BlockSource)? = nil) throws -> CloneCapture.Outcome {
            try CloneResume(folder: clone).run(
                disks: [CaptureDisk(name: "any", source: source ?? FileSource(path))],
                agent: Program(name: "test", version: "0"),
                options: CaptureOptions(), progress: CaptureProgress(), cancellation: CancellationFlag())
        }

        /// Expects that `clone` is what the reference is, to the byte.
        func expectSame(_ clone: String) throws {
            try Tool.output("cmp", ["\(reference.folder)/\(imageFile)", "\(clone)/\(imageFile)"])
            #expect(try CloneVerification(folder: clone).run().verdict == .verified)
            #expect(!Folder.exists("\(clone)/journal") && !Folder.exists("\(clone)/sda.journal"))
        }
    }

    @Test(arguments: variants)
    func endsInTheSameFiles(_ variant: Variant) throws {
        let fixture = try Fixture(variant.options)
        for offset in [1, 33 << 20, 78 << 20, 125 << 20] as [Int64] {
            let clone = try fixture.interrupted(at: offset)
            // Twice: a second interruption, later than the first.
            let plan = FaultPlan(.init(.read, in: offset + 20 << 20..<Int64.max, .fail(.noSuchAddressOrDevice)))
            _ = try? fixture.resume(clone, FaultySource(try FileSource(fixture.path), plan))
            if !Folder.exists("\(clone)/manifest.json") {
                let outcome = try fixture.resume(clone)
                #expect(
                    outcome.manifest.disks[0].contentDigest == fixture.reference.manifest.disks[0].contentDigest)
                #expect(outcome.manifest.disks[0].bytes == fixture.reference.manifest.disks[0].bytes)
            }
            try fixture.expectSame(clone)
        }
    }

    /// A power cut loses what was not synchronised: the journal's end, and anything in the image behind it.
    @Test(arguments: variants)
    func livesThroughLostWrites(_ variant: Variant) throws {
        let fixture = try Fixture(variant.options)
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<6 {
            let clone = try fixture.interrupted(at: 100 << 20)
            let journal = "\(clone)/sda.journal"
            let length = try SmallFile.read(journal, limit: 64 << 20).count
            let kept = Int.random(in: 0...length, using: &generator)
            try FileDamage.truncate(journal, to: Int64(kept))
            if kept < DiskJournal.headerLength {
                // Nothing is promised: even the image may be gone.
                try FileDamage.truncate("\(clone)/\(fixture.imageFile)", to: 0)
            }
            try fixture.expectSame(fixture.resume(clone).folder)
        }
    }

    /// What was promised is looked at all the same.
    @Test(arguments: variants)
    func noticesDamageInWhatIsThere(_ variant: Variant) throws {
        let fixture = try Fixture(variant.options)
        let clone = try fixture.interrupted(at: 125 << 20)
        let image = "\(clone)/\(fixture.imageFile)"
        let offset: Int64 = variant.options.format == .raw ? 41 << 20 : 2 << 20 | 12345
        let before = try FileSource(image).bytes(at: offset, count: 1)
        try FileDamage.flip(image, at: offset)
        #expect(try FileSource(image).bytes(at: offset, count: 1) != before)
        try fixture.expectSame(fixture.resume(clone).folder)
    }

    /// A journal that somebody else wrote, its checksums right: places outside of a unit, of no cluster, of no disk.
    @Test(arguments: variants)
    func doesNotTrustAForeignJournal(_ variant: Variant) throws {
        let fixture = try Fixture(variant.options)
        let clone = try fixture.interrupted(at: 78 << 20)
        let path = "\(clone)/sda.journal"
        let genuine = try SmallFile.read(path, limit: 64 << 20)
        let journal = try DiskJournal(decodingHeader: Array(genuine[..<64]), file: path)
        let chunks = journal.unitLength / Chunk.size
        let hostile: [[DiskJournal.Unit.Piece]] = [
            [.init(offset: journal.unitLength - 1, count: 1, isPacked: true)],
            [.init(offset: 0, count: journal.unitLength, isPacked: true)],
            [.init(offset: 0, count: journal.unitLength, isPacked: false)],
            [.init(offset: 511, count: 65536, isPacked: false)],
            [.init(offset: 0, count: 3, isPacked: false)],
        ]
        for pieces in hostile {
            let unit = DiskJournal.Unit(
                index: 0, pieces: pieces, digests: Array(repeating: nil, count: chunks), missing: [])
            let file = journal.encodedHeader() + DiskJournal.encodedCheckpoint(first: 0, units: [unit])
            try Folder.writeDurably(file, to: "sda.journal", in: clone, replacing: true)
            // Interrupted again at once, so that the same folder serves for the next.
            let plan = FaultPlan(.init(.read, in: 2 << 20..<149 << 20, .fail(.noSuchAddressOrDevice)))
            #expect(throws: CaptureError.self) {
                _ = try fixture.resume(clone, FaultySource(try FileSource(fixture.path), plan))
            }
        }
        try fixture.expectSame(fixture.resume(clone).folder)
    }

    @Test func readsLessThanItDidAtFirst() throws {
        let fixture = try Fixture(CaptureOptions())
        let clone = try fixture.interrupted(at: 125 << 20)
        // A source on which nothing of the first part can be read any more: it is not needed.
        let plan = FaultPlan(.init(.read, in: 10 << 20..<20 << 20, .fail(.noSuchAddressOrDevice)))
        try fixture.expectSame(fixture.resume(clone, FaultySource(try FileSource(fixture.path), plan)).folder)
    }

    @Test func keepsBadSectorsInMind() throws {
        let fixture = try Fixture(CaptureOptions(compression: .zstd))
        let bad: Range<Int64> = 41 << 20 | 512..<41 << 20 | 1024
        func source(_ end: Int64?) throws -> FaultySource {
            let gone = end.map { FaultPlan.Fault(.read, in: $0..<Int64.max, .fail(.noSuchAddressOrDevice)) }
            return FaultySource(
                try FileSource(fixture.path),
                FaultPlan([.init(.read, in: bad, .fail(.ioError))] + [gone].compactMap(\.self)))
        }
        let target = try fixture.folder.folder("bad")
        #expect(throws: CaptureError.self) {
            _ = try CloneCapture(
                disks: [CaptureDisk(name: "sda", source: try source(125 << 20))], target: target,
                machine: MachineIdentity(name: "test"), agent: Program(name: "test", version: "0"),
                options: fixture.options
            ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        }
        let clone = "\(target)/\(try #require(try Folder.names(in: target).first))"
        let outcome = try fixture.resume(clone, source(nil))
        #expect(outcome.manifest.disks[0].unreadable == [ByteRange(offset: bad.lowerBound, length: 512)])
        #expect(try CloneVerification(folder: clone).run().verdict == .degraded)
    }

    @Test func refusesWhatIsNotTheSame() throws {
        let fixture = try Fixture(CaptureOptions(), length: 130 << 20)
        let clone = try fixture.interrupted(at: 100 << 20)
        let copy = fixture.folder.file("copy.img")
        try Tool.output("cp", ["--sparse=always", fixture.path, copy])
        try FileDamage.flip(copy, at: 511)
        let other = #expect(throws: CaptureError.self) { _ = try fixture.resume(clone, FileSource(copy)) }
        #expect(other?.description.contains("is not the disk sda") == true)
        try Tool.output("truncate", ["-s", "+1M", copy])
        let longer = #expect(throws: CaptureError.self) { _ = try fixture.resume(clone, FileSource(copy)) }
        #expect(longer?.description.contains("sda had") == true)
        let complete = #expect(throws: CaptureError.self) { _ = try fixture.resume(fixture.reference.folder) }
        #expect(complete?.description.contains("it is complete") == true)
        try Folder.remove("\(clone)/journal")
        let none = #expect(throws: CaptureError.self) { _ = try fixture.resume(clone) }
        #expect(none?.description.contains("no journal") == true)
    }

    /// The first disk is done, the second not: the first is looked at again, and done again when it is damaged.
    @Test(arguments: [false, true])
    func keepsFinishedDisksThatAreWhole(damaged: Bool) throws {
        let fixture = try Fixture(CaptureOptions(), length: 130 << 20)
        let target = try fixture.folder.folder("two")
        let plan = FaultPlan(.init(.read, in: 100 << 20..<Int64.max, .fail(.noSuchAddressOrDevice)))
        #expect(throws: CaptureError.self) {
            _ = try CloneCapture(
                disks: [
                    CaptureDisk(name: "sda", source: try FileSource(fixture.path)),
                    CaptureDisk(name: "sdb", source: FaultySource(try FileSource(fixture.path), plan)),
                ], target: target, machine: MachineIdentity(name: "test"),
                agent: Program(name: "test", version: "0"), options: CaptureOptions()
            ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        }
        let clone = "\(target)/\(try #require(try Folder.names(in: target).first))"
        if damaged { try FileDamage.flip("\(clone)/sda.qcow2", at: 3 << 20) }
        // Whether the first disk is read again tells whether it was trusted.
        let unreadable = FaultPlan(.init(.read, in: 4 << 20..<100 << 20, .fail(.noSuchAddressOrDevice)))
        let first: any BlockSource =
            damaged ? try FileSource(fixture.path) : FaultySource(try FileSource(fixture.path), unreadable)
        let outcome = try CloneResume(folder: clone).run(
            disks: [
                CaptureDisk(name: "a", source: first), CaptureDisk(name: "b", source: try FileSource(fixture.path)),
            ], agent: Program(name: "test", version: "0"), options: CaptureOptions(), progress: CaptureProgress(),
            cancellation: CancellationFlag())
        #expect(outcome.manifest.disks.map(\.name) == ["sda", "sdb"])
        #expect(try CloneVerification(folder: clone).run().verdict == .verified)
    }
}
