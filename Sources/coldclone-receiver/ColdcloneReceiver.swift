// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser

/// The receiver's command line.
struct ColdcloneReceiver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coldclone-receiver",
        abstract: "Verifies clones of servers where they lie, and says in a receipt what they are worth.",
        discussion: """
            EXAMPLES
              coldclone-receiver verify /srv/clones/SERIAL-20261122T103000Z
              coldclone-receiver verify --json /srv/clones/* > verdicts.jsonl
              coldclone-receiver serve /srv/clones

            EXIT CODES
              0 verified   1 failed, no verdict   3 degraded   4 verification failed   64 usage   130 cancelled
            """,
        version: Version.text,
        subcommands: [VerifyCommand.self, ServeCommand.self])
}

@main
enum Main {
    /// Runs the command line and maps what comes of it to an exit code: nobody else does.
    static func main() async {
        do {
            var command = try ColdcloneReceiver.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            Failure.exit(error)
        }
    }
}
