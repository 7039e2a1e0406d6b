// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Probing

/// HTTP by curl(1), which the live system has: options and secrets go in by its standard input, never as arguments.
struct HTTPClient {
    /// An answer.
    struct Answer {
        var status: Int
        var body: [UInt8]

        /// The first of the body's text, for messages.
        var text: String {
            String(decoding: body.prefix(200), as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init)
                ?? ""
        }
    }

    var cancellation: CancellationFlag
    /// Sent as a bearer token.
    var token: JobSecret?
    /// The server's key, which then need not be certified by anybody else.
    var fingerprint: String?

    /// Asks once.
    ///
    /// - Throws: `AutoError`, transient where there was no answer, or the server says that it cannot answer now.
    func request(_ method: String, _ address: String) throws -> Answer {
        // What stands behind a question mark is no help to who reads a message.
        let url = String(address.prefix { $0 != "?" })
        let result: HelperProgram.Result
        do throws(HelperProgram.Failure) {
            result = try HelperProgram.run(
                "curl", ["-q", "--config", "-"], input: Array(configuration(method, address).utf8), secondsAtMost: 90,
                goesOn: { !cancellation.isCancelled })
        } catch {
            switch error {
            case .cancelled: throw AutoError.cancelled
            case .notFound: throw AutoError("cannot ask \(url): there is no curl here", hint: "install curl")
            case .notStarted(let errno): throw AutoError("cannot run curl: errno \(errno)")
            case .tookTooLong: throw AutoError("cannot ask \(url): no answer for 90 s", isTransient: true)
            }
        }
        guard result.status == 0 else { throw failure(result, url) }
        guard let end = result.output.lastIndex(of: 0x0a),
            let status = Int(String(decoding: result.output[(end + 1)...], as: UTF8.self))
        else { throw AutoError("cannot ask \(url): curl gave no status") }
        let answer = Answer(status: status, body: Array(result.output[..<end]))
        if status == 429 || status >= 500 {
            throw AutoError("\(url) answers \(status) \(answer.text)", isTransient: true)
        }
        return answer
    }

    private func configuration(_ method: String, _ url: String) -> String {
        var lines = [
            "url = \(Self.quoted(url))", "request = \(Self.quoted(method))", "silent", "show-error",
            "connect-timeout = 10", "max-time = 60", "max-filesize = 4000000", "proto = \"=http,https\"",
            "write-out = \"\\n%{http_code}\"",
        ]
        if let token { lines.append("header = \(Self.quoted("Authorization: Bearer \(token.revealed)"))") }
        if let fingerprint {
            // The key itself is what must be right: curl looks at it though it trusts no authority.
            lines += ["pinnedpubkey = \(Self.quoted(fingerprint))", "insecure"]
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// curl(1), --config: within quotes, backslash and quote are escaped.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text {
            if character == "\"" || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result + "\""
    }

    /// curl(1), EXIT CODES.
    private func failure(_ result: HelperProgram.Result, _ url: String) -> AutoError {
        let text = String(decoding: result.errors.suffix(4096), as: UTF8.self)
        let why =
            text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("curl: (") }
            .map { String($0.drop { $0 != ")" }.dropFirst(2)) } ?? "curl ends with \(result.status)"
        switch result.status {
        case 60:
            return AutoError(
                "cannot ask \(url): \(why)", hint: "name the receiver's key: fingerprint, as it prints it at its start")
        case 90:
            return AutoError(
                "cannot ask \(url): the server's key is not the one that the job names",
                hint: "somebody may be in between; compare fingerprint with what the receiver prints")
        default:
            let transient: Set<Int32> = [5, 6, 7, 16, 18, 28, 35, 52, 55, 56, 92]
            return AutoError("cannot ask \(url): \(why)", isTransient: transient.contains(result.status))
        }
    }

    /// Returns `text` as part of a query: RFC 3986, 2.3, unreserved characters stay.
    static func escaped(_ text: String) -> String {
        text.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                return String(Character(Unicode.Scalar(byte)))
            default: return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
