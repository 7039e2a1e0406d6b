// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import CloneFormat
internal import Console
internal import Glibc
internal import Receiver
internal import Verification

/// A result that is no error of the program but not plain success either; all there is to say has been printed.
struct Verdictless: Error {
    var code: CloneFormat.ExitCode
}

/// The way from errors to messages and exit codes.
enum Failure {
    /// Prints message and hint to standard error and ends the process.
    static func exit(_ error: any Error) -> Never {
        switch error {
        case let error as Verdictless: Glibc.exit(error.code.rawValue)
        case let error as ReceiverError:
            print(error.description, hint: error.hint)
            Glibc.exit(code(of: error).rawValue)
        default: ColdcloneReceiver.exit(withError: error)
        }
    }

    /// Prints a message and its hint to standard error.
    static func print(_ message: String, hint: String?) {
        let lines = ["\(Version.program.name): \(message)"] + (hint.map { ["hint: \($0)"] } ?? [])
        Terminal.standardError.write(lines.map { Terminal.visible($0) + "\n" }.joined())
    }

    /// Returns the exit code of a clone without a verdict.
    static func code(of error: ReceiverError) -> CloneFormat.ExitCode {
        if case .verification(.cancelled) = error { return .cancelled }
        return .failed
    }
}
