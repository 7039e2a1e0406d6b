// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing

/// The measurements before a capture.
@Suite struct ThroughputTests {
    private let measurement = ThroughputMeasurement(timeLimit: .milliseconds(300))

    @Test func readsInThreePlacesAndKeepsContent() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 30 << 20), to: folder.file("disk.img"))
        let (throughput, sample) = try measurement.read(CaptureDisk(name: "disk", source: FileSource(path)))
        #expect(throughput.bytes > 3 << 20 && throughput.bytes <= 30 << 20)
        #expect(try #require(throughput.bytesPerSecond) > 0)
        #expect(sample.count >= 3 << 20 && sample.count <= 32 << 20)
    }

    /// Its time over before it has begun, as on a machine that is busy with other things: a rate comes of it all the same.
    @Test func readsOnceHoweverLate() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 30 << 20), to: folder.file("disk.img"))
        let disk = CaptureDisk(name: "disk", source: try FileSource(path))
        let (throughput, sample) = try ThroughputMeasurement(timeLimit: .zero).read(disk)
        #expect(throughput.bytes >= 3 << 20 && throughput.bytesPerSecond != nil)
        #expect(!sample.isEmpty)
    }

    @Test func namesWhatCannotBeRead() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 6 << 20), to: folder.file("disk.img"))
        let source = FaultySource(try FileSource(path), FaultPlan(.init(.read, .fail(.ioError))))
        let error = #expect(throws: CaptureError.self) {
            _ = try measurement.read(CaptureDisk(name: "disk", source: source))
        }
        #expect(error?.description.contains(path) == true)
    }

    @Test func tellsHowContentCompresses() throws {
        let zstd = CaptureOptions(compression: .zstd)
        let random = try measurement.compute(SampleContent.bytes(.random, length: 4 << 20), zstd)
        #expect(random.ratio > 0.99 && random.ratio < 1.1)
        let text = Array(String(repeating: "a line of a log that compresses well\n", count: 120_000).utf8)
        let compressed = try measurement.compute(text, zstd)
        #expect(compressed.ratio < 0.2)
        #expect(try #require(compressed.throughput.bytesPerSecond) > 0)
        // A disk of zeros has no content to try.
        #expect(try measurement.compute([], zstd).throughput.bytesPerSecond == nil)
    }

    @Test func leavesNothingOnTheTarget() throws {
        let folder = try TemporaryFolder()
        let throughput = try measurement.write(to: folder.path, direct: false)
        #expect(throughput.bytes >= 8 << 20)
        #expect(try Folder.names(in: folder.path) == [])
        #expect(throws: CaptureError.self) { _ = try measurement.write(to: folder.file("none"), direct: false) }
    }
}
