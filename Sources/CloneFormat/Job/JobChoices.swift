// SPDX-License-Identifier: GPL-3.0-or-later

/// A setting that is one of a few words.
public protocol JobWord: RawRepresentable<String>, CaseIterable, Sendable, Hashable, Encodable {}

/// What the live system does when it is up.
public enum JobMode: String, JobWord {
    case ui, auto, shell
}

/// What follows an unattended run.
public enum JobEnding: String, JobWord {
    case poweroff, reboot, shell, stay
}

/// Compression of qcow2 images; `auto` compresses while the target is what everything waits for.
public enum JobCompression: String, JobWord {
    case none, zlib, zstd, auto
}

/// Format of the images.
public enum JobFormat: String, JobWord {
    case qcow2, raw
}

/// Language of messages.
public enum JobLanguage: String, JobWord {
    case english = "en"
    case japanese = "ja"
}

/// The earlier clone of which only the changes are captured.
public enum JobBase: Sendable, Hashable, CustomStringConvertible {
    /// There is none: everything is captured.
    case none
    /// The newest complete clone of this machine on the target, if there is one.
    case latest
    /// The clone of this name on the target.
    case clone(String)

    /// Takes `none`, `latest`, or a clone's name; nil for what is no file name.
    public init?(_ text: String) {
        switch text {
        case "none": self = .none
        case "latest": self = .latest
        default:
            guard FileName.isSafe(text) else { return nil }
            self = .clone(text)
        }
    }

    /// The text that means this.
    public var description: String {
        switch self {
        case .none: "none"
        case .latest: "latest"
        case .clone(let name): name
        }
    }
}

/// Disks that a job names.
public enum JobDisks: Sendable, Hashable, CustomStringConvertible {
    /// Every disk of the machine but the live system's and those that clones are written to.
    case all
    /// A device or image file by its path, or a LUN by its URL.
    case path(String)
    /// The disk with this world wide name.
    case worldWideName(String)
    /// The disk with this serial number.
    case serial(String)

    /// Takes `all`, a name such as `sda`, a path, an `iscsi://` URL, `wwn:…` or `serial:…`; nil for anything else.
    public init?(_ text: String) {
        guard JobTarget.isClean(text), text.utf8.count <= 4096 else { return nil }
        if text == "all" {
            self = .all
        } else if text.hasPrefix("wwn:"), text.utf8.count > 4 {
            self = .worldWideName(String(text.dropFirst(4)))
        } else if text.hasPrefix("serial:"), text.utf8.count > 7 {
            self = .serial(String(text.dropFirst(7)))
        } else if text.hasPrefix("/") || text.hasPrefix("iscsi://") {
            self = .path(text)
        } else if let first = text.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-"),
            !text.contains(":"), !text.contains("..")
        {
            self = .path("/dev/\(text)")
        } else {
            return nil
        }
    }

    /// The text that means this.
    public var description: String {
        switch self {
        case .all: "all"
        case .path(let path): path
        case .worldWideName(let name): "wwn:\(name)"
        case .serial(let serial): "serial:\(serial)"
        }
    }
}

/// An iSCSI portal whose LUNs are captured.
public struct JobPortal: Sendable, Hashable {
    /// HOST[:PORT]; nil for the targets that the firmware and installed systems know.
    public var portal: String?
    /// The target's name; nil for all that the portal tells of.
    public var target: String?
    /// The name that the target knows this machine by; nil for the machine's own.
    public var initiator: String?
    /// CHAP name and secret, where the target asks for them.
    public var account: Account?
    /// What the target proves itself with.
    public var mutualAccount: Account?

    /// A name and a secret.
    public struct Account: Sendable, Hashable {
        /// The name.
        public var user: String
        /// The secret.
        public var secret: JobSecret
    }
}

extension JobPortal: CustomStringConvertible {
    /// The word for known targets, or portal and target; secrets as `<secret>`.
    public var description: String {
        var text = portal ?? "known"
        if let target { text += "/\(target)" }
        if let initiator { text += " as \(initiator)" }
        if let account { text += " user \(account.user) secret \(account.secret)" }
        if let mutualAccount { text += " mutual user \(mutualAccount.user) secret \(mutualAccount.secret)" }
        return text
    }
}
