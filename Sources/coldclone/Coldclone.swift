// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import CloneFormat

/// The agent's command line.
struct Coldclone: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coldclone",
        abstract: "Clones the disks of a machine whose operating system is not running, and proves the copy.",
        discussion: """
            The source is never written. A clone is a folder on the target with one image a disk, the digests of every \
            MiB, and a manifest that is written last: without it, there is no clone.

            EXAMPLES
              coldclone plan /dev/sda --target dir:/mnt/nfs
              coldclone capture /dev/sda /dev/sdb --target dir:/mnt/nfs
              coldclone iscsi luns 10.0.0.1
              coldclone auto --set target=nfs://10.0.0.1/clones --print-config
              coldclone verify /mnt/nfs/SERIAL-20261122T103000Z

            EXIT CODES
              0 done   1 failed   3 done, with unreadable ranges   4 verification failed   64 usage   130 cancelled
            """,
        version: Version.text,
        subcommands: [
            ProbeCommand.self, PlanCommand.self, BenchCommand.self, CaptureCommand.self, VerifyCommand.self,
            ISCSICommand.self, AutoCommand.self, UICommand.self,
        ])
}

@main
enum Main {
    /// Runs the command line and maps what comes of it to an exit code: nobody else does.
    static func main() {
        do {
            var command = try Coldclone.parseAsRoot()
            try command.run()
        } catch {
            Failure.exit(error)
        }
    }
}
