// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import CloneFormat
internal import Console
internal import Verification

/// `coldclone verify`.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read a clone back past the page cache and hold every byte against its manifest.",
        discussion: """
            Reads from the machine that made the clone. The second, independent look is the receiver's: run \
            coldclone-receiver verify where the clone is stored.

            EXAMPLE
              coldclone verify /mnt/nfs/SERIAL-20261122T103000Z
            """)

    @Argument(help: ArgumentHelp("Folder of the clone.", valueName: "clone"), completion: .directory)
    var clone: String

    @Option(help: "Threads that read and hash. (default: one a processor)")
    var jobs: Int?

    @Flag(help: "Print one JSON object with the verdict instead of text.")
    var json = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func validate() throws {
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs is 1 to 1024") }
    }

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        Log(level: logLevel).write(.info, "verifying \(clone)")
        let verification = CloneVerification(folder: clone, options: .init(freshness: .direct, jobs: jobs))
        let progress = VerificationProgress()
        let reporter = ProgressReporter { progress.sample }
        let report: CloneReport
        do {
            defer { reporter.finish() }
            report = try verification.run(progress: progress, cancellation: cancellation)
        }
        let result = VerifyResult(clone: clone, report)
        Terminal.standardOutput.write(json ? try result.json() : result.text())
        switch report.verdict {
        case .verified: return
        case .degraded: throw Verdictless(code: .degraded)
        case .failed: throw Verdictless(code: .verificationFailed)
        }
    }
}

/// What `coldclone verify` tells of a clone.
struct VerifyResult: Encodable {
    var clone: String
    var verdict: Verdict
    var disks: [VerifiedDisk]
    var problems: [Problem]
    var problemCount: Int
    var warnings: [String]
    /// Clones that it cannot be read without; nil when it stands alone.
    var dependsOn: [BaseRecord]?

    init(clone: String, _ report: CloneReport) {
        self.clone = clone
        verdict = report.verdict
        disks = report.disks
        problems = report.problems
        problemCount = report.problemCount
        warnings = report.warnings
        dependsOn = report.dependsOn.isEmpty ? nil : report.dependsOn
    }

    /// Returns one JSON object on a line.
    func json() throws -> String {
        String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self)
    }

    /// Returns a line a disk, problem and warning, and the verdict.
    func text() -> String {
        let lines =
            disks.map { disk in
                "disk     \(disk.name): \(disk.checkedChunks) chunks read, \(disk.zeroChunks) zero, "
                    + "\(disk.contentDigest?.description ?? "not checked to the end")"
            }
            + problems.map { "problem  \($0.message)" }
            + (problemCount > problems.count ? ["problem  and \(problemCount - problems.count) more"] : [])
            + warnings.map { "warning  \($0)" }
            + ["verdict  \(verdict.rawValue): \(clone)"]
        return lines.map { Terminal.visible($0) + "\n" }.joined()
    }
}

extension VerificationProgress {
    /// How far the verification is, for the progress line; nil before it begins.
    var sample: ProgressSample? {
        guard bytesTotal > 0 else { return nil }
        return ProgressSample(label: "checking \(currentDisk)", done: bytesDone, total: bytesTotal)
    }
}
