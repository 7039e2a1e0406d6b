// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport

/// The receiver as a service in a lab network, on the folder that the NFS server exports.
struct LabReceiver {
    let url = "https://\(LabNetwork.address):8642"
    let token: String
    let fingerprint: String
    private let scratch: TemporaryFolder

    init(in run: LabRun) throws {
        scratch = try TemporaryFolder()
        let state = scratch.file("state")
        let ready = try ReadySocket()
        try run.network.start(
            LabRun.receiver,
            ["serve", run.server.folder, "--listen", "\(LabNetwork.address):8642", "--state", state],
            environment: ["NOTIFY_SOCKET=\(ready.path)"])
        guard ready.wait() else { throw ToolError("the receiver does not start") }
        token = try SmallFile.text("\(state)/token", limit: 4096).filter { $0 != "\n" }
        // As curl(1) describes it for --pinnedpubkey.
        let digest = try Tool.output(
            "sh",
            [
                "-euc",
                """
                openssl x509 -in \(state)/certificate.pem -pubkey -noout | openssl pkey -pubin -outform der |
                    openssl dgst -sha256 -binary | base64
                """,
            ])
        fingerprint = "sha256//" + digest.filter { $0 != "\n" }
    }

    /// What a job says of it, with `token` in place of the right one where given.
    func lines(token: String? = nil) -> [String] {
        ["receiver: \(url)", "fingerprint: \(fingerprint)", "token: \(token ?? self.token)", "wait_receipt: 300"]
    }
}
