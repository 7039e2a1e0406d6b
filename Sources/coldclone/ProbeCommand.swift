// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import CloneFormat
internal import Console
internal import Probing

/// `coldclone probe`.
struct ProbeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe",
        abstract: "List what this machine has, and what decides whether its clone will be whole.",
        discussion: """
            Controllers and whether a driver drives them, disks and what lies on them, RAID members, LVM, installed \
            systems, network interfaces; findings last, the worst first. Nothing is written to any disk.

            EXAMPLES
              coldclone probe
              coldclone probe --json > machine.json
              coldclone probe disk1.img disk2.img
              coldclone probe --record machine.tar
              coldclone probe --sysroot machine.tar
            """)

    @Argument(help: "Block devices or image files to look at, instead of the machine's disks.")
    var disks: [String] = []

    @Option(
        help: "Look at the machine whose files are in this folder or recording, not at this one.",
        completion: .file())
    var sysroot: String?

    @Option(help: "Record what was read from the system's files in this new tar file.", completion: .file())
    var record: String?

    @Flag(help: "Keep serial numbers, addresses and names in the recording.")
    var includeSerials = false

    @Flag(help: "Leave out asking the drives for their health.")
    var skipSmart = false

    @Flag(help: "Print one JSON object instead of tables.")
    var json = false

    func validate() throws {
        if sysroot != nil, record != nil || !disks.isEmpty {
            throw ValidationError("--sysroot looks at another machine: leave out --record and DISKs")
        }
        if includeSerials, record == nil { throw ValidationError("--include-serials belongs to --record") }
    }

    func run() throws {
        let root: Sysroot
        if let sysroot { root = try MachineRecording.open(sysroot) } else { root = Sysroot(recording: record != nil) }
        var probe = MachineInspection(sysroot: root)
        probe.asksDrives = !skipSmart
        let machine = disks.isEmpty ? probe.machine() : try probe.images(disks)
        if let record {
            let archive = MachineRecording.archive(of: root, includingIdentities: includeSerials)
            let sink = try FileSink(creating: record)
            try sink.write(archive, at: 0)
            try sink.synchronize()
            try sink.close()
        }
        Terminal.standardOutput.write(
            json
                ? String(decoding: try JSONText.encode(machine), as: UTF8.self) : ProbeReport(machine: machine).text())
    }
}
