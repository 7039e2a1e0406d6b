// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport

/// A receiver's API on loopback that answers as a test tells it: Tests/Fixtures/scripted-receiver.
final class ScriptedReceiver: Sendable {
    let port: String
    private let log: String
    private let program: RunningTool

    /// Starts it for the clones below `clones`; `folder` holds its files.
    init(_ folder: TemporaryFolder, clones: String, token: String, job: String = "", verifyStatus: Int = 202) throws {
        let log = folder.file("scripted-receiver.log")
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        program = try RunningTool(
            "python3",
            [
                "/\(root)/Tests/Fixtures/scripted-receiver", log, clones, Programs.receiver, token, job,
                "\(verifyStatus)",
            ])
        var port = ""
        // A file that is renamed into place is whole, and there is no other sign: its directory is looked at again.
        for _ in 0..<600 where port.isEmpty {
            port = (try? Tool.run("head", ["-n", "1", log]).output).map { String($0.prefix { $0 != "\n" }) } ?? ""
            if port.isEmpty { poll(nil, 0, 50) }
        }
        guard !port.isEmpty else { throw ToolError("the scripted receiver does not start") }
        self.port = port
        self.log = log
    }

    deinit { program.send(SIGKILL) }

    /// The requests so far, a line each.
    var requests: [Substring] {
        ((try? Tool.output("cat", [log])) ?? "").split(separator: "\n").dropFirst().map(\.self)
    }
}
