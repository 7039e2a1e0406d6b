// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser

/// `coldclone verify`.
struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "verify", abstract: "x")
    func run() throws {}
}
