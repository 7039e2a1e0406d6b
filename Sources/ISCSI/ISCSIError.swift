// SPDX-License-Identifier: GPL-3.0-or-later

/// A failed dealing with an iSCSI target: what was tried, and why it failed.
public struct ISCSIError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why it failed.
    public enum Cause: Sendable, Hashable {
        /// Something given is not possible, as the text says.
        case invalid(String)
        /// The host's name leads to no address.
        case unresolved(String)
        /// No connection, or one that broke, as the text says.
        case unreachable(String)
        /// No answer within so many seconds.
        case timedOut(seconds: Int)
        /// The target refused the login.
        case refused(LoginStatus)
        /// One side did not prove itself to the other, as the text says.
        case notAuthenticated(String)
        /// The logical unit refused a command.
        case sense(SCSISense)
        /// The answer is not what the protocol asks for.
        case badAnswer(String)
        /// Somebody asked to stop.
        case cancelled
    }

    /// What was tried, as it stands behind `cannot`.
    public var action: String
    /// Why it failed.
    public var cause: Cause

    /// Makes an error.
    public init(_ action: String, _ cause: Cause) {
        self.action = action
        self.cause = cause
    }

    /// The message: `cannot log in to iqn.… at 10.0.0.1:3260: target not found`.
    public var description: String {
        let reason =
            switch cause {
            case .invalid(let text), .unresolved(let text), .unreachable(let text), .notAuthenticated(let text),
                .badAnswer(let text):
                text
            case .timedOut(let seconds): "no answer within \(seconds) s"
            case .refused(let status): status.description
            case .sense(let sense): sense.description
            case .cancelled: "cancelled"
            }
        return "cannot \(action): \(reason)"
    }

    /// What the technician can do about it, where that is known.
    public var hint: String? {
        switch cause {
        case .unresolved: return "use the host's address: names may not be resolvable in the live system"
        case .unreachable, .timedOut: return "check address, port, cabling and VLAN, and that the target is running"
        case .refused(.authenticationFailure), .notAuthenticated:
            return "check user and password: --chap-file, or COLDCLONE_CHAP_USER and COLDCLONE_CHAP_PASSWORD"
        case .refused(.targetNotFound), .refused(.authorizationFailure), .refused(.targetRemoved):
            return "the target may admit only certain initiator names: give the machine's own by --initiator-name"
        case .refused(.tooManyConnections), .refused(.outOfResources):
            return "is the machine's own operating system, or another host, still logged in?"
        case .refused(.serviceUnavailable): return "the target is starting or busy: try again"
        case .sense(let sense) where sense.key == .illegalRequest && sense.code == 0x2500:
            return "there is no such LUN: see coldclone iscsi luns"
        default: return nil
        }
    }
}

/// Why a target refused a login: status class and detail.
///
/// RFC 7143, 11.13.5.
public enum LoginStatus: Sendable, Hashable, CustomStringConvertible {
    case initiatorError, authenticationFailure, authorizationFailure, targetNotFound, targetRemoved
    case unsupportedVersion, tooManyConnections, missingParameter, cannotIncludeInSession
    case sessionTypeNotSupported, sessionDoesNotExist, invalidDuringLogin
    case targetError, serviceUnavailable, outOfResources
    /// One that the standard does not know.
    case unknown(Int)

    private static let known: [Int: (Self, String)] = [
        0x200: (.initiatorError, "initiator error"), 0x201: (.authenticationFailure, "authentication failure"),
        0x202: (.authorizationFailure, "this initiator may not use the target"),
        0x203: (.targetNotFound, "target not found"), 0x204: (.targetRemoved, "the target was removed"),
        0x205: (.unsupportedVersion, "unsupported version"), 0x206: (.tooManyConnections, "too many connections"),
        0x207: (.missingParameter, "missing parameter"),
        0x208: (.cannotIncludeInSession, "the connection cannot join the session"),
        0x209: (.sessionTypeNotSupported, "session type not supported"),
        0x20a: (.sessionDoesNotExist, "the session does not exist"),
        0x20b: (.invalidDuringLogin, "invalid request during login"), 0x300: (.targetError, "target error"),
        0x301: (.serviceUnavailable, "service unavailable"),
        0x302: (.outOfResources, "the target has no resources left"),
    ]

    /// Reads class and detail.
    public init(rawValue: Int) { self = Self.known[rawValue]?.0 ?? .unknown(rawValue) }

    /// The reason in words.
    public var description: String {
        if case .unknown(let raw) = self { return "login status 0x" + String(raw, radix: 16) }
        return Self.known.values.first { $0.0 == self }?.1 ?? "login refused"
    }
}
