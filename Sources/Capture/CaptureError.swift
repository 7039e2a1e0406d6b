// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
public import DiskImage

/// Why a capture did not end in a clone.
public enum CaptureError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A source or the target failed.
    case io(BlockError)
    /// The image cannot be written.
    case image(ImageError)
    /// A file of the clone cannot be made.
    case format(FormatError)
    /// What was asked for is not possible.
    case invalid(String, hint: String?)
    /// Somebody asked to stop; what is in `folder` has no manifest.
    case cancelled(folder: String)
    /// Something failed after the clone in `folder` was begun: what is there can be gone on with.
    indirect case interrupted(folder: String, CaptureError)
    /// There is nothing in `folder` that a capture could go on with.
    case notResumable(folder: String, reason: String)

    /// The message.
    public var description: String {
        switch self {
        case .io(let error): return error.description
        case .image(let error): return error.description
        case .format(let error): return error.description
        case .invalid(let reason, _): return reason
        case .interrupted(_, let error): return error.description
        case .cancelled(let folder): return "cancelled: \(folder) is incomplete and has no manifest"
        case .notResumable(let folder, let reason): return "cannot resume \(folder): \(reason)"
        }
    }

    /// What the kernel refused, where that was the cause.
    public var blockError: BlockError? {
        switch self {
        case .io(let error), .image(.io(let error)): return error
        case .interrupted(_, let error): return error.blockError
        default: return nil
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .io(let error): return error.hint
        case .image(let error): return error.hint
        case .format(let error): return error.hint
        case .invalid(_, let hint): return hint
        case .cancelled(let folder): return "coldclone capture --resume \(folder) continues it"
        case .interrupted(let folder, let error):
            let rest = "coldclone capture --resume \(folder) goes on"
            return error.hint.map { "\($0); then \(rest)" } ?? rest
        case .notResumable: return "capture again, into a new clone"
        }
    }
}
