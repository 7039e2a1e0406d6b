// SPDX-License-Identifier: GPL-3.0-or-later

/// Replaces what identifies a machine in a recording, by the same text wherever the same stood: paths to one disk stay
/// recognisable as such, and its number does not leave the house.
///
/// Pseudonyms are numbered in the order of the paths they stand at, and not computed from what they stand for: a MAC
/// address or a serial number has too few values to be hidden by a digest. The vendor's part of addresses and world wide
/// names stays, as it tells about hardware.
struct Pseudonyms {
    private static let texts: Set = [
        "address", "chap-name", "initiator-name", "initiatorname", "ip-addr", "mac", "perm_hwaddr", "port_name",
        "product_serial", "product_uuid", "rev-chap-name", "serial", "target-name", "targetname", "unique_id", "uuid",
        "wwid",
    ]
    /// Shortest run of hexadecimal digits that is taken for a name: a MAC address has so many.
    private static let shortestName = 12
    /// Shortest serial number that is looked for within other identities: shorter ones are found by chance.
    private static let shortestSerial = 6

    private var numbers: [[UInt8]: Int] = [:]
    private var serials: [(original: [UInt8], pseudonym: [UInt8])] = []

    /// Returns `entries` of a recording without what identifies the machine.
    static func hiding(in entries: [String: Sysroot.Entry]) -> [String: Sysroot.Entry] {
        var pseudonyms = Pseudonyms()
        let sorted = entries.sorted { $0.key < $1.key }
        // Serial numbers first, to know them again within other names.
        for case (let path, .file(let content)) in sorted { pseudonyms.learnSerial(content, path) }
        pseudonyms.serials.sort { $0.original.count > $1.original.count }
        var hidden: [String: Sysroot.Entry] = [:]
        for (path, entry) in sorted {
            let place = pseudonyms.hidingAddress(in: path)
            switch entry {
            case .file(let content): hidden[place] = .file(pseudonyms.replace(content, at: path))
            case .link(let target): hidden[place] = .link(pseudonyms.hidingAddress(in: target))
            case .folder: hidden[place] = .folder
            }
        }
        return hidden
    }

    /// Returns what a recording keeps of `content` at `path`.
    private mutating func replace(_ content: [UInt8], at path: String) -> [UInt8] {
        switch Self.name(path) {
        case "vpd_pg83": return designators(content)
        case "initiator-name", "initiatorname", "target-name", "targetname": return iSCSIName(content)
        case "chap-name", "rev-chap-name": return Array("user\(number(content))\n".utf8)
        case "ip-addr": return Array("192.0.2.\(min(number(content), 254))\n".utf8)
        case "serial", "product_serial", "unique_id", "vpd_pg80":
            let place = Self.place(ofSerial: content, path)
            guard let known = serials.first(where: { $0.original.elementsEqual(content[place]) }) else {
                return content
            }
            return content[..<place.lowerBound] + known.pseudonym + content[place.upperBound...]
        // The name of an interface may be its address, and uevent repeats it; that of a map, its disk's.
        case let name where Self.texts.contains(name) || path.contains("/net/") || path.hasSuffix("/dm/name"):
            return identity(content)
        default: return content
        }
    }

    private static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }

    // MARK: Serial numbers

    /// Returns where the serial number lies: page 80h has a header of four bytes.
    private static func place(ofSerial content: [UInt8], _ path: String) -> Range<Int> {
        let start = path.hasSuffix("/vpd_pg80") ? min(4, content.count) : 0
        guard let first = content[start...].firstIndex(where: { $0 > 0x20 }),
            let last = content[start...].lastIndex(where: { $0 > 0x20 })
        else { return start..<start }
        return first..<last + 1
    }

    private mutating func learnSerial(_ content: [UInt8], _ path: String) {
        guard ["serial", "product_serial", "unique_id", "vpd_pg80"].contains(Self.name(path)) else { return }
        let serial = Array(content[Self.place(ofSerial: content, path)])
        let text = String(decoding: serial, as: UTF8.self)
        guard !serial.isEmpty, !serials.contains(where: { $0.original == serial }),
            serial.count < 4 || !Multipath.isPlaceholder(text), !SystemInformation.isPlaceholder(text)
        else { return }
        let isName = serial.count >= Self.shortestName && serial.allSatisfy(Self.isDigit)
        serials.append((serial, isName ? name(serial) : Self.filled("X", number(serial), serial.count)))
    }

    private func hidingSerials(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for (serial, pseudonym) in serials where serial.count >= Self.shortestSerial {
            var start = 0
            while start + serial.count <= result.count {
                if result[start..<start + serial.count].elementsEqual(serial) {
                    result.replaceSubrange(start..<start + serial.count, with: pseudonym)
                    start += serial.count
                } else {
                    start += 1
                }
            }
        }
        return result
    }

    // MARK: Names of hexadecimal digits

    private mutating func identity(_ content: [UInt8]) -> [UInt8] {
        let hidden = names(in: hidingSerials(content))
        // t10.ATA     MODEL    SERIAL, where nothing else told the serial number.
        guard hidden == content, hidden.starts(with: "t10.".utf8), let last = hidden.lastIndex(where: { $0 > 0x20 }),
            let blank = hidden[..<last].lastIndex(of: 0x20)
        else { return hidden }
        let word = Array(hidden[(blank + 1)...last])
        return hidden[...blank] + Self.filled("X", number(word), word.count) + hidden[(last + 1)...]
    }

    /// Replaces runs of digits that are long enough to be a name, counting in the separators of UUIDs and addresses.
    private mutating func names(in bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        var start = 0
        while start < bytes.count {
            var end = start
            while end < bytes.count, Self.isDigit(bytes[end]) || Self.isSeparator(bytes, end, from: start) { end += 1 }
            let run = Array(bytes[start..<end])
            if run.count(where: Self.isDigit) >= Self.shortestName {
                result.replaceSubrange(start..<end, with: name(run))
            }
            start = max(end, start + 1)
        }
        return result
    }

    /// Replaces the MAC address in an interface's name, as in `enx001122334455`.
    private mutating func hidingAddress(in path: String) -> String {
        guard path.contains("/net/") || path.hasPrefix("net/") else { return path }
        return String(decoding: names(in: Array(path.utf8)), as: UTF8.self)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        0x30...0x39 ~= byte || 0x41...0x46 ~= byte || 0x61...0x66 ~= byte
    }

    /// A colon between pairs of digits, or a dash where an UUID has one.
    private static func isSeparator(_ bytes: [UInt8], _ place: Int, from start: Int) -> Bool {
        guard place > start, place + 1 < bytes.count, isDigit(bytes[place + 1]) else { return false }
        if bytes[place] == UInt8(ascii: ":") { return (place - start) % 3 == 2 }
        return bytes[place] == UInt8(ascii: "-") && [8, 13, 18, 23].contains(place - start)
    }

    /// Returns the pseudonym of a name, its separators in their places.
    private mutating func name(_ run: [UInt8]) -> [UInt8] {
        let digits = run.filter(Self.isDigit).map { 0x41...0x46 ~= $0 ? $0 | 0x20 : $0 }
        // Zeros and the like identify nothing, and mean that nothing is known.
        guard Set(digits).count > 1 else { return run }
        let kept: Int
        switch (digits.count, digits.first) {
        case (12, _): kept = 6
        // NAA 1 and 2 have the vendor after twelve bits, 3, 5 and 6 at once.
        case (16, UInt8(ascii: "1")), (16, UInt8(ascii: "2")): kept = 10
        case (16, UInt8(ascii: "3")), (16, UInt8(ascii: "5")), (32, UInt8(ascii: "6")): kept = 7
        case (16, _): kept = 6
        default: kept = 0
        }
        var rest = (digits.prefix(kept) + Self.filled("", number(digits), digits.count - kept, radix: 16))[...]
        return run.map { Self.isDigit($0) ? rest.popFirst() ?? $0 : $0 }
    }

    private mutating func number(_ key: [UInt8]) -> Int {
        if let known = numbers[key] { return known }
        let next = numbers.count + 1
        numbers[key] = next
        return next
    }

    /// Returns `number` after `prefix`, filled up with zeros, or cut at its front, to `length`.
    private static func filled(_ prefix: String, _ number: Int, _ length: Int, radix: Int = 10) -> [UInt8] {
        let room = max(length - prefix.utf8.count, 0)
        let digits = Array(String(number, radix: radix).utf8.suffix(room))
        let zeros = [UInt8](repeating: 0x30, count: room - digits.count)
        return Array((Array(prefix.utf8) + zeros + digits).prefix(length))
    }

    // MARK: Other forms

    private mutating func iSCSIName(_ content: [UInt8]) -> [UInt8] {
        // The domain in it names the owner as well.
        guard content.starts(with: "iqn.".utf8) else { return identity(content) }
        return Array("iqn.2000-01.invalid:hidden-\(number(Array(content.prefix { $0 > 0x20 })))\n".utf8)
    }

    /// Replaces the designators of a page 83h, whose places and lengths stay.
    private mutating func designators(_ page: [UInt8]) -> [UInt8] {
        var result = page
        var position = 4
        while position + 4 <= page.count {
            let range = position + 4..<position + 4 + Int(page[position + 3])
            guard range.upperBound <= page.count else { break }
            let (codeSet, type) = (page[position] & 0xf, page[position + 1] & 0xf)
            let other = codeSet == 1 ? binary(page[range]) : text(Array(page[range]), type: type)
            if other.count == range.count { result.replaceSubrange(range, with: other) }
            position = range.upperBound
        }
        return result
    }

    private mutating func binary(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        guard bytes.count >= 8 else { return Array(bytes) }
        let digits = name(bytes.flatMap { Array((($0 < 16 ? "0" : "") + String($0, radix: 16)).utf8) })
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
    }

    private mutating func text(_ bytes: [UInt8], type: UInt8) -> [UInt8] {
        let hidden = names(in: hidingSerials(bytes))
        guard hidden == bytes, type < 2 else { return hidden }
        // What identifies comes after the vendor's eight characters, and ATA's forty of model.
        let kept = type == 0 ? 0 : bytes.count == 68 ? 48 : min(8, bytes.count)
        return bytes.prefix(kept) + Self.filled("X", number(Array(bytes.dropFirst(kept))), bytes.count - kept)
    }
}
