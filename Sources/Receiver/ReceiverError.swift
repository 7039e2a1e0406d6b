// SPDX-License-Identifier: GPL-3.0-or-later

public import Verification

/// Why a clone could not be received; a clone that is bad is no error but a verdict.
public enum ReceiverError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The verification came to no verdict.
    case verification(VerificationError)

    /// The message.
    public var description: String {
        switch self {
        case .verification(let error): return error.description
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .verification(let error): return error.hint
        }
    }
}
