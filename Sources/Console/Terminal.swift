// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Standard output and standard error, written whole and unbuffered.
public enum Terminal: Int32, Sendable {
    case standardOutput = 1
    case standardError = 2

    /// Whether a person looks at it: isatty(3).
    public var isTerminal: Bool { isatty(rawValue) == 1 }

    /// Width in characters, nil when it is not known or no terminal: ioctl(2), TIOCGWINSZ.
    public var width: Int? {
        var size = winsize()
        guard ioctl(rawValue, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Writes all of `text`, and gives up quietly when nobody reads it any more: write(2).
    public func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(rawValue, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count > 0 {
                    done += count
                } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
                    return
                }
            }
        }
    }

    /// Returns `text` with control characters as `\u{1B}`: names from a disk or a manifest must not steer a terminal.
    public static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if isControl(scalar) {
                result += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
