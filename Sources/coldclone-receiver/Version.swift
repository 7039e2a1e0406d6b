// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// This release.
enum Version {
    static let program = Program(name: "coldclone-receiver", version: "0.1.0")

    /// What `--version` prints.
    static var text: String {
        "\(program.name) \(program.version)"
    }
}
