// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Synchronization
internal import TestSupport
internal import Testing
internal import Verification

/// How many reads are under way at the same time.
@Suite struct ReadAheadTests {
    /// Counts the reads of its middle that are under way; the first of them wait until there are `company`.
    private final class CountingSource: BlockSource {
        let base: FileSource
        let under = Monitor((now: 0, most: 0, begun: 0))
        let company: Int

        init(_ base: FileSource, company: Int) {
            self.base = base
            self.company = company
        }

        var name: String { base.name }
        var lengthInBytes: Int64 { base.lengthInBytes }
        var logicalSectorSize: Int { base.logicalSectorSize }
        var physicalSectorSize: Int { base.physicalSectorSize }
        func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            // What lies at begin and end is also read before the capture, by one thread.
            guard ReadAheadTests.middle.contains(offset) else { return try base.read(into: buffer, at: offset) }
            under.change { state in
                state.now += 1
                state.begun += 1
                state.most = max(state.most, state.now)
            }
            // Should fewer ever come, the count at the end says so.
            _ = under.wait(for: .seconds(20)) { $0.most >= company ? true : nil }
            defer { under.change { $0.now -= 1 } }
            try base.read(into: buffer, at: offset)
        }
    }

    private static let middle: Range<Int64> = 16 << 20..<32 << 20

    @Test(arguments: [(1, nil, 1), (2, nil, 1), (8, nil, 4), (9, nil, 5), (8, 2, 2), (8, 64, 4)] as [(Int, Int?, Int)])
    func halfOfTheThreadsRead(jobs: Int, parallelReads: Int?, expected: Int) throws {
        let folder = try TemporaryFolder()
        let disk = folder.file("disk.img")
        try SampleContent.write(SampleContent.bytes(.random, length: 48 << 20), to: disk)
        let source = CountingSource(try FileSource(disk), company: expected)
        var options = CaptureOptions()
        options.jobs = jobs
        var captured = CaptureDisk(name: "sda", source: source)
        captured.access = AccessPattern(requestLength: 1 << 20, parallelReads: parallelReads)
        let outcome = try CloneCapture(
            disks: [captured], target: folder.path, machine: MachineIdentity(name: "test"),
            agent: Program(name: "test", version: "0"), options: options
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        let (most, begun) = source.under.wait { ($0.most, $0.begun) }
        #expect(most == expected)
        #expect(begun == 16)
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
    }
}
