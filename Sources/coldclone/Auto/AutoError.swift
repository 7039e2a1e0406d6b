// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Why an unattended run did not do what its job says.
struct AutoError: Error {
    var description: String
    var hint: String?
    var code = ExitCode.failed
    /// Whether the same may succeed a little later.
    var isTransient = false

    init(_ description: String, hint: String? = nil, code: ExitCode = .failed, isTransient: Bool = false) {
        self.description = description
        self.hint = hint
        self.code = code
        self.isTransient = isTransient
    }

    /// Somebody asked to stop.
    static let cancelled = AutoError(
        "somebody asked to stop", hint: "the same job goes on where it was", code: .cancelled)
}
