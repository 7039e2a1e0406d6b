// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Probing

/// `coldclone plan`.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a capture would read and leave out, whether it fits, and how long it takes.",
        discussion: """
            Everything but the copy: what lies on the disks is read, free space is told from what is in use, and every \
            volume that would be copied whole is named with the reason. With a --target, source, processors and target \
            are measured for some seconds each; the target gets one file for that time. Sources are only read, and may \
            be in use: what is mounted elsewhere is then copied whole, as it is not clean.

            EXAMPLES
              coldclone plan all
              coldclone plan /dev/sda --target dir:/mnt/nfs --compression zstd
              coldclone plan disk.img --target dir:/mnt/usb --skip-bench --json

            EXIT CODES
              0 the clone fits, or no target was named   1 it does not fit, or something failed
            """)

    @Argument(help: "Block devices, disk image files or iscsi:// URLs, in the machine's order; all; iscsi:known.")
    var sources: [String]

    @Option(help: "Folder that the clone would be made in: dir:PATH.")
    var target: TargetSpecification?

    @Option(help: "Format of the images.")
    var format: ImageFormat = .qcow2

    @Option(help: "Compression of qcow2 images.")
    var compression: ImageCompression = .none

    @Option(help: "Seconds for each measurement.")
    var seconds = 2

    @Flag(help: "Measure nothing.")
    var skipBench = false

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
        if format == .raw, compression != .none {
            throw ValidationError("a raw image cannot be compressed: use --format qcow2, or --compression none")
        }
    }

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let log = Log(level: logLevel)
        let opening = SourceOpening(
            session: iscsi.sessions, connections: 1, log: log, cancellation: cancellation, isOnlyLooking: true)
        var disks = try opening.open(sources, targetFolder: target?.folder)
        let used = try UsedSpace(of: disks, as: freeSpace.record, log: log, cancellation: cancellation)
        disks = used.applied(to: disks)
        var plan = try CapturePlan(disks: disks, freeSpace: used.record)
        var bench: BenchReport?
        if let target {
            let measurement = ThroughputMeasurement(timeLimit: .seconds(seconds), cancellation: cancellation)
            if !skipBench { bench = try BenchReport(measuring: disks, plan, target.folder, measurement) }
            let ratio = bench?.compressions.first { $0.compression == compression.rawValue }?.ratio
            plan.fit(
                into: target.folder, freeInBytes: try Folder.freeSpace(in: target.folder),
                options: CaptureOptions(format: format, compression: compression), ratio: ratio)
        }
        let report = PlanReport(plan: plan, bench: bench, compression: compression.rawValue)
        Terminal.standardOutput.write(json ? try report.json() : report.text())
        if plan.target?.fits == false { throw Verdictless(code: .failed) }
    }
}
