// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// An image that cannot be opened or written.
public enum ImageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file below failed.
    case io(BlockError)
    /// The image contradicts its format; `offset` is the byte in the image file, where there is one.
    case damaged(path: String, offset: Int64?, reason: String)
    /// The image uses a feature that is not supported.
    case unsupported(path: String, feature: String)
    /// What was asked for is not possible.
    case invalid(String)

    /// The message.
    public var description: String {
        switch self {
        case .io(let error): return error.description
        case .damaged(let path, let offset?, let reason): return "\(path) is damaged at byte \(offset): \(reason)"
        case .damaged(let path, nil, let reason): return "\(path) is damaged: \(reason)"
        case .unsupported(let path, let feature): return "\(path) uses \(feature), which is not supported"
        case .invalid(let reason): return reason
        }
    }

    /// What can be done about it, where that is known.
    public var hint: String? {
        switch self {
        case .io(let error): return error.hint
        case .damaged: return "copy the image from its target again, or capture again"
        case .unsupported: return "flatten the image first: qemu-img convert -O qcow2 IN OUT"
        case .invalid: return nil
        }
    }
}
