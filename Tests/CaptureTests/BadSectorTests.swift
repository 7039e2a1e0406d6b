// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import DiskLayout
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// Places that cannot be read: everything else is there, and what is missing is told to the byte.
@Suite struct BadSectorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var length: Int = 9 << 20 | 4096
        var bad: [Range<Int64>]
        var options = CaptureOptions()
        var testDescription: String { name }
    }

    private static func ranges(_ starts: [Int64], _ length: Int64) -> [Range<Int64>] { starts.map { $0..<$0 + length } }

    static let cases: [Case] = [
        Case(name: "first sector", bad: [0..<512]),
        Case(name: "last sector", bad: [(9 << 20 | 4096) - 512..<(9 << 20 | 4096)]),
        Case(name: "one byte of a sector", bad: [3 << 20 | 700..<3 << 20 | 701]),
        Case(name: "across chunks", bad: [(2 << 20) - 1024..<(2 << 20) + 1536]),
        Case(name: "a whole chunk", bad: [4 << 20..<5 << 20]),
        Case(name: "every other sector of a block", bad: ranges((0..<64).map { 5 << 20 | $0 << 10 }, 512)),
        Case(name: "many places", bad: ranges((0..<9).map { $0 << 20 | 77 << 10 }, 1024)),
        Case(
            name: "raw", bad: ranges([0, 3 << 20 | 512, (9 << 20) + 512], 512), options: CaptureOptions(format: .raw)),
        Case(
            name: "zlib", bad: ranges([0, 3 << 20 | 512, (9 << 20) + 512], 512),
            options: CaptureOptions(compression: .zlib)),
        Case(
            name: "zstd, 2 MiB clusters", bad: ranges([0, 3 << 20 | 512, (9 << 20) + 512], 512),
            options: CaptureOptions(compression: .zstd, clusterSize: 2 << 20)),
        Case(
            name: "512-byte clusters", bad: ranges([0, 3 << 20 | 512, (9 << 20) + 512], 512),
            options: CaptureOptions(clusterSize: 512)),
    ]

    @Test func lossIsToldByVolume() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk.img")
        try SampleContent.write(SampleContent.bytes(.random, length: 8 << 20), to: path)
        let bad: [Range<Int64>] = [512..<1024, 3 << 20..<(3 << 20) + 4096, 5 << 20..<(5 << 20) + 512]
        let plan = FaultPlan(bad.map { .init(.read, in: $0, .fail(.ioError)) })
        var disk = CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))
        // A volume within a partition: both are told. The second reaches to the middle of a bad place.
        disk.places = [
            VolumePlace(range: 1 << 20..<(3 << 20) + 1024, volume: "/dev/sda1"),
            VolumePlace(range: 2 << 20..<(3 << 20) + 1024, volume: "vg0/root"),
            VolumePlace(range: 4 << 20..<5 << 20, volume: "/dev/sda2"),
        ]
        let outcome = try CloneCapture(
            disks: [disk], target: folder.path, machine: MachineIdentity(name: "test"),
            agent: Program(name: "test", version: "0"), options: CaptureOptions()
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        let record = outcome.manifest.disks[0]
        #expect(record.bytes.unreadable == 512 + 4096 + 512)
        let expected = [
            LossRecord(volume: "/dev/sda1", lengthInBytes: 1024), LossRecord(volume: "vg0/root", lengthInBytes: 1024),
            LossRecord(volume: nil, lengthInBytes: 512 + 3072 + 512),
        ]
        #expect(record.losses == expected)
    }

    /// Whole sectors that `ranges` touch, joined.
    private static func sectors(_ ranges: [Range<Int64>], _ size: Int64 = 512) -> [ByteRange] {
        var result: [ByteRange] = []
        for range in ranges {
            let start = range.lowerBound / size * size
            let length = (range.upperBound + size - 1) / size * size - start
            if let last = result.last, last.offset + last.length == start {
                result[result.count - 1].length += length
            } else {
                result.append(ByteRange(offset: start, length: length))
            }
        }
        return result
    }

    /// Expects that the image is clean and holds what `expected` does, as others see it.
    private static func expect(_ outcome: CloneCapture.Outcome, _ expected: [UInt8], _ folder: TemporaryFolder) throws {
        let image = outcome.manifest.disks[0].image
        let path = "\(outcome.folder)/\(image.file)"
        if image.format == "qcow2" { try Tool.output("qemu-img", ["check", path]) }
        let raw = try SampleContent.write(expected, to: folder.file("expected.img"))
        try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", image.format, raw, path])
    }

    @Test(.enabled(if: Tool.isInstalled("qemu-img", "ddrescuelog")), arguments: cases)
    func losesNothingElse(_ testCase: Case) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: testCase.length, seed: 5)
        let path = try SampleContent.write(content, to: folder.file("disk.img"))
        let plan = FaultPlan(testCase.bad.map { FaultPlan.Fault(.read, in: $0, .fail(.ioError)) })
        let outcome = try CaptureRun(folder, testCase.options).capture(
            disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))])

        var expected = content
        let disk = outcome.manifest.disks[0]
        let lost = Self.sectors(testCase.bad)
        for range in lost {
            for byte in range.offset..<range.offset + range.length { expected[Int(byte)] = 0 }
        }
        try Self.expect(outcome, expected, folder)
        #expect(outcome.manifest.state == .degraded)
        #expect(disk.unreadable == lost)
        let unreadable = disk.unreadable.reduce(0) { $0 + $1.length }
        #expect(disk.bytes.unreadable == unreadable)

        let report = try CloneVerification(folder: outcome.folder).run()
        #expect(report.verdict == .degraded, "\(report.problems)")
        let chunks = Set(disk.unreadable.flatMap { Int($0.offset >> 20)...Int(($0.offset + $0.length - 1) >> 20) })
        #expect(disk.chunks.lost == chunks.count)

        // GNU ddrescue's own tool reads the map, and finds the same sectors bad.
        let map = "\(outcome.folder)/sda.map"
        let listed = try Tool.output("ddrescuelog", ["--list-blocks=-", "--block-size=512", map])
        let blocks = listed.split(separator: "\n").compactMap { Int64($0, radix: 10) }
        #expect(blocks == disk.unreadable.flatMap { Array($0.offset / 512..<($0.offset + $0.length) / 512) })
    }

    /// Nothing is a hole in random content: what is lost is exactly what is bad.
    @Test(arguments: [512, 4096])
    func listsEveryBadSector(sectorSize: Int) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 8 << 20)
        let path = try SampleContent.write(content, to: folder.file("disk.img"))
        let bad: [Range<Int64>] = [512..<513, 1 << 20..<(1 << 20) + 9000, (8 << 20) - 1..<8 << 20]
        let plan = FaultPlan(bad.map { FaultPlan.Fault(.read, in: $0, .fail(.noData)) })
        let source = SectorSource(base: FaultySource(try FileSource(path), plan), logicalSectorSize: sectorSize)
        let outcome = try CaptureRun(folder, CaptureOptions()).capture(disks: [CaptureDisk(name: "sda", source: source)]
        )
        #expect(outcome.manifest.disks[0].unreadable == Self.sectors(bad, Int64(sectorSize)))
    }

    /// A place that answers at the second, third or fourth try is no loss, when there are as many tries.
    @Test(arguments: [1, 2, 5])
    func triesAgain(times: Int) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 4 << 20)
        let path = try SampleContent.write(content, to: folder.file("disk.img"))
        let plan = FaultPlan(.init(.read, in: 2 << 20 | 512..<2 << 20 | 1024, times: times, .fail(.ioError)))
        var options = CaptureOptions()
        options.retries = 3
        let outcome = try CaptureRun(folder, options).capture(
            disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))])
        #expect(outcome.manifest.state == .complete)
        #expect(outcome.manifest.disks[0].contentDigest == CaptureRun.contentDigest(of: content))
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        #expect(!Folder.exists("\(outcome.folder)/sda.map"))
    }

    @Test func stopsTryingWhenTheTimeIsOver() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 4 << 20), to: folder.file("disk.img"))
        let plan = FaultPlan(.init(.read, in: 1 << 20..<(1 << 20) + 512, .fail(.ioError)))
        var options = CaptureOptions()
        options.recoveryTimeLimit = .zero
        let outcome = try CaptureRun(folder, options).capture(
            disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))])
        // The unit that failed is as far as it came.
        #expect(outcome.manifest.disks[0].unreadable == [ByteRange(offset: 1 << 20, length: 1 << 20)])
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .degraded)
    }

    /// A disk that fails everywhere is gone: a clone of zeros helps nobody.
    @Test(arguments: [0, 20])
    func refusesADiskThatIsGone(readsBefore: Int) throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 64 << 20), to: folder.file("disk.img"))
        let plan = FaultPlan(.init(.read, skipping: readsBefore, .fail(.ioError)))
        #expect(throws: CaptureError.self) {
            _ = try CaptureRun(folder, CaptureOptions()).capture(
                disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))])
        }
    }

    /// 100 MiB in a row: found out in a bounded number of reads.
    @Test func endsOnALargeDamage() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 128 << 20), to: folder.file("disk.img"))
        let bad: Range<Int64> = 8 << 20 | 512..<108 << 20 | 512
        let plan = FaultPlan(.init(.read, in: bad, .fail(.ioError)))
        var options = CaptureOptions()
        options.retries = 0
        let outcome = try CaptureRun(folder, options).capture(
            disks: [CaptureDisk(name: "sda", source: FaultySource(try FileSource(path), plan))])
        #expect(outcome.manifest.disks[0].unreadable == [ByteRange(offset: bad.lowerBound, length: 100 << 20)])
    }
}

/// A source of other sectors than its base.
struct SectorSource: SourceWrapper {
    var base: any BlockSource
    var logicalSectorSize: Int
    var physicalSectorSize: Int { logicalSectorSize }
    func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }
}
