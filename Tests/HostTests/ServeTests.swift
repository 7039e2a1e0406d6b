// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport
internal import Testing

/// The receiver's service, as an agent's curl sees it.
@Suite(.enabled(if: ReceiverServer.isAvailable, "the programs are not built, or curl or openssl is not installed"))
struct ServeTests {
    private func clone(in server: ReceiverServer) throws -> String {
        let file = try SampleContent.write(
            SampleContent.bytes(.random, length: 5 << 20), to: server.folder.file("disk.img"))
        let result = try Programs.capture([file], target: server.clones)
        guard result.status == 0 else { throw ToolError(result.errors) }
        return try Programs.clone(in: server.clones)
    }

    @Test func aFinishedCloneGetsItsReceipt() throws {
        let server = try ReceiverServer()
        let path = try clone(in: server)
        let id = String(path.split(separator: "/").last ?? "")
        #expect(try server.ask("/api/v1/clones/\(id)/receipt").status == 404)
        let accepted = try server.ask("/api/v1/clones/\(id)/verify", ["--request", "POST"])
        #expect(accepted.status == 202)
        let receipt = try server.receipt(of: id)
        #expect(receipt.status == 200)
        #expect(receipt.body.contains("\"verdict\":\"verified\""))
        #expect(receipt.body.contains("\"clone_id\":\"\(id)\""))
        #expect(try server.ask("/api/v1/clones").body.contains("\"verdict\":\"verified\""))
        #expect(Folder.exists("\(path)/receipt.json"))
        let end = try server.stop()
        #expect(end.status == 0, "\(end.errors)")
        #expect(end.output.contains("coldclone.fingerprint=\(server.fingerprint)"))
        let token = try server.token
        #expect(!(end.output + end.errors).contains(token))
    }

    /// Whoever can write to the clones' folder must not be able to say that a clone is verified.
    @Test func aReceiptThatTheReceiverDidNotWriteCountsForNothing() throws {
        let server = try ReceiverServer()
        let path = try clone(in: server)
        let id = String(path.split(separator: "/").last ?? "")
        let forged = Array(#"{"verdict":"verified"}"#.utf8)
        try Folder.writeDurably(forged, to: "receipt.json", in: path)
        #expect(try server.ask("/api/v1/clones/\(id)/receipt").status == 404)
    }

    @Test func aDamagedCloneFails() throws {
        let server = try ReceiverServer()
        let path = try clone(in: server)
        let id = String(path.split(separator: "/").last ?? "")
        try FileDamage.flip("\(path)/disk.qcow2", at: 3 << 20)
        #expect(try server.ask("/api/v1/clones/\(id)/verify", ["--request", "POST"]).status == 202)
        #expect(try server.receipt(of: id).body.contains("\"verdict\":\"failed\""))
    }

    @Test func nothingGoesWithoutTheToken() throws {
        let server = try ReceiverServer()
        let paths = [
            "/api/v1/job", "/api/v1/clones", "/api/v1/clones/x/receipt", "/", "/nothing", "/api/v1/clones/x/verify",
        ]
        for path in paths {
            let answer = try server.ask(path, token: "0123456789abcdef")
            #expect(answer.status == 401, "\(path)")
            #expect(!answer.body.contains("clone_id"))
        }
        let token = try server.token
        for wrong in ["", token + "0", String(token.dropLast()), "g" + token.dropFirst()] {
            #expect(try server.ask("/api/v1/clones", token: wrong).status == 401)
        }
        #expect(try server.ask("/api/v1/clones").status == 200)
    }

    @Test func anotherKeyIsNotTheReceiver() throws {
        let server = try ReceiverServer()
        let other = "sha256//" + String(repeating: "A", count: 43) + "="
        #expect(throws: ToolError.self) { try server.ask("/api/v1/clones", pin: other) }
    }

    @Test(arguments: [
        "/api/v1/clones/..%2f..%2fetc/receipt", "/api/v1/clones/../../../etc/passwd", "/api/v1/clones/.hidden/verify",
        "/api/v1/clones/no-such-clone/receipt", "/api/v1/clones/\(String(repeating: "a", count: 4000))/receipt",
    ])
    func strangeNamesAreNoClones(path: String) throws {
        let server = try ReceiverServer()
        for method in ["GET", "POST"] {
            let status = try server.ask(path, ["--path-as-is", "--request", method]).status
            #expect([400, 404, 405, 414, 431].contains(status), "\(method) \(status)")
        }
    }

    @Test func anIncompleteCloneIsNotVerified() throws {
        let server = try ReceiverServer()
        let path = try clone(in: server)
        try Folder.remove("\(path)/manifest.json")
        try Folder.writeDurably([], to: "journal", in: path)
        let id = String(path.split(separator: "/").last ?? "")
        #expect(try server.ask("/api/v1/clones/\(id)/verify", ["--request", "POST"]).status == 409)
        // A link in a clone's place leads elsewhere.
        try Tool.output("ln", ["-s", "/etc", "\(server.clones)/host-link"])
        #expect(try server.ask("/api/v1/clones/host-link/verify", ["--request", "POST"]).status == 404)
    }

    @Test func aMachineGetsTheMostSpecificJob() throws {
        let server = try ReceiverServer()
        let jobs = server.folder.file("jobs")
        #expect(try server.ask("/api/v1/job?serial=ABC123").status == 404)
        for (name, text) in [
            ("default", "format: raw\n"), ("ABC123", "name: serial\n"), ("52-54-00-12-34-56", "name: mac\n"),
        ] {
            try Folder.writeDurably(Array(text.utf8), to: "\(name).yaml", in: jobs)
        }
        let mac = "mac=00:00:00:00:00:01&mac=52:54:00:12:34:56"
        #expect(try server.ask("/api/v1/job?serial=ABC123&\(mac)").body == "name: serial\n")
        #expect(try server.ask("/api/v1/job?serial=XYZ&\(mac)").body == "name: mac\n")
        #expect(try server.ask("/api/v1/job?serial=XYZ").body == "format: raw\n")
        #expect(try server.ask("/api/v1/job?serial=..%2fstate%2ftoken").body == "format: raw\n")
    }

    @Test func secretsAreOnlyForTheirOwner() throws {
        let server = try ReceiverServer()
        let state = server.folder.file("state")
        for name in ["", "/token", "/key.pem"] {
            let mode = try Tool.output("stat", ["-c", "%a", state + name])
            #expect(mode == (name.isEmpty ? "700\n" : "600\n"))
        }
        _ = try server.stop()
        try Tool.output("chmod", ["644", "\(state)/token"])
        let result = try Tool.run(
            Programs.receiver, ["serve", server.clones, "--listen", "127.0.0.1:0", "--state", state])
        #expect(result.status == 1)
        #expect(result.errors.contains("chmod 600"))
    }

    @Test(arguments: [
        ["--listen", "nonsense"], ["--listen", "1.2.3.4:99999"], ["--tls-key", "/nowhere"], ["--jobs", "0"],
    ])
    func wrongUsageIsSaid(options: [String]) throws {
        let result = try Tool.run(Programs.receiver, ["serve", "/tmp"] + options)
        #expect(result.status == 64)
    }
}
