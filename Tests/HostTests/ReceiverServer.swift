// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport

/// The shipped receiver as a service on loopback, asked by curl(1).
final class ReceiverServer: Sendable {
    struct Answer {
        var status: Int
        var body: String
    }

    let folder: TemporaryFolder
    let clones: String
    let fingerprint: String
    let port: UInt16
    private let tool: RunningTool

    static let isAvailable = Programs.areBuilt && Tool.isInstalled("curl", "openssl")

    init(_ options: [String] = []) throws {
        folder = try TemporaryFolder(in: "/var/tmp")
        clones = try folder.folder("clones")
        _ = try folder.folder("jobs")
        port = try Loopback.freePort()
        let ready = try ReadySocket()
        tool = try RunningTool(
            Programs.receiver,
            [
                "serve", clones, "--listen", "127.0.0.1:\(port)", "--state", folder.file("state"), "--job-folder",
                folder.file("jobs"),
            ] + options, environment: ["NOTIFY_SOCKET=\(ready.path)"])
        guard ready.wait() else { throw ToolError("the receiver does not start") }
        fingerprint = try Self.fingerprint(of: folder.file("state/certificate.pem"))
    }

    var token: String {
        get throws { try SmallFile.text(folder.file("state/token"), limit: 4096).filter { $0 != "\n" } }
    }

    /// Asks under `path`, with the right token unless told otherwise, and insists on the fingerprint.
    func ask(_ path: String, _ arguments: [String] = [], token: String? = nil, pin: String? = nil) throws -> Answer {
        let result = try Tool.run(
            "curl",
            [
                "--silent", "--show-error", "--insecure", "--pinnedpubkey", pin ?? fingerprint, "--max-time", "60",
                "--header", "Authorization: Bearer \(try token ?? self.token)", "--write-out", "\n%{http_code}",
            ] + arguments + ["https://127.0.0.1:\(port)\(path)"])
        guard result.status == 0 else { throw ToolError("curl: \(result.status) \(result.errors)") }
        let end = result.output.lastIndex(of: "\n") ?? result.output.startIndex
        return Answer(
            status: Int(result.output[end...].dropFirst()) ?? 0, body: String(result.output[..<end]))
    }

    /// Asks for the receipt, and waits for it.
    func receipt(of id: String) throws -> Answer { try ask("/api/v1/clones/\(id)/receipt?wait=50") }

    /// Ends the service as a service manager does, and returns what it left.
    func stop() throws -> Tool.Result {
        tool.send(SIGTERM)
        return try tool.wait()
    }

    /// The key's fingerprint as openssl sees it.
    private static func fingerprint(of certificate: String) throws -> String {
        let script = """
            openssl x509 -in "$0" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary |
                openssl base64
            """
        return "sha256//" + (try Tool.output("sh", ["-c", script, certificate])).filter { $0 != "\n" }
    }
}
