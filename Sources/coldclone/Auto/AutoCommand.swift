// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import CloneFormat
internal import Console
internal import Probing

/// `coldclone auto`.
struct AutoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "auto",
        abstract: "Capture this machine as its job says, without anybody at it.",
        discussion: """
            What is to be done comes from coldclone.KEY=VALUE on the kernel command line, and from a job in YAML with \
            the same keys: named by coldclone.job or --job, on the boot medium's COLDCLONE partition, built into the \
            live system (/etc/coldclone/job.yaml), or the receiver's for this machine. The command line wins over the \
            job, the job over defaults.

            The machine is looked at, and a critical finding stops the run; iSCSI targets are logged in to; the target \
            is mounted, and nothing written before it is known to be large enough; the disks are captured, going on \
            with an interrupted clone of the same disks; a target that fails is mounted again; with a receiver, the run \
            ends with its verdict. Every step is told with its time, and kept in the clone's events.jsonl.

            EXAMPLES
              coldclone auto --print-config
              coldclone auto --set target=nfs://10.0.0.1/clones --set name=web01
              coldclone auto --job /media/stick/job.yaml --set on_done=poweroff
              coldclone auto --set target=usb:CLONES --set disks=sda,serial:Z1D3X5 --json

            EXAMPLE OF A JOB
              mode: auto
              target: nfs://10.0.0.1/clones
              disks: all
              receiver: https://10.0.0.1:8642
              fingerprint: sha256//…
              token: …
              on_done: poweroff

            EXIT CODES
              0 done   1 failed   3 done, with unreadable ranges   4 the receiver's verification failed   130 cancelled
            """)

    @Flag(help: "As the live system does when it starts: end at once unless the mode is auto; tell on all consoles.")
    var atBoot = false

    @Option(help: ArgumentHelp("Job to take, a path or http(s):// URL.", valueName: "file|url"), completion: .file())
    var job: String?

    @Option(name: .customLong("set"), help: ArgumentHelp("Setting that wins over all others.", valueName: "key=value"))
    var settings: [String] = []

    @Flag(help: "Print every setting and where it comes from, and what would be done; then stop.")
    var printConfig = false

    @Option(
        help: ArgumentHelp("File to read the kernel command line from, for rehearsals.", valueName: "file"),
        completion: .file())
    var cmdline = "/proc/cmdline"

    @Flag(help: "Print JSON lines instead of text.")
    var json = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let reporter = AutoReporter(json: json, consoles: atBoot ? SystemConsole.all : [])
        var ending = JobEnding.stay
        let outcome: RunOutcome
        do {
            let configuration = try gathering(reporter, cancellation).configuration()
            if printConfig { return try print(configuration) }
            if atBoot, configuration.mode != .auto { return }
            reporter.tell(.started(version: Version.program.version, target: configuration.target?.description ?? "-"))
            for place in configuration.jobs { reporter.tell(.jobFound(place)) }
            ending = configuration.onFail
            let run = AutoRun(
                configuration: configuration, reporter: reporter, cancellation: cancellation,
                log: Log(level: logLevel))
            outcome = Self.outcome(try run.run(), reporter)
            ending = configuration.onDone
        } catch {
            if printConfig { throw error }
            outcome = Self.outcome(error, reporter)
            // Who stopped it decides what follows.
            if outcome.state == .cancelled { ending = .stay }
        }
        finish(outcome, ending, reporter)
        throw Verdictless(code: ExitCode(rawValue: outcome.exitCode) ?? .failed)
    }

    private func gathering(_ reporter: AutoReporter, _ cancellation: CancellationFlag) throws -> JobGathering {
        let text = try SmallFile.text(cmdline, limit: KernelCommandLine.maximumLength)
        return JobGathering(
            commandLine: KernelCommandLine.parse(text), job: job, options: settings, isAtBoot: atBoot,
            reporter: reporter, cancellation: cancellation)
    }

    private func print(_ configuration: JobConfiguration) throws {
        let report = ConfigurationReport(configuration)
        Terminal.standardOutput.write(json ? try report.json() : report.text())
    }

    private static func outcome(_ result: AutoRun.Result, _ reporter: AutoReporter) -> RunOutcome {
        var outcome = RunOutcome(
            state: result.code == .degraded ? .degraded : .done, exitCode: result.code, startedAt: reporter.startedAt)
        outcome.clone = result.clone
        outcome.verdict = result.verdict
        return outcome
    }

    private static func outcome(_ error: any Error, _ reporter: AutoReporter) -> RunOutcome {
        let (message, hint, code) = Failure.explain(error)
        var outcome = RunOutcome(
            state: code == .cancelled ? .cancelled : .failed, exitCode: code, startedAt: reporter.startedAt)
        outcome.reason = message
        outcome.hint = hint
        return outcome
    }

    /// Leaves the result where the consoles find it, tells it, and does what follows.
    private func finish(_ outcome: RunOutcome, _ ending: JobEnding, _ reporter: AutoReporter) {
        if atBoot, let bytes = try? outcome.encoded() {
            let parts = RunOutcome.path.split(separator: "/").map(String.init)
            let folder = "/" + parts.dropLast().joined(separator: "/")
            if !Folder.exists(folder) { try? Folder.create(folder) }
            try? Folder.writeDurably(bytes, to: parts.last ?? "", in: folder, replacing: true)
        }
        let action = ending == .poweroff || ending == .reboot ? ending.rawValue : nil
        if let action { reporter.tell(.ending(action)) }
        reporter.tell(outcome)
        guard let action else { return }
        let result = try? HelperProgram.run("systemctl", [action], secondsAtMost: 60)
        if result?.status != 0 {
            let reason = result?.lastError ?? "it cannot be run"
            Terminal.standardError.write("\(Version.program.name): systemctl \(action): \(Terminal.visible(reason))\n")
        }
    }
}
