// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import CloneFormat
internal import Console
internal import Receiver

/// `coldclone-receiver verify`.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Re-read clones and hold every byte against their manifests.",
        discussion: """
            Every chunk is read from the medium and hashed again, the structure of every qcow2 image is walked, and \
            where qemu-img is installed its opinion is asked too. The verdict goes to receipt.json in the clone's \
            folder, with SHA-256 and SHA-512 of every file.

            EXAMPLES
              coldclone-receiver verify /srv/clones/SERIAL-20261122T103000Z
              coldclone-receiver verify --json --file-digests never /srv/clones/*
              coldclone-receiver verify --no-receipt /media/read-only/SERIAL-20261122T103000Z

            The exit code is that of the worst clone: 0 verified, 3 degraded, 1 no verdict, 4 verification failed.
            """)

    @Argument(help: ArgumentHelp("Folders of clones.", valueName: "clone"), completion: .directory)
    var clones: [String]

    @Flag(help: "Print the receipts as JSON, one a line.")
    var json = false

    @Option(help: "Threads that check images. (default: one a processor)")
    var jobs: Int?

    @Option(help: "SHA-256 and SHA-512 of files: auto leaves out those with more than 64 GiB of holes.")
    var fileDigests: FileDigestPolicy = .auto

    @Flag(name: .customLong("no-receipt"), help: "Do not write receipt.json.")
    var noReceipt = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func validate() throws {
        if clones.isEmpty { throw ValidationError("name at least one CLONE") }
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs is 1 to 1024") }
    }

    func run() async throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let log = Log(level: logLevel)
        var worst = CloneFormat.ExitCode.done
        for clone in clones {
            let code = await verify(clone, cancellation, log)
            if Self.severity(code) > Self.severity(worst) { worst = code }
            if cancellation.isCancelled { break }
        }
        if worst != .done { throw Verdictless(code: worst) }
    }

    /// Verifies one clone, prints the verdict, and returns its exit code: one bad clone does not hide the next.
    private func verify(_ clone: String, _ cancellation: CancellationFlag, _ log: Log) async -> CloneFormat.ExitCode {
        log.write(.info, "verifying \(clone)")
        let receiver = CloneReceiver(
            program: Version.program,
            options: CloneReceiver.Options(jobs: jobs, fileDigests: fileDigests, writesReceipt: !noReceipt))
        let progress = ReceiverProgress()
        let isShown = !json || Terminal.standardError.isTerminal
        let reporter = isShown ? ProgressReporter { progress.sample } : nil
        let reception: CloneReceiver.Reception
        do throws(ReceiverError) {
            reception = try await receiver.receive(clone, progress: progress, cancellation: cancellation)
            reporter?.finish()
        } catch {
            reporter?.finish()
            Failure.print(error.description, hint: error.hint)
            return Failure.code(of: error)
        }
        let report = ReceiptText(clone: clone, receipt: reception.receipt)
        Terminal.standardOutput.write(json ? report.json() : report.text())
        if let error = reception.receiptError {
            Failure.print(
                error.description, hint: "the verdict stands; use --no-receipt for a folder that is read-only")
        } else if !noReceipt {
            log.write(.info, "wrote \(clone)/\(Receipt.fileName)")
        }
        switch reception.receipt.verdict {
        case .failed: return .verificationFailed
        case .degraded: return reception.receiptError == nil ? .degraded : .failed
        case .verified: return reception.receiptError == nil ? .done : .failed
        }
    }

    private static func severity(_ code: CloneFormat.ExitCode) -> Int {
        switch code {
        case .done: return 0
        case .degraded: return 1
        case .failed, .usage: return 2
        case .verificationFailed: return 3
        case .cancelled: return 4
        }
    }
}
