// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import ISCSI
internal import Probing

/// `coldclone bench`.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure source, processors and target, and tell how long a capture takes.",
        discussion: """
            Sources are read only. A target's folder gets one file for the time of the measurement, synchronised step by \
            step, so that a slow medium costs seconds; it is removed afterwards. "Used data" is what a capture would \
            read: `coldclone plan` tells what that is.

            Without a --target, every candidate is measured: network file systems and folders on USB, e-SATA and \
            removable disks that are mounted for writing. Such disks that are not mounted are listed with what their \
            link carries in theory, and how to mount them.

            EXAMPLES
              coldclone bench all
              coldclone bench /dev/sda /dev/sdb --target dir:/mnt/nfs --target dir:/mnt/usb
              coldclone bench disk.img --target dir:/mnt/usb --seconds 10 --json
            """)

    @Argument(help: "Block devices, disk image files or iscsi:// URLs to read from; all; iscsi:known.")
    var sources: [String]

    @Option(help: "Folder that is written to: dir:PATH; may be given several times. (default: all candidates)")
    var target: [TargetSpecification] = []

    @Option(help: "Seconds for each measurement.")
    var seconds = 3

    @Flag(
        inversion: .prefixedNo,
        help: "Write past the page cache where the target grants it, or never. (default: both where it may pay)")
    var direct: Bool?

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
        let sysroot = Sysroot()
        let targets = TargetCandidates(MachineProbe(sysroot).hardware(), sysroot)
        var disks = try opening.open(sources, targetFolder: target.first?.folder)
        let stack = try BlockStack()
        let candidates = try candidates(targets, disks, stack)
        let used = try UsedSpace(of: disks, as: freeSpace.record, log: log, cancellation: cancellation)
        disks = used.applied(to: disks)
        let result = try BenchReport(
            measuring: disks, CapturePlan(disks: disks, freeSpace: used.record), candidates: candidates,
            direct: direct, links: disks.map { Self.link(of: $0, targets) },
            ThroughputMeasurement(timeLimit: .seconds(seconds), cancellation: cancellation))
        Terminal.standardOutput.write(json ? try result.json() : result.text())
    }

    /// Returns the folders that were named, or all that look made for it, and the disks that could be mounted.
    ///
    /// Nothing is written where a source lies: that is an error for a folder that was named.
    private func candidates(
        _ targets: TargetCandidates, _ disks: [CaptureDisk], _ stack: BlockStack
    ) throws -> [BenchCandidate] {
        func objection(to folder: String) throws -> String? {
            for disk in disks {
                guard let file = disk.source as? FileSource else { continue }
                if let objection = try stack.objectionToReading(file, targetFolder: folder) { return objection }
            }
            return nil
        }
        var found: [BenchCandidate] = []
        for folder in target.map(\.folder) {
            if let objection = try objection(to: folder) {
                throw CaptureError.invalid(objection, hint: "name another target")
            }
            var candidate = targets.folder(try Folder.realPath(folder))
            candidate.folder = folder
            found.append(BenchCandidate(candidate))
        }
        if target.isEmpty {
            for candidate in targets.folders() {
                guard let folder = candidate.folder, (try? objection(to: folder)) == .some(nil) else { continue }
                found.append(BenchCandidate(candidate))
            }
        }
        let sources = Set(disks.map(\.source.name))
        return found
            + targets.disks().filter { !sources.contains($0.disk ?? "") }.map { BenchCandidate($0) }
    }

    /// Returns the wire that a disk is read by.
    private static func link(of disk: CaptureDisk, _ targets: TargetCandidates) -> TransferLink? {
        if disk.source is ISCSISource, let url = try? ISCSIURL(disk.source.name) {
            return targets.link(to: url.portal.host, transport: "iscsi")
        }
        return targets.link(ofDisk: disk.source.name)
    }
}
