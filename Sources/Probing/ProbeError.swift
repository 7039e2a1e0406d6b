// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Why a machine could not be looked at.
public enum ProbeError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file or device could not be read or written.
    case io(BlockError)
    /// A recording is not what it should be.
    case damaged(file: String, reason: String)
    /// A file system could not be read, as the message says.
    case unreadable(String)

    /// The message.
    public var description: String {
        switch self {
        case .io(let error): return error.description
        case .damaged(let file, let reason): return "cannot read the recording \(file): \(reason)"
        case .unreadable(let message): return message
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .io(let error): return error.hint
        case .damaged: return "record the machine again: coldclone probe --record FILE.tar"
        case .unreadable: return nil
        }
    }
}
