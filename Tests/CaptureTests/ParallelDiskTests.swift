// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// Several disks at the same time, and how fast they may be read.
@Suite struct ParallelDiskTests {
    /// Three disks of which two share a lane.
    private func disks(_ folder: TemporaryFolder, _ wrap: (Int, FileSource) -> any BlockSource) throws -> [CaptureDisk]
    {
        try (0..<3).map { index in
            let path = folder.file("disk\(index).img")
            try SampleContent.write(SampleContent.bytes(.mixed, length: (3 + index) << 20), to: path)
            return CaptureDisk(
                name: "sd\(index)", source: wrap(index, try FileSource(path)), lane: index == 1 ? "b" : "a")
        }
    }

    private func capture(_ disks: [CaptureDisk], _ target: String, _ options: CaptureOptions) throws
        -> CloneCapture.Outcome
    {
        try CloneCapture(
            disks: disks, target: target, machine: MachineIdentity(name: "test"),
            agent: Program(name: "test", version: "0"), options: options
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
    }

    @Test func lanesRunTogetherAndDisksOfOneInTurns() throws {
        let folder = try TemporaryFolder()
        let meeting = Meeting()
        let disks = try disks(folder) { index, source in
            guard index < 2 else { return source }
            return MeetingSource(base: source, index: index, meeting: meeting)
        }
        let outcome = try capture(disks, folder.path, CaptureOptions())
        // Each of the two waited for the other's first read: one after the other, they would not have met.
        #expect(meeting.hasMet)
        #expect(outcome.manifest.disks.map(\.name) == ["sd0", "sd1", "sd2"])
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        // One lane after the other: the same images.
        let alone = try TemporaryFolder()
        var options = CaptureOptions()
        options.parallelDisks = 1
        let second = try capture(try self.disks(alone) { $1 }, alone.path, options)
        #expect(second.manifest.disks.map(\.contentDigest) == outcome.manifest.disks.map(\.contentDigest))
    }

    @Test(arguments: [0, 1, 2])
    func oneThatFailsStopsTheOthersAndAllGoOn(failing: Int) throws {
        let folder = try TemporaryFolder()
        let target = folder.file("target")
        try Folder.create(target)
        let plan = FaultPlan(.init(.read, in: 2 << 20..<4 << 20, .fail(.noSuchAddressOrDevice)))
        let broken = try disks(folder) { index, source in
            guard index == failing else { return source }
            return FaultySource(source, plan)
        }
        #expect(throws: CaptureError.self) { _ = try capture(broken, target, CaptureOptions()) }
        let clone = "\(target)/\(try #require(try Folder.names(in: target).first))"
        #expect(!Folder.exists("\(clone)/\(Manifest.fileName)"))
        let whole = try (0..<3).map {
            CaptureDisk(name: "x\($0)", source: try FileSource(folder.file("disk\($0).img")), lane: "\($0)")
        }
        let outcome = try CloneResume(folder: clone).run(
            disks: whole, agent: Program(name: "test", version: "0"), options: CaptureOptions(),
            progress: CaptureProgress(), cancellation: CancellationFlag())
        #expect(outcome.manifest.disks.map(\.name) == ["sd0", "sd1", "sd2"])
        #expect(try CloneVerification(folder: clone).run().verdict == .verified)
    }

    @Test func ratesAreKept() throws {
        let folder = try TemporaryFolder()
        var options = CaptureOptions()
        options.rateLimit = 24 << 20
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try capture(try disks(folder) { $1 }, folder.path, options)
        let read = outcome.manifest.disks.reduce(0) { $0 + $1.bytes.read }
        // A tenth of a second's worth may pass at once. Slower is no fault.
        #expect(clock.now - start > .seconds(Double(read) / Double(24 << 20) - 0.11))
    }

    @Test func aLimitDoesNotHoldUpACancellation() throws {
        let folder = try TemporaryFolder()
        var options = CaptureOptions()
        // Hours, if it were waited for.
        options.rateLimit = 1
        let cancellation = CancellationFlag()
        let begun = try Event()
        let disks = try disks(folder) { _, source in TellingSource(base: source, begun: begun) }
        let outcome = Mutex<CaptureError?>(nil)
        try ParallelWork.run(threads: 2) { [options] thread in
            if thread == 0 {
                _ = begun.wait()
                return cancellation.cancel()
            }
            do throws(CaptureError) {
                _ = try CloneCapture(
                    disks: disks, target: folder.path, machine: MachineIdentity(name: "test"),
                    agent: Program(name: "test", version: "0"), options: options
                ).run(progress: CaptureProgress(), cancellation: cancellation)
            } catch {
                outcome.withLock { $0 = error }
            }
        }
        guard case .cancelled = outcome.withLock({ $0 }) else { return #expect(Bool(false), "not cancelled") }
    }

    @Test func adaptiveCompressionChangesNoContent() throws {
        let folder = try TemporaryFolder()
        var options = CaptureOptions(compression: .zstd)
        options.adaptsCompression = true
        let outcome = try capture(try disks(folder) { $1 }, folder.path, options)
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        for index in 0..<3 {
            try Tool.output("qemu-img", ["check", "\(outcome.folder)/sd\(index).qcow2"])
            try Tool.output(
                "qemu-img", ["compare", folder.file("disk\(index).img"), "\(outcome.folder)/sd\(index).qcow2"])
        }
    }
}

/// Two that wait for each other.
private final class Meeting: Sendable {
    private let reads = Monitor<[Int]>([0, 0])
    var hasMet: Bool { reads.change { $0[0] > 2 && $0[1] > 2 } }

    func attend(_ index: Int) {
        // The disk's identity, its first and last MiB, is read before the capture.
        guard
            reads.change({ reads in
                reads[index] += 1
                return reads[index] == 3
            })
        else { return }
        // Long enough for the slowest machine; only a capture in turns waits so long, and fails the test.
        _ = reads.wait(for: .seconds(300)) { $0[0] > 2 && $0[1] > 2 ? true : nil }
    }
}

private struct MeetingSource: SourceWrapper {
    let base: any BlockSource
    let index: Int
    let meeting: Meeting
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        meeting.attend(index)
        try base.read(into: buffer, at: offset)
    }
}

/// Tells when it is read for the first time.
private struct TellingSource: SourceWrapper {
    let base: any BlockSource
    let begun: Event
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        begun.signal()
        try base.read(into: buffer, at: offset)
    }
}
