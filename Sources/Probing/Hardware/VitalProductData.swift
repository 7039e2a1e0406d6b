// SPDX-License-Identifier: GPL-3.0-or-later

/// Identities of a SCSI device from its vital product data, pages 80h and 83h, as sysfs keeps them.
///
/// SCSI Primary Commands - 4, 7.8.4 and 7.8.15: byte 1 the page's code, bytes 2 and 3 its length, big-endian. Page 83h is
/// a list of designators: byte 0 code set (1 binary, 2 ASCII, 3 UTF-8), byte 1 association and type, byte 3 length.
struct VitalProductData: Sendable, Hashable {
    /// Serial number of page 80h.
    var serial: String?
    /// `naa.…`, `eui.…` or `t10.…`, the best of the logical unit's designators in page 83h.
    var identity: String?

    /// Decodes the pages; nil stands for one that there is none of.
    init(page80: [UInt8]?, page83: [UInt8]?) {
        serial = page80.flatMap { Self.payload($0, code: 0x80) }.flatMap { Self.text($0) }
        identity = page83.flatMap { Self.payload($0, code: 0x83) }.flatMap { Self.identity($0) }
    }

    private static func payload(_ page: [UInt8], code: UInt8) -> ArraySlice<UInt8>? {
        guard page.count >= 4, page[1] == code else { return nil }
        let length = Int(page[2]) << 8 | Int(page[3])
        return page[4..<min(4 + length, page.count)]
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        let printable = bytes.filter { $0 >= 0x20 && $0 < 0x7f }
        let text = String(decoding: printable, as: UTF8.self)
        let trimmed = text.drop { $0 == " " }
        guard let last = trimmed.lastIndex(where: { $0 != " " }) else { return nil }
        return String(trimmed[...last])
    }

    private static func identity(_ list: ArraySlice<UInt8>) -> String? {
        var best: (rank: Int, text: String)?
        var rest = list
        while rest.count >= 4 {
            let head = Array(rest.prefix(4))
            let content = rest.dropFirst(4).prefix(Int(head[3]))
            guard content.count == Int(head[3]) else { break }
            rest = rest.dropFirst(4 + content.count)
            // Association 0: the logical unit itself, not its port or target.
            guard head[1] & 0x30 == 0, let found = designator(type: head[1] & 0xf, codeSet: head[0] & 0xf, content)
            else { continue }
            if best == nil || found.rank < best?.rank ?? 0 { best = found }
        }
        return best?.text
    }

    /// Names one designator, with its rank: NAA registered extended, NAA, EUI-64, then text.
    private static func designator(
        type: UInt8, codeSet: UInt8, _ content: ArraySlice<UInt8>
    ) -> (rank: Int, text: String)? {
        guard let first = content.first else { return nil }
        switch type {
        case 3 where codeSet == 1: return (first >> 4 == 6 ? 0 : 1, "naa.\(hex(content))")
        case 2 where codeSet == 1: return (2, "eui.\(hex(content))")
        case 1: return text(content).map { (3, "t10.\($0)") }
        default: return nil
        }
    }

    private static func hex(_ bytes: ArraySlice<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// The world wide name that udev's ID_WWN has for an identity: its first 64 bits.
enum WorldWideName {
    /// Returns `0x` and 16 digits for an NAA or EUI-64 identity, nil for others.
    static func of(_ identity: String?) -> String? {
        guard let identity, identity.hasPrefix("naa.") || identity.hasPrefix("eui.") else { return nil }
        let digits = identity.dropFirst(4).lowercased()
        guard digits.utf8.count >= 16, digits.allSatisfy(\.isHexDigit) else { return nil }
        return "0x\(digits.prefix(16))"
    }
}
