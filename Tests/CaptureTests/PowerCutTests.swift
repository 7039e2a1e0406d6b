// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import Glibc
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// A target that loses power: whatever it forgets of what was not synchronised, the clone is whole in the end.
@Suite(.enabled(if: ForgetfulFileSystem.isPossible, "needs root and /dev/fuse"), .serialized)
struct PowerCutTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var options: CaptureOptions
        var disks = 1
        var base: BaseRecord.Kind?
    }

    static let variants = [
        Variant(testDescription: "raw", options: CaptureOptions(format: .raw)),
        Variant(testDescription: "qcow2", options: CaptureOptions()),
        Variant(testDescription: "zlib", options: CaptureOptions(compression: .zlib, clusterSize: 4096)),
        Variant(testDescription: "zstd", options: CaptureOptions(compression: .zstd, clusterSize: 2 << 20)),
        Variant(testDescription: "two disks", options: CaptureOptions(compression: .zstd), disks: 2),
        Variant(testDescription: "overlay", options: CaptureOptions(), base: .overlay),
        Variant(testDescription: "zlib overlay", options: CaptureOptions(compression: .zlib), base: .overlay),
        Variant(testDescription: "copy", options: CaptureOptions(format: .raw), base: .copy),
    ]
    static let rounds = 30
    /// What an interruption may cost here: less than in earnest, so that small disks have many checkpoints.
    static let cost = 4 << 20

    /// Source disks, and a target that forgets.
    private struct Stage {
        let variant: Variant
        let folder: TemporaryFolder
        let target: ForgetfulFileSystem
        let reference: CloneCapture.Outcome
        /// Name of the base's folder.
        var base: String?
        /// Changes of the target that a capture makes when nothing happens.
        var changes = 0

        init(_ variant: Variant) throws {
            self.variant = variant
            folder = try TemporaryFolder()
            target = try ForgetfulFileSystem()
            for disk in 0..<variant.disks {
                let content = SampleContent.bytes(
                    .mixed, length: 20 << 20 / variant.disks | 3 << 9, seed: UInt64(disk) + 70)
                try SampleContent.write(content, to: folder.file("disk\(disk).img"))
            }
            reference = try Self.capture(variant, folder, try folder.folder("reference"), base: nil)
            if variant.base != nil {
                let outcome = try Self.capture(variant, folder, target.folder, base: nil, name: "early")
                base = outcome.manifest.cloneId
                // The disk goes on living: a chunk in three is another one then, and some are zeros.
                var generator = SeededGenerator(seed: 4)
                let image = try FileSink(resuming: folder.file("disk0.img"))
                for chunk in 0..<20 where chunk % 3 == 0 {
                    let bytes = chunk % 6 == 0 ? [UInt8](repeating: 0, count: 1 << 20) : generator.bytes(5000)
                    try image.write(bytes, at: Int64(chunk) << 20)
                }
                try image.close()
            }
            target.settle()
            let before = target.changeCount
            let outcome = try capture()
            changes = target.changeCount - before
            try Tool.output("rm", ["-r", outcome.folder])
            target.settle()
        }

        func sources() throws -> [CountingSource] {
            try (0..<variant.disks).map { CountingSource(try FileSource(folder.file("disk\($0).img"))) }
        }

        var options: CaptureOptions {
            var options = variant.options
            options.interruptionCost = PowerCutTests.cost
            return options
        }

        private static func capture(
            _ variant: Variant, _ folder: TemporaryFolder, _ target: String, base: String?, name: String = "m"
        ) throws -> CloneCapture.Outcome {
            let disks = try (0..<variant.disks).map {
                CaptureDisk(name: "disk\($0)", source: try FileSource(folder.file("disk\($0).img")))
            }
            var options = variant.options
            options.interruptionCost = PowerCutTests.cost
            return try CloneCapture(
                disks: disks, target: target, machine: MachineIdentity(name: name),
                agent: Program(name: "test", version: "0"), options: options
            ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        }

        /// Captures to the target, from `sources` where these are to be counted.
        func capture(_ sources: [CountingSource]? = nil, jobs: Int? = nil) throws -> CloneCapture.Outcome {
            var options = options
            options.jobs = jobs
            let sources = try sources ?? self.sources()
            let disks = sources.enumerated().map { CaptureDisk(name: "disk\($0)", source: $1) }
            let base = try base.map {
                try CaptureBase(folder: "\(target.folder)/\($0)", target: target.folder, kind: variant.base ?? .overlay)
            }
            return try CloneCapture(
                disks: disks, target: target.folder, machine: MachineIdentity(name: base == nil ? "m" : "early"),
                agent: Program(name: "test", version: "0"), options: options, base: base
            ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        }

        func resume(_ clone: String, _ sources: [CountingSource]) throws -> CloneCapture.Outcome {
            try CloneResume(folder: clone).run(
                disks: sources.enumerated().map { CaptureDisk(name: "disk\($0)", source: $1) },
                agent: Program(name: "test", version: "0"), options: options, progress: CaptureProgress(),
                cancellation: CancellationFlag())
        }

        /// The clone that a capture has begun; nil when nothing is left of it.
        func clone() throws -> String? {
            try Folder.names(in: target.folder).first { $0 != base }.map { "\(target.folder)/\($0)" }
        }

        /// Expects that `clone` is what an uninterrupted capture makes.
        func expectSame(_ clone: String, _ round: String) throws {
            let report = try CloneVerification(folder: clone, options: .init(freshness: .cached)).run()
            #expect(report.verdict == .verified, "\(round): \(report.problems.prefix(3))")
            for (index, disk) in (report.manifest?.disks ?? []).enumerated() {
                let content = try SmallFile.read(folder.file("disk\(index).img"), limit: 1 << 30)
                #expect(disk.contentDigest == CaptureRun.contentDigest(of: content), "\(round)")
                guard base == nil else { continue }
                let image = "\(clone)/\(disk.image.file)"
                let difference = try SmallFile.read(image, limit: 1 << 30).firstDifference(
                    from: SmallFile.read("\(reference.folder)/\(disk.image.file)", limit: 1 << 30))
                #expect(difference == nil, "\(round): \(image)")
            }
            #expect(!Folder.exists("\(clone)/journal") || report.manifest != nil, "\(round)")
        }
    }

    @Test(arguments: variants)
    func aPowerCutCostsNoMoreThanPromised(_ variant: Variant) throws {
        let stage = try Stage(variant)
        var resumed = 0
        for number in 0..<Self.rounds {
            let seed = UInt64(number) * 1000 + UInt64(variant.testDescription.utf8.reduce(0) { $0 + Int($1) })
            let round = "\(variant.testDescription), seed \(seed)"
            var generator = SeededGenerator(seed: seed)
            let sources = try stage.sources()
            stage.target.cutPower(after: Int.random(in: 0...stage.changes, using: &generator))
            // One thread: the same seed strikes at the same place. Several: what they do meanwhile is part of it.
            _ = try? stage.capture(sources, jobs: number.isMultiple(of: 2) ? 1 : nil)
            stage.target.restart(seed: seed)
            guard let clone = try stage.clone() else { continue }
            let before = sources.reduce(0) { $0 + $1.bytesRead }
            if Folder.exists("\(clone)/manifest.json") {
                try stage.expectSame(clone, round)
            } else if Folder.exists("\(clone)/journal") {
                var interruptions: Int64 = 1
                if number % 3 == 0 {
                    stage.target.cutPower(after: Int.random(in: 0...stage.changes, using: &generator))
                    _ = try? stage.resume(clone, sources)
                    stage.target.restart(seed: seed + 1)
                    interruptions += 1
                }
                if !Folder.exists("\(clone)/manifest.json") { _ = try stage.resume(clone, sources) }
                try stage.expectSame(clone, round)
                // Both ends of each disk are read each time to know it again.
                let whole = sources.reduce(0) { $0 + $1.lengthInBytes }
                let ends = Int64(variant.disks) * (interruptions + 1) * 2 << 20
                let read = sources.reduce(0) { $0 + $1.bytesRead }
                #expect(read <= whole + interruptions * Int64(Self.cost) + ends, "\(round): \(before) and \(read)")
                resumed += 1
            } else {
                // Not even what was to be done is known: that is said, and nothing calls itself a clone.
                let error = #expect(throws: CaptureError.self) { _ = try stage.resume(clone, sources) }
                guard case .notResumable? = error else { #expect(Bool(false), "\(round): \(error as Any)"); continue }
                #expect(try CloneVerification(folder: clone).run().verdict == .failed)
            }
            try Tool.output("rm", ["-r", clone])
            stage.target.settle()
        }
        #expect(resumed > Self.rounds / 2, "\(resumed) of \(Self.rounds) rounds had something to go on with")
    }

    /// A target that goes away, for a time: the message says what it is, and the clone goes on.
    @Test(arguments: [Errno.staleNFSFileHandle, .ioError, .readOnlyFileSystem, .noSuchAddressOrDevice])
    func aTargetThatGoesAwayLeavesAResumableClone(errno: Errno) throws {
        let stage = try Stage(Self.variants[1])
        for part in 1...4 {
            stage.target.cutPower(after: 5 + stage.changes * part / 5, failingWith: errno)
            let error = try #require(throws: CaptureError.self) { _ = try stage.capture() }
            stage.target.comeBack()
            let clone = try #require(try stage.clone())
            #expect(error.description.contains("cannot ") && error.description.contains("\(errno)"), "\(error)")
            #expect(error.hint?.contains("coldclone capture --resume \(clone)") == true, "\(error.hint ?? "")")
            if errno == .staleNFSFileHandle { #expect(error.hint?.contains("mount it again") == true) }
            #expect(!Folder.exists("\(clone)/manifest.json"))
            _ = try stage.resume(clone, stage.sources())
            try stage.expectSame(clone, "\(errno) \(part)")
            try Tool.output("rm", ["-r", clone])
        }
    }

    /// In earnest, an interruption costs at most 64 MiB.
    @Test func costsAtMost64MiB() throws {
        let folder = try TemporaryFolder()
        try Tool.output("dd", ["if=/dev/urandom", "of=\(folder.file("long.img"))", "bs=1M", "count=320"])
        let target = try ForgetfulFileSystem()
        for (seed, cut) in [(1, 120), (2, 200), (3, 260)] as [(UInt64, Int)] {
            let source = CountingSource(try FileSource(folder.file("long.img")))
            let disks = [CaptureDisk(name: "sda", source: source)]
            target.cutPower(after: cut)
            #expect(throws: CaptureError.self) {
                _ = try CloneCapture(
                    disks: disks, target: target.folder, machine: MachineIdentity(name: "m\(seed)"),
                    agent: Program(name: "test", version: "0"), options: CaptureOptions()
                ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
            }
            let before = source.bytesRead
            target.restart(seed: seed)
            let clone = "\(target.folder)/\(try #require(try Folder.names(in: target.folder).first))"
            _ = try CloneResume(folder: clone).run(
                disks: disks, agent: Program(name: "test", version: "0"), options: CaptureOptions(),
                progress: CaptureProgress(), cancellation: CancellationFlag())
            let again = source.bytesRead - source.lengthInBytes - (4 << 20)
            #expect(again <= 64 << 20 && before > 64 << 20, "\(before) bytes before, \(again) again")
            #expect(try CloneVerification(folder: clone).run().verdict == .verified)
            try Tool.output("rm", ["-r", clone])
            target.settle()
        }
    }
}
