// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization
internal import TestSupport

/// QEMU's monitor: takes power and media away from a machine.
///
/// QEMU Machine Protocol, one JSON object a line.
final class QMPClient: Sendable {
    private let stream: UnixStream
    private let pending = Mutex<[UInt8]>([])

    init(_ stream: UnixStream) throws {
        self.stream = stream
        _ = try line(containing: "\"QMP\"", within: 300)
        try execute("qmp_capabilities")
    }

    /// Carries out a command, whose arguments are JSON members.
    func execute(_ command: String, _ arguments: String = "") throws {
        try send(command, arguments)
        let answer = try line(containing: "\"return\"", or: "\"error\"", within: 300)
        guard !answer.contains("\"error\"") else { throw ToolError("\(command): \(answer)") }
    }

    /// Carries out a command, and waits for the event that tells that the machine did its part.
    func execute(_ command: String, _ arguments: String, until event: String, within seconds: Int) throws {
        try execute(command, arguments)
        _ = try line(containing: "\"event\": \"\(event)\"", within: seconds)
    }

    /// Ends QEMU at once, as a power cut would the machine.
    func quit() throws { try send("quit", "") }

    private func send(_ command: String, _ arguments: String) throws {
        let tail = arguments.isEmpty ? "" : ", \"arguments\": {\(arguments)}"
        try stream.send(Array("{\"execute\": \"\(command)\"\(tail)}\n".utf8))
    }

    /// Returns the next line with one of the texts; lines before it are dropped.
    private func line(containing text: String, or other: String? = nil, within seconds: Int) throws -> String {
        let deadline = Deadline(in: seconds)
        while true {
            while let line = nextLine() {
                if line.contains(text) || other.map({ line.contains($0) }) == true { return line }
            }
            guard let bytes = try stream.receive(before: deadline), !bytes.isEmpty else {
                throw ToolError("QEMU's monitor did not answer with \(text) within \(seconds) s")
            }
            pending.withLock { $0 += bytes }
        }
    }

    private func nextLine() -> String? {
        pending.withLock { pending in
            guard let end = pending.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            defer { pending.removeSubrange(...end) }
            return String(decoding: pending[..<end], as: UTF8.self)
        }
    }
}
