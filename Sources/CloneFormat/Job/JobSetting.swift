// SPDX-License-Identifier: GPL-3.0-or-later

internal import FoundationEssentials

/// One setting while it is read: its name, its value, and where it stands.
struct JobSetting {
    /// What messages call the place.
    var place: String
    var name: String
    var value: JobValue

    /// Tells whether a key of this name would hold a secret.
    static func isSecret(_ name: String) -> Bool {
        ["secret", "password", "chap"].contains { name.lowercased().contains($0) }
    }

    func wrong(_ reason: String, hint: String? = nil) -> FormatError {
        .setting(place: "\(place), \(name)", reason: reason, hint: hint)
    }

    /// Returns the key that the name is of.
    func key() throws(FormatError) -> JobKey {
        if let key = JobKey(rawValue: name) { return key }
        let shown = name.utf8.count <= 80 ? name : String(name.prefix(60)) + "…"
        let known = JobKey.allCases.map(\.rawValue).joined(separator: ", ")
        throw .setting(
            place: place, reason: "there is no key \(shown.debugDescription)",
            hint: JobKey.nearest(to: name).map { "did you mean \($0.rawValue)?" } ?? "the keys are \(known)")
    }

    /// Returns a value that is one text.
    func text() throws(FormatError) -> String {
        guard case .text(let text) = value.content, !text.isEmpty, text.utf8.count <= 16 << 10, JobTarget.isClean(text)
        else { throw wrong("it must be one line of text") }
        return text
    }

    /// Returns values that are a text with commas, or a list of texts.
    private func texts() throws(FormatError) -> [String] {
        switch value.content {
        case .text(let text):
            return text.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty }
        case .list(let values):
            var texts: [String] = []
            for value in values {
                texts.append(try JobSetting(place: place, name: name, value: value).text())
            }
            return texts
        case .map: throw wrong("it must be text, or a list of texts")
        }
    }

    func word<Word: JobWord>() throws(FormatError) -> Word {
        let text = try text()
        if let word = Word(rawValue: text) { return word }
        throw wrong("\(quoted(text)) is none of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
    }

    func freeSpace() throws(FormatError) -> FreeSpaceMode {
        let text = try text()
        guard let mode = FreeSpaceMode.allCases.first(where: { $0.rawValue == text }) else {
            throw wrong("\(quoted(text)) is none of skip, keep")
        }
        return mode
    }

    func base() throws(FormatError) -> JobBase {
        let text = try text()
        guard let base = JobBase(text) else {
            throw wrong("\(quoted(text)) is no clone", hint: "none, latest, or the name of a clone's folder")
        }
        return base
    }

    func flag() throws(FormatError) -> Bool {
        let text = try text()
        switch text.lowercased() {
        case "on", "yes", "true", "1": return true
        case "off", "no", "false", "0": return false
        default: throw wrong("\(quoted(text)) is neither on nor off")
        }
    }

    func number(_ range: ClosedRange<Int>) throws(FormatError) -> Int {
        let text = try text()
        guard text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = Int(text), range.contains(number) else {
            throw wrong("\(quoted(text)) is no number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func plainName() throws(FormatError) -> String {
        let text = try text()
        guard FileName.isSafe(text) else { throw wrong("\(quoted(text)) has characters that do not belong there") }
        return text
    }

    func machineName() throws(FormatError) -> String {
        let name = try plainName()
        guard name.utf8.count <= 100 else { throw wrong("it is longer than 100 letters") }
        return name
    }

    /// Returns a URL of one of `schemes`, without name and password.
    func url(schemes: [String]) throws(FormatError) -> String {
        let text = try text()
        guard let scheme = schemes.first(where: text.hasPrefix) else {
            throw wrong("\(quoted(text)) does not begin with \(schemes.joined(separator: " or "))")
        }
        let rest = text.dropFirst(scheme.count)
        let odd = rest.utf8.contains { $0 == 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") || $0 > 0x7e }
        guard !rest.isEmpty, !odd, text.utf8.count <= 2048 else {
            throw wrong("it is no URL: odd characters stand as %20 and the like")
        }
        if scheme != "file:/", rest.prefix(while: { $0 != "/" && $0 != "?" }).contains("@") {
            throw wrong("a URL with a password would be read by everybody", hint: "use the key token")
        }
        return text
    }

    func receiver() throws(FormatError) -> String {
        var url = try url(schemes: ["https://", "http://"])
        guard !url.contains("?"), !url.contains("#") else { throw wrong("it is the URL of a server, without ? and #") }
        while url.hasSuffix("/") { url.removeLast() }
        return url
    }

    /// Returns a token that can stand in an HTTP header: RFC 6750, 2.1, b64token.
    func token() throws(FormatError) -> JobSecret {
        let text = try text()
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                return true
            default: return "-._~+/=".utf8.contains(byte)
            }
        }
        guard isPlain, text.utf8.count <= 4096 else { throw wrong("it has characters that no token has") }
        return JobSecret(text)
    }

    /// Returns `sha256//` and base64 of `sha256//…`, or of `sha256:` and 64 hexadecimal digits.
    func fingerprint() throws(FormatError) -> String {
        let text = try text()
        if text.hasPrefix("sha256//"), let bytes = Data(base64Encoded: String(text.dropFirst(8))), bytes.count == 32 {
            return text
        }
        let digits = text.hasPrefix("sha256:") ? text.dropFirst(7).filter { $0 != ":" } : ""
        if let digest = Digest("sha256:\(digits.lowercased())") {
            return "sha256//" + Data(digest.bytes).base64EncodedString()
        }
        throw wrong("it is sha256// and base64, or sha256: and 64 hexadecimal digits, of the public key")
    }

    func target() throws(FormatError) -> JobTarget {
        let text = try text()
        guard let target = JobTarget(text) else {
            throw wrong(
                "\(quoted(text)) is no target",
                hint: "nfs://server/export/path[?options], usb:LABEL, usb:UUID, or dir:/path")
        }
        return target
    }

    func disks() throws(FormatError) -> [JobDisks] {
        let texts = try texts()
        if texts == ["none"] { return [] }
        var disks: [JobDisks] = []
        for text in texts {
            guard let disk = JobDisks(text) else {
                throw wrong("\(quoted(text)) names no disk", hint: "all, none, a name such as sda, wwn:… or serial:…")
            }
            disks.append(disk)
        }
        guard !disks.isEmpty, disks.count <= 4096 else { throw wrong("it names no disk", hint: "disks: all") }
        return disks
    }

    private func quoted(_ text: String) -> String {
        (text.utf8.count <= 200 ? text : String(text.prefix(150)) + "…").debugDescription
    }
}

extension StringProtocol {
    /// The text without blanks at its ends.
    var trimmed: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
