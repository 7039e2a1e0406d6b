// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization
internal import TestSupport

/// A machine's serial console: what it says, and what is typed at it.
///
/// A thread takes in what it says: a machine whose console nobody reads would stand still.
final class SerialConsole: Sendable {
    private struct State {
        /// Everything said, without escape sequences and carriage returns.
        var text: [UInt8] = []
        /// How much of it earlier waits have taken.
        var taken = 0
        var filter = EscapeFilter()
        var hasEnded = false
        var commands = 0
        /// Something came, or the machine ended, since somebody last looked.
        var hasNews = false
        /// Somebody waits for what comes next.
        var isAwaited = false
        var disaster: String?
    }

    /// What the thread needs: it does not keep the console itself.
    private final class Shared: Sendable {
        let state = Mutex(State())
        let news: Event
        init() throws { news = try Event() }
    }

    private let stream: UnixStream
    private let shared: Shared

    /// Words with which no machine's story goes on.
    private static let disasters = ["Kernel panic - not syncing", "Attempted to kill init", "(initramfs)"]

    init(_ stream: UnixStream) throws {
        self.stream = stream
        shared = try Shared()
        startThread { [shared] in Self.takeIn(stream, shared) }
    }

    /// Everything the machine has said so far.
    var text: String { shared.state.withLock { String(decoding: $0.text, as: UTF8.self) } }

    /// Types `text`, as it is.
    func type(_ text: String) throws { try stream.send(Array(text.utf8)) }

    /// Waits until the machine says one of `texts`, after what earlier waits found, and returns the line as far as it
    /// has come; for a line that ends, `wholeLine` asks for all of it.
    @discardableResult
    func expect(_ texts: String..., within seconds: Int, wholeLine: Bool = false) throws -> String {
        let deadline = Deadline(in: seconds)
        while true {
            if let line = shared.state.withLock({ Self.take(texts, wholeLine, from: &$0) }) { return line }
            if try !listen(before: deadline) {
                let reason = shared.state.withLock { $0.hasEnded } ? "the machine ended" : "\(seconds) s went by"
                throw ToolError("\(reason), and the console did not say \(texts):\n\(text.suffix(6000))")
            }
        }
    }

    /// Waits until the machine has ended.
    func expectEnd(within seconds: Int) throws {
        let deadline = Deadline(in: seconds)
        while try listen(before: deadline) {}
        guard shared.state.withLock({ $0.hasEnded }) else {
            throw ToolError("the machine did not end within \(seconds) s:\n\(text.suffix(6000))")
        }
    }

    /// Runs a command in the shell that waits for one, and returns its exit status and what it printed.
    func run(_ command: String, within seconds: Int = 300) throws -> (status: Int32?, output: String) {
        let number = shared.state.withLock { state in
            state.commands += 1
            return state.commands
        }
        // The marks stand apart in what is typed, so that the echo does not hold them.
        try type("printf '<%s>\\n' lab\(number); \(command); printf '<%s %s>\\n' end\(number) $?\r")
        try expect("<lab\(number)>", within: seconds)
        let start = shared.state.withLock { $0.taken }
        let line = try expect("<end\(number) ", within: seconds, wholeLine: true)
        let output = shared.state.withLock { state in
            String(decoding: state.text[start..<max(start, state.taken - line.utf8.count)], as: UTF8.self)
        }
        let status = line.split(separator: " ").last.map { $0.prefix { $0 != ">" } }.flatMap { Int32($0) }
        return (status, String(output.drop { $0 == "\n" }))
    }

    /// Waits for more; false when nothing comes before `deadline`, or nothing will.
    private func listen(before deadline: Deadline) throws -> Bool {
        let (hasNews, hasEnded, disaster) = shared.state.withLock { state in
            defer { state.hasNews = false }
            state.isAwaited = !state.hasNews && !state.hasEnded
            return (state.hasNews, state.hasEnded, state.disaster)
        }
        if let disaster { throw ToolError("\(disaster):\n\(text.suffix(6000))") }
        if hasNews { return deadline.milliseconds > 0 }
        guard !hasEnded else { return false }
        return shared.news.wait(seconds: Int(deadline.milliseconds / 1000) + 1) && deadline.milliseconds > 0
    }

    /// Takes in what the machine says, until it ends.
    private static func takeIn(_ stream: UnixStream, _ shared: Shared) {
        var hasEnded = false
        while !hasEnded {
            guard let bytes = try? stream.receive(before: Deadline(in: 3600)) ?? [0] else { break }
            hasEnded = bytes.isEmpty
            let isAwaited = shared.state.withLock { state in
                (state.hasEnded, state.hasNews) = (hasEnded, true)
                for byte in bytes where state.filter.passes(byte) { state.text.append(byte) }
                let recent = String(decoding: state.text.suffix(bytes.count + 200), as: UTF8.self)
                state.disaster = state.disaster ?? disasters.first { recent.contains($0) }
                defer { state.isAwaited = false }
                return state.isAwaited
            }
            if isAwaited { shared.news.signal() }
        }
    }

    private static func take(_ texts: [String], _ wholeLine: Bool, from state: inout State) -> String? {
        let rest = state.text[state.taken...]
        let found = texts.compactMap { first($0, in: rest) }.min { $0.lowerBound < $1.lowerBound }
        guard let found else { return nil }
        let start = rest[..<found.lowerBound].lastIndex(of: newline).map { $0 + 1 } ?? rest.startIndex
        let end = rest[found.upperBound...].firstIndex(of: newline)
        if wholeLine && end == nil { return nil }
        state.taken = wholeLine ? (end ?? found.upperBound) : found.upperBound
        return String(decoding: rest[start..<(end ?? rest.endIndex)], as: UTF8.self)
    }

    private static let newline = UInt8(ascii: "\n")

    private static func first(_ text: String, in bytes: ArraySlice<UInt8>) -> Range<Int>? {
        let wanted = Array(text.utf8)
        guard let head = wanted.first, bytes.count >= wanted.count else { return nil }
        var at = bytes.startIndex
        while at <= bytes.endIndex - wanted.count {
            guard let next = bytes[at...].firstIndex(of: head) else { return nil }
            if bytes[next...].starts(with: wanted) { return next..<next + wanted.count }
            at = next + 1
        }
        return nil
    }
}

/// Lets pass what of a terminal's stream is text.
///
/// ECMA-48.
private struct EscapeFilter {
    private enum Place { case text, escape, control, string }
    private var place = Place.text

    mutating func passes(_ byte: UInt8) -> Bool {
        switch (place, byte) {
        case (.text, 0x1b): place = .escape
        case (.text, _): return byte == 0x0a || byte >= 0x20 && byte != 0x7f
        case (.escape, UInt8(ascii: "[")): place = .control
        // Operating system commands and their like end with BEL or ESC \.
        case (.escape, UInt8(ascii: "]")), (.escape, UInt8(ascii: "P")), (.escape, UInt8(ascii: "^")): place = .string
        case (.escape, 0x20...0x2f): break
        case (.escape, _): place = .text
        case (.control, 0x40...0x7e): place = .text
        case (.control, _): break
        case (.string, 0x07): place = .text
        case (.string, 0x1b): place = .escape
        case (.string, _): break
        }
        return false
    }
}
