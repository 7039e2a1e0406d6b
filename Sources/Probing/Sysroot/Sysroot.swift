// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CLinux
internal import Glibc
internal import Synchronization

/// Where a machine's files are read from: the running system, a folder, or what was recorded of a machine elsewhere.
///
/// Symbolic links are followed within the root and never lead out of it; files are read up to a bound. Everything that
/// is read can be recorded, so that a recording replays the very same probe.
public final class Sysroot: Sendable {
    /// What stands at a path.
    enum Entry: Sendable, Hashable {
        case file([UInt8])
        case link(String)
        case folder
    }

    private enum Base: Sendable {
        /// Files below a folder; empty for the running system.
        case folder(String)
        /// A recording, by path.
        case entries([String: Entry], children: [String: [String]])
    }

    /// Most bytes of an attribute that are read.
    static let attributeLimit = 64 << 10
    /// Most links followed on the way to one file.
    private static let maximumLinks = 40

    private let base: Base
    private let resolved = Mutex<[String: String?]>([:])
    private let recorded: Mutex<[String: Entry]>?

    /// Whether this is the running system, of which more can be asked than its files.
    public let isLive: Bool

    /// Reads from the folder `path`, `/` for the running system; keeps what is read when `recording`.
    public init(_ path: String = "/", recording: Bool = false) {
        var path = path
        while path.last == "/" { path.removeLast() }
        base = .folder(path)
        isLive = path.isEmpty
        recorded = recording ? Mutex([:]) : nil
    }

    /// Replays a recording.
    init(entries: [String: Entry]) {
        var children: [String: Set<String>] = [:]
        for path in entries.keys {
            var parts = path.split(separator: "/")
            while let name = parts.popLast() {
                let parent = "/" + parts.joined(separator: "/")
                guard children[parent, default: []].insert(String(name)).inserted else { break }
            }
        }
        base = .entries(entries, children: children.mapValues { $0.sorted() })
        isLive = false
        recorded = nil
    }

    /// What was read so far, by path.
    var recording: [String: Entry] { recorded?.withLock { $0 } ?? [:] }

    /// Keeps `entry` in the recording in place of what stands at `path`.
    func record(_ path: String, _ entry: Entry) { recorded?.withLock { $0[path] = entry } }

    /// Takes what was read at `path`, and below the link on its way, out of the recording; keeps `entry` in its place.
    func record(_ path: String, _ entry: Entry, insteadOf link: String) {
        guard let canonical = resolve(path), let target = resolve(link) else { return }
        recorded?.withLock { recorded in
            recorded[canonical] = nil
            recorded[target] = nil
            recorded[link] = nil
            recorded[path] = entry
        }
    }

    // MARK: Reading

    /// Returns the text at `path`, blanks and zeros at its ends taken off; nil when there is none, or it is empty.
    func text(_ path: String) -> String? {
        guard let bytes = bytes(path, limit: Self.attributeLimit) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        let isBlank = { (scalar: Unicode.Scalar) in scalar.properties.isWhitespace || scalar.value == 0 }
        let scalars = text.unicodeScalars.drop(while: isBlank)
        guard let last = scalars.lastIndex(where: { !isBlank($0) }) else { return nil }
        return String(String.UnicodeScalarView(scalars[...last]))
    }

    /// Returns the decimal number at `path`; nil when there is none.
    func number(_ path: String) -> Int64? { text(path).flatMap { Int64($0) } }

    /// Returns the content at `path`, at most `limit` bytes of it; nil when it cannot be read.
    func bytes(_ path: String, limit: Int) -> [UInt8]? {
        guard let canonical = resolve(path) else { return nil }
        let content: [UInt8]?
        switch base {
        case .folder(let root): content = Self.readPrefix("\(root)\(canonical)", limit: limit)
        case .entries(let entries, _):
            if case .file(let bytes)? = entries[canonical] {
                content = Array(bytes.prefix(limit))
            } else {
                content = nil
            }
        }
        if let content { record(canonical, .file(content)) }
        return content
    }

    /// Returns the names in the folder at `path`, sorted; none when there is no such folder.
    func names(in path: String) -> [String] {
        guard let canonical = resolve(path) else { return [] }
        let names: [String]
        switch base {
        case .folder(let root): names = (try? Folder.names(in: "\(root)\(canonical)")) ?? []
        case .entries(_, let children): names = children[canonical] ?? []
        }
        recorded?.withLock { recorded in
            for name in names {
                let child = canonical == "/" ? "/\(name)" : "\(canonical)/\(name)"
                if recorded[child] == nil { recorded[child] = entry(child) ?? .folder }
            }
        }
        return names
    }

    /// Tells whether anything stands at `path`, links followed.
    func exists(_ path: String) -> Bool {
        resolve(path) != nil
    }

    /// Returns the path without links that `path` leads to; nil when it leads nowhere.
    func resolve(_ path: String) -> String? {
        if let known = resolved.withLock({ $0[path] }) { return known }
        let result = walk(path)
        resolved.withLock { $0[path] = .some(result) }
        if let result { recorded?.withLock { if $0[result] == nil { $0[result] = entry(result) ?? .folder } } }
        return result
    }

    /// Returns the last part of what the link at `path` leads to: a driver's name, a subsystem's.
    func linkName(_ path: String) -> String? {
        resolve(path).flatMap { $0.split(separator: "/").last.map(String.init) }
    }

    private func walk(_ path: String) -> String? {
        var waiting: [Substring] = Array(path.split(separator: "/").reversed())
        var done: [Substring] = []
        var links = 0
        while let part = waiting.popLast() {
            if part == "." { continue }
            if part == ".." {
                _ = done.popLast()
                continue
            }
            let here = "/" + (done + [part]).joined(separator: "/")
            switch entry(here) {
            case nil: return nil
            case .link(let target)?:
                links += 1
                guard links <= Self.maximumLinks else { return nil }
                record(here, .link(target))
                if target.hasPrefix("/") { done = [] }
                waiting += target.split(separator: "/").reversed()
            default: done.append(part)
            }
        }
        return "/" + done.joined(separator: "/")
    }

    /// Returns what stands at `path`, which has no links but perhaps its last part; files without their content.
    private func entry(_ path: String) -> Entry? {
        switch base {
        case .entries(let entries, let children):
            return entries[path] ?? (children[path] == nil ? nil : .folder)
        case .folder(let root):
            var status = stat()
            guard lstat("\(root)\(path)", &status) == 0 else { return nil }
            switch status.st_mode & S_IFMT {
            case S_IFLNK:
                var target = [CChar](repeating: 0, count: 4096)
                let count = readlink("\(root)\(path)", &target, target.count)
                guard count > 0 else { return nil }
                return .link(String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
            case S_IFDIR: return .folder
            default: return .file([])
            }
        }
    }

    /// Reads up to `limit` bytes; sysfs and proc do not tell lengths beforehand.
    private static func readPrefix(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: min(limit, 64 << 10))
        while content.count < limit {
            let count = read(descriptor, &piece, min(piece.count, limit - content.count))
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            if count == 0 { break }
            content += piece[..<count]
        }
        return content
    }
}
