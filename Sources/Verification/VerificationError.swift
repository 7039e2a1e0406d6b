// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Why a verification came to no verdict: nothing here is a fault of the clone.
public enum VerificationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The clone's folder is not there or cannot be listed, or its manifest may not be read.
    case folder(BlockError)
    /// The machine cannot do the work: no threads.
    case machine(BlockError)
    /// Somebody asked to stop.
    case cancelled(folder: String)

    /// The message.
    public var description: String {
        switch self {
        case .folder(let error), .machine(let error): return error.description
        case .cancelled(let folder): return "the verification of \(folder) was cancelled"
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .folder(let error): return error.hint
        case .machine(let error): return error.hint ?? "try again with fewer --jobs"
        case .cancelled: return "nothing was changed: run it again"
        }
    }
}
