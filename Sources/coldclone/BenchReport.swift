// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Probing

/// What `coldclone bench` found, and what follows from it.
struct BenchReport: Encodable {
    /// Reading one source.
    struct Source: Encodable {
        var name: String
        var lengthInBytes: Int64
        /// What a capture would read of it.
        var bytesToRead: Int64
        var bytesPerSecond: Double?
        /// The wire it is read by; nil for a file, and where nobody knows.
        var link: TransferLink?
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

    /// The wire that a source is read by.
    private static let convention =
        "theory: the line's rate / 8; 1 Gbit/s = 1024 Mbit/s, so that 1000BASE-T has 128 MB/s"

    var sources: [Source]
    /// The folder that the figures below are for: the only one, or the one that is recommended; nil without any.
    var target: String?
    var targetBytesPerSecond: Double?
    var targetFreeBytes: Int64?
    var compressions: [Compression]
    var recommendedCompression: String?
    /// Everything that a clone could be written to, in the order of the command line, then of the machine.
    var candidates: [BenchCandidate] = []
    var recommendedTarget: String?

    /// Measures reading `disks`, hashing and compressing what was read, and writing to `folder`.
    init(
        measuring disks: [CaptureDisk], _ plan: CapturePlan, _ folder: String, direct: Bool = false,
        _ measurement: ThroughputMeasurement, compressing choices: [ImageCompression] = [.none, .zlib, .zstd]
    ) throws {
        let candidate = BenchCandidate(.init(folder: folder, link: TransferLink(transport: "unknown")))
        try self.init(
            measuring: disks, plan, candidates: [candidate], direct: direct, measurement, compressing: choices)
        // Here the one folder is all there is: that it takes nothing is an error.
        guard let problem = candidates.first?.problem else { return }
        throw CaptureError.invalid(problem, hint: "name another target")
    }

    /// Measures reading `disks`, hashing and compressing what was read, and writing to every folder of `candidates`.
    ///
    /// - Parameter links: the wires that the disks are read by, nil for what has none.
    init(
        measuring disks: [CaptureDisk], _ plan: CapturePlan, candidates: [BenchCandidate], direct: Bool? = nil,
        links: [TransferLink?] = [], _ measurement: ThroughputMeasurement,
        compressing choices: [ImageCompression] = [.none, .zlib, .zstd]
    ) throws {
        sources = []
        compressions = []
        var sample: [UInt8] = []
        for (index, (disk, planned)) in zip(disks, plan.disks).enumerated() {
            let (throughput, content) = try measurement.read(disk)
            sources.append(
                Source(
                    name: disk.source.name, lengthInBytes: disk.source.lengthInBytes, bytesToRead: planned.bytesToRead,
                    bytesPerSecond: throughput.bytesPerSecond,
                    link: links.indices.contains(index) ? links[index] : nil))
            sample += content.prefix(max(64 << 20 - sample.count, 0))
        }
        for candidate in candidates {
            var candidate = candidate
            try candidate.measure(measurement, direct: direct)
            self.candidates.append(candidate)
        }
        var computed: [Computed] = []
        for compression in choices {
            let (throughput, ratio) = try measurement.compute(sample, CaptureOptions(compression: compression))
            computed.append(
                Computed(name: compression.rawValue, bytesPerSecond: throughput.bytesPerSecond, ratio: ratio))
        }
        choose(computed)
    }

    /// What the processors do with one compression.
    private struct Computed {
        var name: String
        var bytesPerSecond: Double?
        var ratio: Double
    }

    /// Works out what a capture to each candidate does, and takes the fastest that the clone fits into.
    private mutating func choose(_ computed: [Computed]) {
        var best: (index: Int, rate: Double, fits: Bool)?
        let length = sources.reduce(into: 0.0) { $0 += Double($1.bytesToRead) }
        for index in candidates.indices where candidates[index].bytesPerSecond != nil {
            let rows = computed.map { expect($0, candidates[index].bytesPerSecond) }
            guard let row = Self.recommended(rows) else { continue }
            candidates[index].recommendedCompression = row.compression
            candidates[index].expectedBytesPerSecond = row.expectedBytesPerSecond
            candidates[index].secondsForHundredGigabytes = row.secondsForHundredGigabytes
            candidates[index].secondsForSources = row.secondsForSources
            let rate = row.expectedBytesPerSecond ?? 0
            let fits = Double(candidates[index].freeBytes ?? 0) >= length * min(row.ratio, 1)
            if let best, (best.fits ? 1 : 0, best.rate) >= (fits ? 1 : 0, rate) { continue }
            best = (index, rate, fits)
        }
        if let best {
            let chosen = candidates[best.index]
            (target, targetBytesPerSecond, targetFreeBytes) = (
                chosen.target.folder, chosen.bytesPerSecond, chosen.freeBytes
            )
            if best.fits { recommendedTarget = chosen.target.folder }
        }
        compressions = computed.map { expect($0, targetBytesPerSecond) }
        recommendedCompression = Self.recommended(compressions)?.compression
    }

    /// Works out what a capture with one compression does on a target that takes so much a second.
    private func expect(_ computed: Computed, _ targetRate: Double?) -> Compression {
        // Disks are captured one after the other: the time of all is the sum.
        let length = sources.reduce(into: 0.0) { $0 += Double($1.bytesToRead) }
        let sourceSeconds = sources.reduce(into: 0.0) { seconds, source in
            seconds += source.bytesPerSecond.map { Double(source.bytesToRead) / $0 } ?? 0
        }
        let stages: [(name: String, rate: Double?)] = [
            ("source", sourceSeconds > 0 ? length / sourceSeconds : nil),
            ("cpu", computed.bytesPerSecond),
            ("target", targetRate.map { $0 / max(computed.ratio, 0.001) }),
        ]
        var slowest: (name: String, rate: Double)?
        for stage in stages {
            guard let rate = stage.rate, rate < slowest?.rate ?? .infinity else { continue }
            slowest = (stage.name, rate)
        }
        return Compression(
            compression: computed.name, bytesPerSecond: computed.bytesPerSecond, ratio: computed.ratio,
            expectedBytesPerSecond: slowest?.rate, bottleneck: slowest?.name,
            secondsForHundredGigabytes: slowest.map { 100e9 / $0.rate },
            secondsForSources: length > 0 ? slowest.map { length / $0.rate } : nil)
    }

    /// Returns the row that is worth it: less work wins a draw, as a twentieth of the time is not worth the heat.
    private static func recommended(_ rows: [Compression]) -> Compression? {
        let best = rows.compactMap(\.expectedBytesPerSecond).max() ?? 0
        return rows.first { ($0.expectedBytesPerSecond ?? 0) >= best * 0.95 }
    }

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns the tables.
    func text() -> String {
        var parts = [sourceTable(), candidateTable()].compactMap(\.self)
        parts.append(compressionTable())
        var end = ""
        if let target { end += "written to          \(Terminal.visible(target))\n" }
        if let targetFreeBytes { end += "free on the target  \(HumanBytes.format(targetFreeBytes))\n" }
        if let recommendedTarget, candidates.count > 1 {
            end += "recommended         --target dir:\(Terminal.visible(recommendedTarget))\n"
        }
        end += "recommended         --compression \(recommendedCompression ?? "none")\n"
        for candidate in candidates {
            let name = Terminal.visible(candidate.target.folder ?? candidate.target.disk ?? "")
            if let problem = candidate.problem { end += "not measured        \(name): \(Terminal.visible(problem))\n" }
            if let instruction = candidate.target.instruction {
                end += "to use \(name): \(Terminal.visible(instruction))\n"
            }
        }
        if candidates.isEmpty {
            end += "no target found     mount an NFS export or a USB disk, or name a folder: --target dir:PATH\n"
        }
        parts.append(end)
        return parts.joined(separator: "\n")
    }

    private static func theory(_ link: TransferLink?) -> [String] {
        guard let link else { return ["-", "-"] }
        let name = [link.transport, link.device, link.rate].compactMap(\.self).joined(separator: " ")
        return [
            Terminal.visible(name),
            link.theoreticalMegabytesPerSecond.map { "\(Int($0.rounded())) MB/s" } ?? "unknown",
        ]
    }

    private func sourceTable() -> String {
        var table = TextTable(columns: [
            .left("read"), .left("link"), .right("theory"), .right("measured"), .right("100 GB"), .right("used data"),
        ])
        for source in sources {
            table.rows.append(
                [Terminal.visible(source.name)] + Self.theory(source.link)
                    + Self.times(source.bytesPerSecond, Double(source.bytesToRead)))
        }
        return table.render()
    }

    private func candidateTable() -> String? {
        guard !candidates.isEmpty else { return nil }
        let length = sources.reduce(into: 0.0) { $0 += Double($1.bytesToRead) }
        var table = TextTable(columns: [
            .left("write"), .left("link"), .right("theory"), .right("measured"), .right("100 GB"), .right("used data"),
        ])
        for candidate in candidates {
            let name = candidate.target.folder ?? candidate.target.disk.map { "\($0), not mounted" } ?? ""
            table.rows.append(
                [Terminal.visible(name)] + Self.theory(candidate.target.link)
                    + Self.times(candidate.bytesPerSecond, length))
        }
        return table.render() + Self.convention + "\n"
    }

    private func compressionTable() -> String {
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
        return table.render()
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
