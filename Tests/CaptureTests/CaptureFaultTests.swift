// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// Whatever fails: a clear error, and never a manifest for an incomplete clone.
struct CaptureFaultTests {
    private func source(_ folder: TemporaryFolder, length: Int = 16 << 20) throws -> FileSource {
        let content = SampleContent.bytes(.random, length: length)
        return try FileSource(SampleContent.write(content, to: folder.file("disk.img")))
    }

    /// Expects that `body` fails and leaves a folder that the verification calls incomplete.
    private func expectFailure(_ folder: TemporaryFolder, _ body: () throws -> Void) throws -> CaptureError {
        let error = try #require(throws: CaptureError.self) { try body() }
        for target in try Folder.names(in: folder.path) where target.hasPrefix("target-") {
            for clone in try Folder.names(in: folder.file(target)) {
                let path = "\(folder.file(target))/\(clone)"
                #expect(!Folder.exists("\(path)/manifest.json"))
                #expect(Folder.exists("\(path)/journal"))
                #expect(try CloneVerification(folder: path).run().verdict == .failed)
                let events = try SmallFile.text("\(path)/events.jsonl", limit: 1 << 20)
                #expect(events.contains("capture_failed") || events.contains("capture_cancelled"))
            }
        }
        return error
    }

    /// Errors that say nothing of a place, but of the device: there is no point in trying others.
    @Test(arguments: [0, 5 << 20 | 512, (16 << 20) - 1] as [Int64])
    func namesTheByteWhereTheDeviceWentAway(offset: Int64) throws {
        let folder = try TemporaryFolder()
        let plan = FaultPlan(.init(.read, in: offset..<offset + 1, .fail(.noSuchAddressOrDevice)))
        let faulty = FaultySource(try source(folder), plan)
        let error = try expectFailure(folder) {
            _ = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "sda", source: faulty)])
        }
        #expect(
            error.description
                == "cannot read \(faulty.name) at byte \(offset) (1048576 bytes): No such device or address")
        #expect(error.hint != nil)
    }

    @Test func refusesASourceThatEndsEarly() throws {
        let folder = try TemporaryFolder()
        let plan = FaultPlan(.init(.read, in: 9 << 20..<10 << 20, .short))
        let faulty = FaultySource(try source(folder), plan)
        let error = try expectFailure(folder) {
            _ = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "sda", source: faulty)])
        }
        #expect(error.description.contains("ends before its own length"))
    }

    @Test func refusesAFileThatShrinksMeanwhile() throws {
        let folder = try TemporaryFolder()
        let source = try source(folder)
        try Tool.output("truncate", ["-s", "3000000", folder.file("disk.img")])
        let error = try expectFailure(folder) {
            _ = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "sda", source: source)])
        }
        #expect(error.description.contains("ends before its own length"))
    }

    /// A bit that the source gave wrongly is in image and digest alike: no clone can know.
    ///
    /// One that the image lost is not.
    @Test func digestsAreOfWhatWasRead() throws {
        let folder = try TemporaryFolder()
        let source = try source(folder)
        let flipped = FaultySource(source, FaultPlan(.init(.read, in: 7 << 20..<7 << 20 | 1, .flipBit)))
        let honest = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "a", source: source)])
        let other = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "a", source: flipped)])
        #expect(honest.manifest.disks.first?.contentDigest != other.manifest.disks.first?.contentDigest)
        #expect(try CloneVerification(folder: other.folder).run().verdict == .verified)
        try Tool.output("cp", ["\(honest.folder)/a.qcow2", "\(other.folder)/a.qcow2"])
        let report = try CloneVerification(folder: other.folder).run()
        #expect(report.problems.contains { $0.kind == .digestMismatch && $0.chunk == 7 })
    }

    @Test func stopsWhenAskedTo() throws {
        let folder = try TemporaryFolder()
        let cancellation = CancellationFlag()
        let source = CancellingSource(base: try source(folder), at: 6 << 20, cancellation: cancellation)
        let error = try expectFailure(folder) {
            _ = try CaptureRun(folder, CaptureOptions()).capture(
                disks: [CaptureDisk(name: "sda", source: source)], cancellation: cancellation)
        }
        guard case .cancelled = error else {
            Issue.record("\(error)")
            return
        }
    }

    @Test(
        arguments: [
            (["a", "a"], CaptureOptions()), (["../a"], CaptureOptions()), ([], CaptureOptions()),
            (["a"], CaptureOptions(format: .raw, compression: .zlib)), (["a"], CaptureOptions(clusterSize: 1000)),
            (["a"], CaptureOptions(compression: .zstd, level: 77)),
        ] as [([String], CaptureOptions)])
    func refusesTheImpossibleBeforeItMakesAnything(names: [String], options: CaptureOptions) throws {
        let folder = try TemporaryFolder()
        let source = try source(folder, length: 512)
        #expect(throws: CaptureError.self) {
            try CaptureRun(folder, options).capture(disks: names.map { CaptureDisk(name: $0, source: source) })
        }
        for target in try Folder.names(in: folder.path) where target.hasPrefix("target-") {
            #expect(try Folder.names(in: folder.file(target)).isEmpty)
        }
    }
}

/// A source that asks to stop when a place is read.
private struct CancellingSource: SourceWrapper {
    var base: any BlockSource
    var at: Int64
    var cancellation: CancellationFlag

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        if offset <= at, at < offset + Int64(buffer.count) { cancellation.cancel() }
        try base.read(into: buffer, at: offset)
    }
}
