// SPDX-License-Identifier: GPL-3.0-or-later

/// A target's network address: `host`, `host:port`, `[IPv6]`, `[IPv6]:port`.
public struct ISCSIPortal: Sendable, Hashable, CustomStringConvertible {
    /// The port that iSCSI targets listen on unless told otherwise.
    ///
    /// RFC 7143, 13.
    public static let defaultPort: UInt16 = 3260

    /// Host name or address, IPv6 without brackets.
    public var host: String
    /// TCP port.
    public var port: UInt16

    /// Makes a portal.
    public init(host: String, port: UInt16 = defaultPort) {
        self.host = host
        self.port = port
    }

    /// Reads a portal; a group tag behind a comma, as SendTargets appends it, is left out.
    ///
    /// Returns nil when it is none.
    public init?(_ text: some StringProtocol) {
        let text = text.prefix { $0 != "," }
        let rest: Substring
        if text.first == "[" {
            guard let bracket = text.firstIndex(of: "]") else { return nil }
            host = String(text[text.index(after: text.startIndex)..<bracket])
            guard host.contains(":") else { return nil }
            rest = Substring(text[text.index(after: bracket)...])
        } else {
            host = String(text.prefix { $0 != ":" })
            rest = Substring(text.dropFirst(host.count))
        }
        guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy(Self.isHostByte) else { return nil }
        guard let colon = rest.first else {
            port = Self.defaultPort
            return
        }
        let digits = rest.dropFirst()
        guard colon == ":", digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt16(digits), number > 0
        else { return nil }
        port = number
    }

    /// The portal with its port.
    public var description: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }

    /// Letters, digits and what names, addresses and their zones consist of besides.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            return true
        default: return ".-_:%".utf8.contains(byte)
        }
    }
}

/// The name of an initiator or a target: `iqn.…`, `eui.…`, `naa.…`.
///
/// RFC 7143, 4.2.7: at most 223 bytes.
public struct ISCSIName: Sendable, Hashable, CustomStringConvertible {
    /// The name.
    public let description: String

    /// Takes a name, or returns nil when it cannot be one.
    ///
    /// Upper case and underscores are let through: not all targets keep to the rules for names.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 223, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
        let kind = text.prefix(4).lowercased()
        guard ["iqn.", "eui.", "naa."].contains(kind), text.utf8.count > 4 else { return nil }
        description = String(text)
    }

    /// Takes a name that is known to be one.
    init(unchecked name: String) { description = name }
}

/// A logical unit's number at its target.
public struct LogicalUnitNumber: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number.
    public let rawValue: Int

    /// Makes a number; nil when it does not fit the 14 bits that single-level addressing has.
    ///
    /// SAM-5, 4.7.
    public init?(_ number: Int) {
        guard (0..<0x4000).contains(number) else { return nil }
        rawValue = number
    }

    /// Reads an entry of REPORT LUNS; nil when it is no single-level number, as those of well-known units are not.
    init?(entry: UnsafeRawBufferPointer) {
        guard entry.count >= 2, entry.dropFirst(2).allSatisfy({ $0 == 0 }) else { return nil }
        switch entry[0] >> 6 {
        case 0 where entry[0] == 0: rawValue = Int(entry[1])
        case 1: rawValue = Int(entry[0] & 0x3f) << 8 | Int(entry[1])
        default: return nil
        }
    }

    /// The first two bytes on the wire: peripheral addressing below 256, flat space above.
    var wireValue: Int32 { Int32(rawValue < 256 ? rawValue : rawValue | 0x4000) }

    /// The number in decimal.
    public var description: String { "\(rawValue)" }

    /// Orders by number.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
