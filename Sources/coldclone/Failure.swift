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
        if let error = error as? Verdictless { Glibc.exit(error.code.rawValue) }
        guard let (message, hint, code) = known(error) else { Coldclone.exit(withError: error) }
        exit(message, hint, code)
    }

    /// Returns message, hint and exit code of an error, for programs that go on behind it.
    static func explain(_ error: any Error) -> (message: String, hint: String?, code: CloneFormat.ExitCode) {
        known(error) ?? ("\(error)", nil, .failed)
    }

    private static func known(_ error: any Error) -> (String, String?, CloneFormat.ExitCode)? {
        switch error {
        case let error as CaptureError: (error.description, error.hint, code(of: error))
        case let error as VerificationError: (error.description, error.hint, code(of: error))
        case let error as ISCSIError:
            (error.description, error.hint, error.cause == .cancelled ? .cancelled : .failed)
        case let error as AutoError: (error.description, error.hint, error.code)
        case let error as FormatError: (error.description, error.hint, .failed)
        case let error as SourceWordError: (error.description, error.hint, .failed)
        case let error as ProbeError: (error.description, error.hint, .failed)
        case let error as BlockError: (error.description, error.hint, .failed)
        default: nil
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
