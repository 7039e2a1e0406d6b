// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// Sources that are read in their own way: large requests, few at a time, in order; the clone is the same.
@Suite struct AccessTests {
    /// What was asked of a source, in the order it was asked for.
    private final class Watched: SourceWrapper {
        let base: any BlockSource
        /// How many reads of the middle wait for each other, the first time; 1 for none.
        let company: Int
        private let state = Monitor((offsets: [Int64](), longest: 0, now: 0, most: 0))

        init(_ base: any BlockSource, company: Int = 1) {
            self.base = base
            self.company = company
        }

        var seen: (offsets: [Int64], longest: Int, most: Int) { state.change { ($0.offsets, $0.longest, $0.most) } }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            state.change { state in
                state.offsets.append(offset)
                state.longest = max(state.longest, buffer.count)
                state.now += 1
                state.most = max(state.most, state.now)
            }
            // What lies at begin and end is also read before the capture, by one thread. Should fewer ever come, the
            // count at the end says so.
            if company > 1, (16 << 20..<32 << 20).contains(offset) {
                _ = state.wait(for: .seconds(300)) { $0.most >= company ? true : nil }
            }
            defer { state.change { $0.now -= 1 } }
            try base.read(into: buffer, at: offset)
        }
    }

    private static let length = 64 << 20 | 4096

    private func capture(
        _ pattern: AccessPattern, _ folder: TemporaryFolder, _ options: CaptureOptions, company: Int = 1
    ) throws -> (CloneCapture.Outcome, Watched) {
        let path = folder.file("disk.img")
        if !Folder.exists(path) {
            try SampleContent.write(SampleContent.bytes(.mixed, length: Self.length), to: path)
        }
        let source = Watched(try FileSource(path), company: company)
        var disk = CaptureDisk(name: "sda", source: source)
        disk.access = pattern
        return (try CaptureRun(folder, options).capture(disks: [disk]), source)
    }

    @Test(arguments: [1, 2, 4])
    func aSpindleIsReadInOrder(megabytes: Int) throws {
        let folder = try TemporaryFolder()
        let pattern = AccessPattern(requestLength: megabytes << 20, parallelReads: 1)
        let (outcome, source) = try capture(pattern, folder, CaptureOptions())
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        let seen = source.seen
        // The first and last MiB are read before, to know the disk again.
        #expect(seen.most == 1 && seen.longest == megabytes << 20)
        #expect(Array(seen.offsets.dropFirst(2)) == seen.offsets.dropFirst(2).sorted())
    }

    @Test func fewReadAtTheSameTime() throws {
        let folder = try TemporaryFolder()
        let (_, source) = try capture(.sequential, folder, CaptureOptions())
        #expect(source.seen.most <= 2 && source.seen.longest == 4 << 20)
    }

    @Test(arguments: [(1, nil, 1), (2, nil, 1), (8, nil, 4), (9, nil, 5), (8, 2, 2), (8, 64, 4)] as [(Int, Int?, Int)])
    func halfOfTheUnitsAreRead(jobs: Int, parallelReads: Int?, expected: Int) throws {
        let folder = try TemporaryFolder()
        var options = CaptureOptions()
        options.jobs = jobs
        let pattern = AccessPattern(requestLength: 1 << 20, parallelReads: parallelReads)
        let (outcome, source) = try capture(pattern, folder, options, company: expected)
        #expect(source.seen.most == expected)
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
    }

    /// How a disk is read is nothing that its image or digests depend on.
    @Test(arguments: [
        CaptureOptions(format: .raw), CaptureOptions(), CaptureOptions(compression: .zstd),
        CaptureOptions(compression: .zlib, clusterSize: 2 << 20), CaptureOptions(clusterSize: 512),
    ])
    func imagesAreTheSame(options: CaptureOptions) throws {
        let folder = try TemporaryFolder()
        let (first, _) = try capture(.parallel, folder, options)
        for pattern in [AccessPattern.sequential, AccessPattern(requestLength: 2 << 20, parallelReads: nil)] {
            let (other, _) = try capture(pattern, folder, options)
            let (one, two) = (first.manifest.disks[0], other.manifest.disks[0])
            #expect(one.contentDigest == two.contentDigest && one.chunks.data == two.chunks.data)
            try Tool.output(
                "cmp", ["\(first.folder)/\(one.image.file)", "\(other.folder)/\(two.image.file)"])
        }
    }

    /// A capture that was begun with large units goes on with them, however the source is read by then.
    @Test(arguments: [AccessPattern.parallel, .sequential], [AccessPattern.parallel, .sequential])
    func goesOnInTheSameUnits(before: AccessPattern, after: AccessPattern) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 200 << 20)
        let path = try SampleContent.write(content, to: folder.file("disk.img"))
        let target = try folder.folder("target")
        // It is gone when most was read: ENXIO is no bad sector.
        let plan = FaultPlan(.init(.read, in: 180 << 20..<200 << 20, skipping: 1, .fail(.noSuchAddressOrDevice)))
        var disk = CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))
        disk.access = before
        #expect(throws: CaptureError.self) {
            _ = try CloneCapture(
                disks: [disk], target: target, machine: MachineIdentity(name: "test"),
                agent: Program(name: "test", version: "0"), options: CaptureOptions()
            ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        }
        let names = try Folder.names(in: target)
        try #require(names.count == 1)
        let source = Watched(try FileSource(path))
        disk = CaptureDisk(name: "sda", source: source)
        disk.access = after
        let outcome = try CloneResume(folder: "\(target)/\(names[0])").run(
            disks: [disk], agent: Program(name: "test", version: "0"), options: CaptureOptions(),
            progress: CaptureProgress(), cancellation: CancellationFlag())
        #expect(outcome.manifest.disks[0].contentDigest == CaptureRun.contentDigest(of: content))
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        // At most 64 MiB are done again: of the 180 that were read, 116 at least are there.
        let first = try #require(source.seen.offsets.filter { $0 > 0 && $0 < 199 << 20 }.min())
        #expect(first >= 100 << 20, "from \(first >> 20) MiB on")
        #expect(source.seen.longest == before.requestLength)
    }
}
