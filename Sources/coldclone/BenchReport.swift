// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage

/// What `coldclone bench` found, and what follows from it.
struct BenchReport: Encodable {
    /// Reading one source.
    struct Source: Encodable {
        var name: String
        var lengthInBytes: Int64
        /// What a capture would read of it.
        var bytesToRead: Int64
        var bytesPerSecond: Double?
    }

    /// Hashing and compressing with all processors.
    struct Compression: Encodable {
        var compression: String
        var bytesPerSecond: Double?
        /// Length of the image as a share of the content's.
        var ratio: Double
        /// Content that passes a second when the slowest stage sets the pace.
        var expectedBytesPerSecond: Double?
        /// That stage: `source`, `cpu` or `target`.
        var bottleneck: String?
        var secondsForHundredGigabytes: Double?
        var secondsForSources: Double?
    }

    var sources: [Source]
    var target: String
    var targetBytesPerSecond: Double?
    var targetFreeBytes: Int64
    var compressions: [Compression]
    var recommendedCompression: String?

    /// Measures reading `disks`, hashing and compressing what was read, and writing to `folder`.
    init(
        measuring disks: [CaptureDisk], _ plan: CapturePlan, _ folder: String, direct: Bool = false,
        _ measurement: ThroughputMeasurement, compressing choices: [ImageCompression] = [.none, .zlib, .zstd]
    ) throws {
        sources = []
        compressions = []
        target = folder
        var sample: [UInt8] = []
        for (disk, planned) in zip(disks, plan.disks) {
            let (throughput, content) = try measurement.read(disk)
            sources.append(
                Source(
                    name: disk.source.name, lengthInBytes: disk.source.lengthInBytes, bytesToRead: planned.bytesToRead,
                    bytesPerSecond: throughput.bytesPerSecond))
            sample += content.prefix(max(64 << 20 - sample.count, 0))
        }
        targetBytesPerSecond = try measurement.write(to: folder, direct: direct).bytesPerSecond
        targetFreeBytes = try Folder.freeSpace(in: folder)
        for compression in choices {
            let (throughput, ratio) = try measurement.compute(sample, CaptureOptions(compression: compression))
            add(compression, throughput, ratio: ratio)
        }
    }

    /// Takes what one compression can do, and works out what a capture with it will.
    private mutating func add(_ compression: ImageCompression, _ throughput: Throughput, ratio: Double) {
        // Disks are captured one after the other: the time of all is the sum.
        let length = sources.reduce(into: 0.0) { $0 += Double($1.bytesToRead) }
        let sourceSeconds = sources.reduce(into: 0.0) { seconds, source in
            seconds += source.bytesPerSecond.map { Double(source.bytesToRead) / $0 } ?? 0
        }
        let stages: [(name: String, rate: Double?)] = [
            ("source", sourceSeconds > 0 ? length / sourceSeconds : nil),
            ("cpu", throughput.bytesPerSecond),
            ("target", targetBytesPerSecond.map { $0 / max(ratio, 0.001) }),
        ]
        var slowest: (name: String, rate: Double)?
        for stage in stages {
            guard let rate = stage.rate, rate < slowest?.rate ?? .infinity else { continue }
            slowest = (stage.name, rate)
        }
        compressions.append(
            Compression(
                compression: compression.rawValue, bytesPerSecond: throughput.bytesPerSecond, ratio: ratio,
                expectedBytesPerSecond: slowest?.rate, bottleneck: slowest?.name,
                secondsForHundredGigabytes: slowest.map { 100e9 / $0.rate },
                secondsForSources: length > 0 ? slowest.map { length / $0.rate } : nil))
        // Less work wins a draw: within a twentieth, time is not worth the heat.
        let best = compressions.max {
            ($0.expectedBytesPerSecond ?? 0) < ($1.expectedBytesPerSecond ?? 0)
        }?.expectedBytesPerSecond
        recommendedCompression =
            compressions.first { ($0.expectedBytesPerSecond ?? 0) >= (best ?? 0) * 0.95 }?.compression
    }

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns the tables.
    func text() -> String {
        var stages = TextTable(columns: [.left("stage"), .right("rate"), .right("100 GB"), .right("used data")])
        for source in sources {
            stages.rows.append(
                ["read \(source.name)"] + Self.times(source.bytesPerSecond, Double(source.bytesToRead)))
        }
        let length = sources.reduce(into: 0.0) { $0 += Double($1.bytesToRead) }
        stages.rows.append(["write \(target)"] + Self.times(targetBytesPerSecond, length))
        var table = TextTable(columns: [
            .left("compression"), .right("hash and compress"), .right("size"), .right("expected"),
            .left("bottleneck"), .right("100 GB"), .right("used data"),
        ])
        for row in compressions {
            table.rows.append([
                row.compression, HumanBytes.rate(row.bytesPerSecond), "\(Int((row.ratio * 100).rounded())) %",
                HumanBytes.rate(row.expectedBytesPerSecond), row.bottleneck ?? "-",
                HumanDuration.format(seconds: row.secondsForHundredGigabytes),
                HumanDuration.format(seconds: row.secondsForSources),
            ])
        }
        return stages.render() + "\n" + table.render() + """

            free on the target  \(HumanBytes.format(targetFreeBytes))
            recommended         --compression \(recommendedCompression ?? "none")

            """
    }

    /// Says which stage sets the pace.
    func bottleneckText(_ row: Compression) -> String {
        switch row.bottleneck {
        case "source": return "as fast as the source can be read"
        case "cpu": return "as fast as the processors hash and compress"
        case "target": return "as fast as the target takes it"
        default: return "at an unknown pace"
        }
    }

    private static func times(_ rate: Double?, _ length: Double) -> [String] {
        [
            HumanBytes.rate(rate), HumanDuration.format(seconds: rate.map { 100e9 / $0 }),
            HumanDuration.format(seconds: length > 0 ? rate.map { length / $0 } : nil),
        ]
    }
}
