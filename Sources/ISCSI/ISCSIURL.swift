// SPDX-License-Identifier: GPL-3.0-or-later

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
        let action = "read the iscsi:// URL"
        guard text.hasPrefix(Self.scheme) else { throw ISCSIError(action, .invalid("it does not begin so")) }
        var rest = text.dropFirst(Self.scheme.count)
        // A password may have an @ of its own, a host and a name have none: the last one counts.
        if let at = rest.lastIndex(of: "@") {
            let credentials = rest[..<at]
            let name = credentials.prefix { $0 != "%" }
            user = String(name)
            password =
                name.endIndex < credentials.endIndex ? Secret(String(credentials[name.endIndex...].dropFirst())) : nil
            rest = rest[rest.index(after: at)...]
        }
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3 else {
            throw ISCSIError(action, .invalid("it is not of the form iscsi://[user@]host[:port]/target/lun"))
        }
        guard let portal = ISCSIPortal(parts[0]) else {
            throw ISCSIError(action, .invalid("there is no portal behind iscsi://"))
        }
        guard let decoded = Self.unescape(parts[1]), let target = ISCSIName(decoded) else {
            throw ISCSIError(action, .invalid("its target name does not begin with iqn., eui. or naa."))
        }
        guard parts[2].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[2]),
            let lun = LogicalUnitNumber(number)
        else { throw ISCSIError(action, .invalid("it does not end in the number of a LUN, 0 to 16383")) }
        self.portal = portal
        self.target = target
        self.lun = lun
    }

    /// The URL without credentials.
    public var description: String {
        let name = target.description.utf8.map { byte -> String in
            byte == UInt8(ascii: "/") || byte == UInt8(ascii: "%") || byte == UInt8(ascii: "@")
                ? "%" + String(byte, radix: 16, uppercase: true) : String(Character(Unicode.Scalar(byte)))
        }
        return "\(Self.scheme)\(portal)/\(name.joined())/\(lun)"
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
