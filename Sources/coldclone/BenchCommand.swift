// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Probing

/// `coldclone bench`.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure source, processors and target, and tell how long a capture takes.",
        discussion: """
            Sources are read only. The target gets one file for the time of the measurement, synchronised step by step, \
            so that a slow medium costs seconds; it is removed afterwards. "All of it" is the whole length of the \
            sources: what is unused, a capture leaves out.

            EXAMPLES
              coldclone bench /dev/sda /dev/sdb --target dir:/mnt/nfs
              coldclone bench disk.img --target dir:/mnt/usb --seconds 10 --json
            """)

    @Argument(help: "Block devices or disk image files to read from.")
    var sources: [String]

    @Option(help: "Folder that is written to: dir:PATH.")
    var target: TargetSpecification

    @Option(help: "Seconds for each measurement.")
    var seconds = 3

    @Flag(help: "Write past the page cache where the target grants it.")
    var direct = false

    @Flag(help: "Print one JSON object instead of tables.")
    var json = false

    func validate() throws {
        if sources.isEmpty { throw ValidationError("name at least one SOURCE") }
        if !(1...600).contains(seconds) { throw ValidationError("--seconds is 1 to 600") }
    }

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let measurement = ThroughputMeasurement(timeLimit: .seconds(seconds), cancellation: cancellation)
        let stack = try BlockStack()
        var report: [BenchReport.Source] = []
        var sample: [UInt8] = []
        for path in sources {
            let source = try FileSource(path)
            // A device in use may be read all the same: nothing is kept. The target must not lie on it.
            if let objection = try stack.objectionToReading(source, targetFolder: target.folder) {
                throw CaptureError.invalid(objection, hint: "name another target")
            }
            let (throughput, content) = try measurement.read(source)
            report.append(
                .init(
                    name: path, lengthInBytes: source.lengthInBytes, bytesPerSecond: throughput.bytesPerSecond))
            sample += content.prefix(max(64 << 20 - sample.count, 0))
        }
        let written = try measurement.write(to: target.folder, direct: direct)
        var result = BenchReport(
            sources: report, target: target.folder, targetRate: written.bytesPerSecond,
            freeBytes: try Folder.freeSpace(in: target.folder))
        for compression in [ImageCompression.none, .zlib, .zstd] {
            let (throughput, ratio) = try measurement.compute(sample, CaptureOptions(compression: compression))
            result.add(compression, throughput, ratio: ratio)
        }
        Terminal.standardOutput.write(json ? try result.json() : result.text())
    }
}
