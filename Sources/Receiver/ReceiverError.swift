// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Glibc
internal import SystemPackage
public import Verification

/// Why a clone could not be received; a clone that is bad is no error but a verdict.
public enum ReceiverError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The verification came to no verdict.
    case verification(VerificationError)
    /// A file of the receiver's own, or the folder of the clones, does not do what it should.
    case io(BlockError)
    /// The service cannot be set up as asked.
    case setup(String, hint: String?)

    /// The failure that the last system call left in errno(3).
    static func system(_ operation: BlockError.Operation, _ path: String) -> ReceiverError {
        .io(BlockError(operation, path, .system(Errno(rawValue: errno))))
    }

    /// The message.
    public var description: String {
        switch self {
        case .verification(let error): return error.description
        case .io(let error): return error.description
        case .setup(let message, _): return message
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .verification(let error): return error.hint
        case .io(let error): return error.hint
        case .setup(_, let hint): return hint
        }
    }
}
