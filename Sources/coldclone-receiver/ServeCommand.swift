// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import CloneFormat
internal import Console
internal import Receiver

/// `coldclone-receiver serve`.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Give machines their jobs, verify what they wrote, and answer with receipts.",
        discussion: """
            The images come by NFS or on a disk; over this service go jobs and verdicts only, by HTTPS. It is known by \
            the fingerprint of its key, and answers nobody without the token: both are made on the first start, and \
            the lines to give to a live system are printed.

            GET  /api/v1/job?serial=S&uuid=U&mac=M    the job of a machine: FOLDER/S.yaml, U.yaml, M.yaml, default.yaml
            POST /api/v1/clones/ID/verify             read a clone again
            GET  /api/v1/clones/ID/receipt?wait=60    the verdict, as soon as there is one
            GET  /api/v1/clones                       all clones with their verdicts

            EXAMPLES
              coldclone-receiver serve /srv/clones
              coldclone-receiver serve /srv/clones --listen 10.0.0.5:8642 --job-folder /etc/coldclone/jobs

            It ends on SIGINT and SIGTERM. A verification that runs is given up, and has to be asked for again.
            """)

    @Argument(help: ArgumentHelp("Folder that clones are written to.", valueName: "clones"), completion: .directory)
    var clones: String

    @Option(help: ArgumentHelp("Where to listen, such as 10.0.0.5:8642 or [::]:8642.", valueName: "address:port"))
    var listen = ListenAddress(address: "0.0.0.0", port: ReceiverService.defaultPort)

    @Option(help: "Folder of jobs, one YAML file a machine.", completion: .directory)
    var jobFolder: String?

    @Option(help: "The receiver's own folder: token, key, receipts. Machines must not be able to read it.")
    var state = "/var/lib/coldclone-receiver"

    @Option(help: "File with the token, if not STATE/token.", completion: .file())
    var tokenFile: String?

    @Option(help: "Certificate chain, PEM, if not one that is made.", completion: .file())
    var tlsCertificate: String?

    @Option(help: "Key of the certificate, PEM.", completion: .file())
    var tlsKey: String?

    @Option(help: "Threads that check images. (default: one a processor)")
    var jobs: Int?

    @Flag(help: "Print one JSON object with address, fingerprint and token file instead of text.")
    var json = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func validate() throws {
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs is 1 to 1024") }
        if (tlsCertificate == nil) != (tlsKey == nil) {
            throw ValidationError("--tls-certificate and --tls-key go together")
        }
    }

    func run() async throws {
        let store = try CloneStore(folder: clones)
        let state = try await ServiceState(folder: state)
        let identity = try ServerIdentity(
            certificateFile: tlsCertificate ?? state.certificateFile, keyFile: tlsKey ?? state.keyFile)
        let tokenFile = tokenFile ?? state.tokenFile
        var options = ReceiverService.Options(address: listen.address, port: listen.port, jobs: jobs)
        options.isTalkative = logLevel >= .info
        let service = ReceiverService(
            store: store, state: state, jobs: try jobFolder.map { path in try JobShelf(folder: path) },
            token: try AccessToken(file: tokenFile), identity: identity, program: Version.program, options: options)
        let announcement = Announcement(
            fingerprint: identity.fingerprint, tokenFile: tokenFile, address: listen.address, clones: clones)
        let json = json
        try await service.run { port in
            Terminal.standardOutput.write(announcement.text(port: port, json: json))
            ServiceManager.tellReady()
        }
    }
}

/// What whoever starts the service needs to know.
private struct Announcement: Sendable {
    let fingerprint: String
    let tokenFile: String
    let address: String
    let clones: String

    private struct Values: Encodable {
        var address: String
        var port: Int
        var fingerprint: String
        var tokenFile: String
        var clones: String
    }

    func text(port: Int, json: Bool) -> String {
        if json {
            let values = Values(
                address: address, port: port, fingerprint: fingerprint, tokenFile: tokenFile, clones: clones)
            return (try? JSONText.encode(values, compact: true)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        let isAny = ["0.0.0.0", "::"].contains(address)
        let host = isAny ? "THIS-HOST" : address.contains(":") ? "[\(address)]" : address
        return """
            serving \(clones) at \(address) port \(port)
            give to the live system, on its kernel command line or in its job:
              coldclone.receiver=https://\(host):\(port) coldclone.fingerprint=\(fingerprint)
            and the token that is in \(tokenFile), as token: in the job

            """
    }
}

/// An IP address and a port, `ADDRESS:PORT`, `[IPV6]:PORT`.
struct ListenAddress: ExpressibleByArgument, Sendable, Hashable, CustomStringConvertible {
    var address: String
    var port: Int

    init(address: String, port: Int) {
        self.address = address
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...])
        else { return nil }
        var host = argument[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        address = String(host)
        self.port = Int(port)
    }

    var description: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }
    var defaultValueDescription: String { description }
}
