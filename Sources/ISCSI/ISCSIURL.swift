// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Names a logical unit: `iscsi://[user[%password]@]host[:port]/target/lun`.
///
/// What it prints has no credentials.
public struct ISCSIURL: Sendable, Hashable, CustomStringConvertible {
    /// What every URL begins with.
    public static let scheme = "iscsi://"

    /// Where the target is.
    public var portal: ISCSIPortal
    /// The target.
    public var target: ISCSIName
    /// The unit.
    public var lun: LogicalUnitNumber
    /// The user that stands in the URL, as CHAP name.
    public var user: String?
    /// The password that stands in the URL, where everybody on the machine can read it.
    public var password: Secret?

    /// Makes a URL without credentials.
    public init(portal: ISCSIPortal, target: ISCSIName, lun: LogicalUnitNumber) {
        self.portal = portal
        self.target = target
        self.lun = lun
    }

    /// Reads a URL; `%` escapes in the target's name are undone.
    ///
    /// - Throws: `ISCSIError`, which does not quote the URL: it may hold a password.
    public init(_ text: String) throws(ISCSIError) {
        let address = try ISCSIAddress(text)
        guard text.hasPrefix(Self.scheme), let target = address.target, let lun = address.lun else {
            throw ISCSIError(ISCSIAddress.action, .invalid("it is not of the form \(ISCSIAddress.form)"))
        }
        self.init(portal: address.portal, target: target, lun: lun)
        user = address.user
        password = address.password
    }

    /// The URL without credentials.
    public var description: String {
        let name = target.description.utf8.map { byte -> String in
            byte == UInt8(ascii: "/") || byte == UInt8(ascii: "%") || byte == UInt8(ascii: "@")
                ? "%" + String(byte, radix: 16, uppercase: true) : String(Character(Unicode.Scalar(byte)))
        }
        return "\(Self.scheme)\(portal)/\(name.joined())/\(lun)"
    }
}

/// A portal, or a URL that may end before the target or before the LUN: what a person gives to look for disks.
public struct ISCSIAddress: Sendable, Hashable {
    static let action = "read the iSCSI address"
    static let form = "iscsi://[user@]host[:port]/target/lun"

    /// Where to ask.
    public var portal: ISCSIPortal
    /// The target, where one is named.
    public var target: ISCSIName?
    /// The unit, where one is named.
    public var lun: LogicalUnitNumber?
    /// The user that stands in the URL, as CHAP name.
    public var user: String?
    /// The password that stands in the URL, where everybody on the machine can read it.
    public var password: Secret?

    /// Reads a portal such as `host:3260`, or a URL.
    ///
    /// - Throws: `ISCSIError`, which does not quote the text: it may hold a password.
    public init(_ text: String) throws(ISCSIError) {
        let isURL = text.hasPrefix(ISCSIURL.scheme)
        var rest = text.dropFirst(isURL ? ISCSIURL.scheme.count : 0)
        // A password may have an @ of its own, a host and a name have none: the last one counts.
        if isURL, let at = rest.lastIndex(of: "@") {
            let credentials = rest[..<at]
            let name = credentials.prefix { $0 != "%" }
            user = String(name)
            if name.endIndex < credentials.endIndex {
                password = Secret(String(credentials[name.endIndex...].dropFirst()))
            }
            rest = rest[rest.index(after: at)...]
        }
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= (isURL ? 3 : 1), let portal = ISCSIPortal(first) else {
            throw ISCSIError(Self.action, .invalid("it is neither host[:port] nor \(Self.form)"))
        }
        self.portal = portal
        // A slash at the end says nothing.
        if parts.count > 1, !(parts.count == 2 && parts[1].isEmpty) {
            guard let decoded = Self.unescape(parts[1]), let target = ISCSIName(decoded) else {
                throw ISCSIError(Self.action, .invalid("its target name does not begin with iqn., eui. or naa."))
            }
            self.target = target
        }
        if parts.count > 2 {
            guard parts[2].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[2]),
                let lun = LogicalUnitNumber(number)
            else { throw ISCSIError(Self.action, .invalid("it does not end in the number of a LUN, 0 to 16383")) }
            self.lun = lun
        }
    }

    private static func unescape(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
