// SPDX-License-Identifier: GPL-3.0-or-later

/// Where an unattended run writes the clone.
public enum JobTarget: Sendable, Hashable, CustomStringConvertible {
    /// A folder that exists.
    case folder(String)
    /// An NFS export.
    case nfs(NFSExport)
    /// A file system on a disk, by its label or UUID.
    case volume(String)

    /// An NFS server's export with what mount(8) is to be told.
    public struct NFSExport: Sendable, Hashable {
        /// Host name or address; an IPv6 address without brackets.
        public var host: String
        /// Port; nil for the usual one.
        public var port: UInt16?
        /// Absolute path on the server.
        public var path: String
        /// Options, as nfs(5) has them.
        public var options: [String]
    }

    /// Takes `nfs://server[:port]/export[?options]`, `usb:<label|uuid>` or `dir:/path`; nil for anything else.
    public init?(_ text: String) {
        guard text.utf8.count <= 4096, Self.isClean(text) else { return nil }
        if text.hasPrefix("dir:/") {
            var folder = text.dropFirst(4)
            while folder.count > 1, folder.last == "/" { folder.removeLast() }
            self = .folder(String(folder))
        } else if text.hasPrefix("usb:"), (5...260).contains(text.utf8.count) {
            self = .volume(String(text.dropFirst(4)))
        } else if text.hasPrefix("nfs://"), let export = NFSExport(text.dropFirst(6)) {
            self = .nfs(export)
        } else {
            return nil
        }
    }

    /// The text that means this.
    public var description: String {
        switch self {
        case .folder(let path): return "dir:\(path)"
        case .volume(let word): return "usb:\(word)"
        case .nfs(let export):
            let options = export.options.isEmpty ? "" : "?" + export.options.joined(separator: ",")
            let host = export.host.contains(":") ? "[\(export.host)]" : export.host
            return "nfs://\(host)\(export.port.map { ":\($0)" } ?? "")\(export.path)\(options)"
        }
    }

    /// Tells whether `text` has no control characters, which no path or label of a job needs.
    static func isClean(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }
}

extension JobTarget.NFSExport {
    /// Reads what stands behind `nfs://`.
    init?(_ text: Substring) {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let slash = parts[0].firstIndex(of: "/"), let (host, port) = Self.authority(parts[0][..<slash]) else {
            return nil
        }
        self.host = host
        self.port = port
        path = String(parts[0][slash...])
        guard !path.split(separator: "/").contains("..") else { return nil }
        options =
            parts.count < 2
            ? [] : parts[1].split(whereSeparator: { $0 == "," || $0 == "&" }).map(String.init)
        let isPlain = options.allSatisfy { option in
            option.utf8.first != UInt8(ascii: "-")
                && option.utf8.allSatisfy { Self.isPlain($0) || $0 == UInt8(ascii: "=") }
        }
        guard isPlain else { return nil }
    }

    /// Splits a host from its port.
    private static func authority(_ text: Substring) -> (String, UInt16?)? {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let host = text[text.index(after: text.startIndex)..<end]
            let isAddress = host.utf8.allSatisfy { Self.isPlain($0) || $0 == UInt8(ascii: "%") }
            guard host.contains(":"), isAddress else { return nil }
            let rest = text[text.index(after: end)...]
            if rest.isEmpty { return (String(host), nil) }
            guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()), port > 0 else { return nil }
            return (String(host), port)
        }
        let pieces = text.split(separator: ":", omittingEmptySubsequences: false)
        guard pieces.count <= 2, let host = pieces.first, !host.isEmpty, !host.hasPrefix("-"),
            host.utf8.allSatisfy(Self.isPlain)
        else { return nil }
        if pieces.count == 1 { return (String(host), nil) }
        guard let port = UInt16(pieces[1]), port > 0 else { return nil }
        return (String(host), port)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
            UInt8(ascii: ":"):
            return true
        default: return false
        }
    }
}
