// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Replaces what identifies a machine in a recording, by the same text wherever the same stood: paths to one disk stay
/// recognisable as such, and its number does not leave the house.
struct Pseudonyms {
    private static let texts: Set = [
        "address", "chap-name", "initiator-name", "initiatorname", "ip-addr", "mac", "perm_hwaddr", "port_name",
        "product_serial", "product_uuid", "serial", "target-name", "uuid", "wwid",
    ]

    /// Returns what a recording keeps of `content` at `path`.
    func replace(_ content: [UInt8], at path: String) -> [UInt8] {
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        switch name {
        case "vpd_pg80": return Array(content.prefix(4)) + Array(text(content.dropFirst(4)).utf8)
        case "vpd_pg83": return designators(content)
        default:
            // cpu and pci have an `address` or `serial` of other meaning nowhere that is read.
            return Self.texts.contains(name) ? Array(identity(String(decoding: content, as: UTF8.self)).utf8) : content
        }
    }

    private func identity(_ text: String) -> String {
        for prefix in ["naa.", "eui.", "uuid.", "0x"] where text.hasPrefix(prefix) {
            return prefix + hexadecimal(String(text.dropFirst(prefix.count)))
        }
        if text.hasPrefix("mpath-") { return text.prefix(7) + hexadecimal(String(text.dropFirst(7))) }
        let plain = text.filter { !$0.isWhitespace }
        let isAddress = plain.count == 17 && plain.split(separator: ":").count == 6
        // Of a MAC address the maker's half stays: drivers and their faults go by it.
        if isAddress { return plain.prefix(9) + hexadecimal(String(plain.dropFirst(9)), keepsFirst: false) + "\n" }
        let isHexadecimal = !plain.isEmpty && plain.allSatisfy { $0.isHexDigit || $0 == "-" }
        return isHexadecimal && plain.contains("-") ? hexadecimal(text) : self.text(Array(text.utf8)[...])
    }

    /// Replaces hexadecimal digits by others; the first stays, as it tells the format of a name.
    private func hexadecimal(_ text: String, keepsFirst: Bool = true) -> String {
        let digits = text.lowercased().filter(\.isHexDigit)
        let stream = Array(Digest(of: Array(digits.utf8)).hexadecimal)
        var index = 0
        return String(
            text.map { character in
                guard character.isHexDigit else { return character }
                defer { index += 1 }
                return index == 0 && keepsFirst ? character : stream[index % stream.count]
            })
    }

    /// Replaces letters by letters and digits by digits; blanks at the ends do not count.
    private func text(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        let core = text.filter { !$0.isWhitespace && $0 != "\0" }
        let stream = Digest(of: Array(core.utf8)).bytes
        var index = 0
        return String(
            text.map { character in
                guard character.isLetter || character.isNumber else { return character }
                defer { index += 1 }
                let value = stream[index % stream.count]
                return character.isNumber
                    ? Character(UnicodeScalar(0x30 + value % 10)) : Character(UnicodeScalar(0x41 + value % 26))
            })
    }

    /// Replaces the designators of a page 83h, whose places and lengths stay.
    private func designators(_ page: [UInt8]) -> [UInt8] {
        guard page.count >= 4 else { return page }
        var result = page
        var position = 4
        while position + 4 <= page.count {
            let length = Int(page[position + 3])
            let range = position + 4..<position + 4 + length
            guard range.upperBound <= page.count else { break }
            if page[position] & 0xf == 1 {
                let digits = page[range].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                let replaced = Array(hexadecimal(digits).utf8)
                for index in 0..<length {
                    let pair = String(decoding: replaced[index * 2..<index * 2 + 2], as: UTF8.self)
                    result[range.lowerBound + index] = UInt8(pair, radix: 16) ?? 0
                }
            } else {
                let replaced = Array(text(page[range]).utf8)
                for (index, byte) in replaced.prefix(length).enumerated() { result[range.lowerBound + index] = byte }
            }
            position = range.upperBound
        }
        return result
    }
}
