// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// What cannot be a base, and what becomes of a clone whose base is not what it was.
struct BaseRefusalTests {
    private static let content = SampleContent.bytes(.random, length: 5 << 20, seed: 2)

    private func refusal(_ run: BaseRun, _ base: String, _ body: (() throws -> Void)? = nil) throws -> String {
        let before = try Folder.names(in: run.target)
        let error = try #require(throws: CaptureError.self) {
            if let body { try body() } else { _ = try run.capture(base: base) }
        }
        // Nothing is begun then.
        #expect(try Folder.names(in: run.target) == before)
        return error.description
    }

    @Test func refusesWhatCannotBeABase() throws {
        let run = try BaseRun(Self.content)
        let base = try run.capture()
        #expect(try refusal(run, run.folder.file("none")).contains("No such file or directory"))
        let link = "\(run.target)/link"
        try Tool.output("ln", ["-s", base.folder, link])
        #expect(throws: Never.self) { _ = try CaptureBase(folder: link, target: run.target, kind: .overlay) }
        try Folder.remove(link)
        // Elsewhere, or under another name: the new image could not name it.
        let moved = run.folder.file(base.manifest.cloneId)
        try Tool.output("cp", ["-r", base.folder, moved])
        #expect(try refusal(run, moved).contains("it is not the folder \(base.manifest.cloneId) of the target"))
        let renamed = "\(run.target)/other"
        try Tool.output("cp", ["-r", base.folder, renamed])
        #expect(try refusal(run, renamed).contains("it is not the folder"))
        try Tool.output("rm", ["-r", renamed])
        #expect(
            try refusal(run, base.folder) { _ = try run.capture(base: base.folder, machine: "other") }
                .contains("it is of the machine \"test\""))
        #expect(
            try refusal(run, base.folder) { _ = try run.capture(CaptureOptions(format: .raw), base: base.folder) }
                .contains("cannot leave out"))
        try Tool.output("truncate", ["-s", "6M", run.disk])
        #expect(try refusal(run, base.folder).contains("its sda has 5242880 bytes, and sda 6291456"))
        try Tool.output("truncate", ["-s", "5M", run.disk])

        let chunks = "\(base.folder)/sda.chunks"
        try FileDamage.flip(chunks, at: 140)
        #expect(try refusal(run, base.folder).contains("sda.chunks is damaged"))
        try FileDamage.flip(chunks, at: 140)
        try FileDamage.flip("\(base.folder)/manifest.json", at: 300)
        #expect(try refusal(run, base.folder).contains("manifest.json is damaged"))
        try FileDamage.flip("\(base.folder)/manifest.json", at: 300)
        try Tool.output("mv", [base.image, run.folder.file("away")])
        try Tool.output("ln", ["-s", run.folder.file("away"), base.image])
        #expect(try refusal(run, base.folder).contains("is no plain file"))
    }

    /// A clone and its base, which is `damaged` then.
    private func report(_ damage: (_ run: BaseRun, _ base: CloneCapture.Outcome) throws -> Void) throws -> CloneReport {
        let run = try BaseRun(Self.content)
        let base = try run.capture()
        try run.change(at: 1 << 20, [UInt8](repeating: 7, count: 100))
        let next = try run.capture(base: base.folder)
        let good = try CloneVerification(folder: next.folder).run()
        #expect(good.verdict == .verified && good.dependsOn == next.manifest.base.map { [$0] })
        #expect(good.warnings.contains { $0.contains(base.manifest.cloneId) })
        try damage(run, base)
        return try CloneVerification(folder: next.folder).run()
    }

    private func expectFailure(_ report: CloneReport, _ words: String) {
        #expect(report.verdict == .failed)
        #expect(report.problems.contains { $0.message.contains(words) }, "\(report.problems)")
    }

    @Test func noticesABaseThatIsGone() throws {
        expectFailure(
            try report { _, base in try Tool.output("rm", ["-r", base.folder]) }, "is not in the folder beside it")
    }

    @Test func noticesABaseBehindALink() throws {
        expectFailure(
            try report { run, base in
                try Tool.output("mv", [base.folder, run.folder.file("away")])
                try Tool.output("ln", ["-s", run.folder.file("away"), base.folder])
            }, "is not in the folder beside it")
        expectFailure(
            try report { run, base in
                try Tool.output("mv", [base.image, run.folder.file("away")])
                try Tool.output("ln", ["-s", run.folder.file("away"), base.image])
            }, "it is a symbolic link")
    }

    /// Another clone under the base's name: whole in itself, but not the one.
    @Test func noticesAnotherCloneInItsPlace() throws {
        expectFailure(
            try report { _, base in
                var manifest = base.manifest
                manifest.finishedAt = "2026-01-01T00:00:00Z"
                try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: base.folder, replacing: true)
            }, "is not the clone that it was made against")
    }

    /// Content that rots where only the base has it is found by its clone.
    @Test func noticesRotBehindItself() throws {
        let report = try report { _, base in try FileDamage.flip(base.image, at: base.first.image.lengthInBytes / 2) }
        #expect(report.verdict == .failed)
        #expect(report.problems.allSatisfy { $0.kind == .digestMismatch } && report.problemCount == 1)
    }

    /// No header leads a reader to a file that the manifest does not name.
    @Test(arguments: ["/etc/passwd", "../../../etc/passwd", "json:{\"driver\":\"null-co\"}"])
    func opensNothingThatAHeaderNames(name: String) throws {
        let run = try BaseRun(Self.content)
        let base = try run.capture()
        let next = try run.capture(base: base.folder)
        let header = try FileSource(next.image).bytes(at: 0, count: 65536)
        let place = header[8..<16].reduce(0) { $0 << 8 | Int($1) }
        let length = header[16..<20].reduce(0) { $0 << 8 | Int($1) }
        let hostile = Array(name.utf8) + [UInt8](repeating: 0, count: max(length - name.utf8.count, 0))
        let sink = try FileSink(resuming: next.image)
        try sink.write(hostile, at: Int64(place))
        try sink.write([0, 0, 0, UInt8(name.utf8.count)], at: 16)
        try sink.close()
        // Sealed again by whoever did that.
        var manifest = next.manifest
        manifest.disks[0].image.headerDigest = Digest(of: try FileSource(next.image).bytes(at: 0, count: 65536))
        try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: next.folder, replacing: true)
        expectFailure(try CloneVerification(folder: next.folder).run(), "as its backing file")
        manifest.disks[0].base?.imageFile = "../../etc/passwd"
        try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: next.folder, replacing: true)
        expectFailure(try CloneVerification(folder: next.folder).run(), "unsafe name")
        manifest.disks[0].base?.imageFile = "sda.qcow2"
        manifest.base?.cloneId = "../etc"
        try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: next.folder, replacing: true)
        expectFailure(try CloneVerification(folder: next.folder).run(), "impossible name")
        // A manifest that claims to stand alone does not make its images so.
        manifest.base = nil
        try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: next.folder, replacing: true)
        expectFailure(try CloneVerification(folder: next.folder).run(), "a backing file")
    }

    @Test func goesOnOnlyWithTheSameBase() throws {
        let run = try BaseRun(SampleContent.bytes(.random, length: 150 << 20))
        let base = try run.capture()
        let before = try Folder.names(in: run.target)
        try run.change(at: 100 << 20, SampleContent.bytes(.random, length: 30 << 20, seed: 77))
        let plan = FaultPlan(.init(.read, in: 120 << 20..<149 << 20, .fail(.noSuchAddressOrDevice)))
        #expect(throws: CaptureError.self) {
            _ = try run.capture(base: base.folder, source: FaultySource(try FileSource(run.disk), plan))
        }
        let name = try #require(try Folder.names(in: run.target).first { !before.contains($0) })
        func resume(_ source: any BlockSource) throws -> CloneCapture.Outcome {
            try CloneResume(folder: "\(run.target)/\(name)").run(
                disks: [CaptureDisk(name: "sda", source: source)], agent: Program(name: "test", version: "0"),
                options: CaptureOptions(), progress: CaptureProgress(), cancellation: CancellationFlag())
        }
        let genuine = try SmallFile.read("\(base.folder)/manifest.json", limit: 1 << 20)
        var other = base.manifest
        other.finishedAt = "2026-01-01T00:00:00Z"
        try Folder.writeDurably(other.sealed(), to: Manifest.fileName, in: base.folder, replacing: true)
        let error = #expect(throws: CaptureError.self) { _ = try resume(FileSource(run.disk)) }
        #expect(error?.description.contains("is not the base that it was begun with") == true)
        try Folder.writeDurably(genuine, to: Manifest.fileName, in: base.folder, replacing: true)
        // What was done of the first part is not read again, and is the base's.
        let gone = FaultPlan(.init(.read, in: 10 << 20..<50 << 20, .fail(.noSuchAddressOrDevice)))
        let outcome = try resume(FaultySource(try FileSource(run.disk), gone))
        #expect(outcome.first.base?.equalBytes == 120 << 20)
        #expect(
            outcome.first.contentDigest == CaptureRun.contentDigest(of: try SmallFile.read(run.disk, limit: 1 << 30)))
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
    }
}
