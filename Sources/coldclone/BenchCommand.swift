// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import Probing

/// `coldclone bench`.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure source, processors and target, and tell how long a capture takes.",
        discussion: """
            Sources are read only. The target gets one file for the time of the measurement, synchronised step by step, \
            so that a slow medium costs seconds; it is removed afterwards. "Used data" is what a capture would read: \
            `coldclone plan` tells what that is.

            EXAMPLES
              coldclone bench /dev/sda /dev/sdb --target dir:/mnt/nfs
              coldclone bench disk.img --target dir:/mnt/usb --seconds 10 --json
            """)

    @Argument(help: "Block devices, disk image files or iscsi:// URLs to read from.")
    var sources: [String]

    @Option(help: "Folder that is written to: dir:PATH.")
    var target: TargetSpecification

    @Option(help: "Seconds for each measurement.")
    var seconds = 3

    @Flag(help: "Write past the page cache where the target grants it.")
    var direct = false

    @OptionGroup(title: "Free space")
    var freeSpace: FreeSpaceArguments

    @OptionGroup(title: "iSCSI")
    var iscsi: ISCSIArguments

    @Flag(help: "Print one JSON object instead of tables.")
    var json = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func validate() throws {
        if sources.isEmpty { throw ValidationError("name at least one SOURCE") }
        if !(1...600).contains(seconds) { throw ValidationError("--seconds is 1 to 600") }
    }

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let log = Log(level: logLevel)
        let opening = SourceOpening(
            session: iscsi.sessions, connections: 1, log: log, cancellation: cancellation, isOnlyLooking: true)
        var disks = try opening.open(sources, targetFolder: target.folder)
        let used = try UsedSpace(of: disks, as: freeSpace.record, log: log, cancellation: cancellation)
        disks = used.applied(to: disks)
        let result = try BenchReport(
            measuring: disks, CapturePlan(disks: disks, freeSpace: used.record), target.folder, direct: direct,
            ThroughputMeasurement(timeLimit: .seconds(seconds), cancellation: cancellation))
        Terminal.standardOutput.write(json ? try result.json() : result.text())
    }
}
