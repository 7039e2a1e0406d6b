// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import Glibc
internal import ISCSI
internal import Probing
internal import Verification

/// A result that is no error of the program but not plain success either: a degraded clone, a failed verification.
struct Verdictless: Error {
    var code: CloneFormat.ExitCode
}

/// The way from errors to messages and exit codes.
enum Failure {
    /// Prints message and hint to standard error and ends the process.
    static func exit(_ error: any Error) -> Never {
        switch error {
        case let error as Verdictless: Glibc.exit(error.code.rawValue)
        case let error as CaptureError: exit(error.description, error.hint, code(of: error))
        case let error as VerificationError: exit(error.description, error.hint, code(of: error))
        case let error as ISCSIError:
            exit(error.description, error.hint, error.cause == .cancelled ? .cancelled : .failed)
        case let error as SourceWordError: exit(error.description, error.hint, .failed)
        case let error as ProbeError: exit(error.description, error.hint, .failed)
        case let error as BlockError: exit(error.description, error.hint, .failed)
        default: Coldclone.exit(withError: error)
        }
    }

    private static func code(of error: CaptureError) -> CloneFormat.ExitCode {
        if case .cancelled = error { return .cancelled }
        return .failed
    }

    private static func code(of error: VerificationError) -> CloneFormat.ExitCode {
        if case .cancelled = error { return .cancelled }
        return .failed
    }

    private static func exit(_ message: String, _ hint: String?, _ code: CloneFormat.ExitCode) -> Never {
        let lines = ["\(Version.program.name): \(message)"] + (hint.map { ["hint: \($0)"] } ?? [])
        Terminal.standardError.write(lines.map { Terminal.visible($0) + "\n" }.joined())
        Glibc.exit(code.rawValue)
    }
}
