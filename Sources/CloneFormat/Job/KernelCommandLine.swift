// SPDX-License-Identifier: GPL-3.0-or-later

/// The parameters of a kernel command line, split as the kernel splits them.
///
/// Words end at white space that is not within double quotes; quotes around a whole word or a whole value are taken
/// off, others stay. Dashes and underscores in names are the same. kernel-parameters.txt; lib/cmdline.c, next_arg.
public enum KernelCommandLine {
    /// Longest text that is read: the kernel's own limit is 2 or 4 KiB.
    public static let maximumLength = 64 << 10

    /// A parameter; without `=`, it has no value.
    public struct Parameter: Sendable, Hashable {
        /// Name, dashes as underscores.
        public var name: String
        /// Value, as it stands.
        public var value: String?
    }

    /// Returns the parameters of `text`, in order.
    public static func parse(_ text: String) -> [Parameter] {
        var parameters: [Parameter] = []
        var rest = Array(text.utf8.prefix(maximumLength))[...]
        while true {
            rest = rest.drop(while: isSpace)
            guard !rest.isEmpty else { return parameters }
            var isQuoted = false
            let end =
                rest.firstIndex { byte in
                    if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
                    return isSpace(byte) && !isQuoted
                } ?? rest.endIndex
            parameters.append(parameter(rest[..<end]))
            rest = rest[end...]
        }
    }

    private static func parameter(_ word: ArraySlice<UInt8>) -> Parameter {
        let quote = UInt8(ascii: "\"")
        var word = word
        if word.first == quote {
            word = word.dropFirst()
            if word.last == quote { word = word.dropLast() }
        }
        guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals > word.startIndex else {
            return Parameter(name: name(word), value: nil)
        }
        var value = word[(equals + 1)...]
        if value.first == quote {
            value = value.dropFirst()
            if value.last == quote { value = value.dropLast() }
        }
        return Parameter(name: name(word[..<equals]), value: String(decoding: value, as: UTF8.self))
    }

    private static func name(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0d ~= byte || byte == 0 }
}
