// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Probing

/// What a machine is known by: how its job is found.
struct MachineNames {
    var serial: String?
    var uuid: String?
    /// Lower case, with colons.
    var macAddresses: [String]

    init(_ machine: Machine) {
        serial = machine.systemVendor.serialNumber
        uuid = machine.systemVendor.uuid?.lowercased()
        macAddresses = machine.interfaces.flatMap { [$0.permanentMacAddress, $0.macAddress] }.compactMap {
            $0?.lowercased()
        }
    }

    /// Names of files for this machine, the most specific first.
    var fileNames: [String] {
        let names = [serial, uuid].compactMap(\.self) + macAddresses.map { String($0.map { $0 == ":" ? "-" : $0 }) }
        return names.filter(FileName.isSafe).map { "\($0).yaml" }
    }

    /// The names as a query.
    var query: String {
        var parts: [String] = []
        if let serial { parts.append("serial=\(HTTPClient.escaped(serial))") }
        if let uuid { parts.append("uuid=\(HTTPClient.escaped(uuid))") }
        parts += macAddresses.prefix(64).map { "mac=\(HTTPClient.escaped($0))" }
        return parts.joined(separator: "&")
    }
}

/// The receiver's API.
struct ReceiverClient {
    let url: String
    let client: HTTPClient
    let patience: Patience

    init?(_ configuration: JobConfiguration, _ reporter: AutoReporter, _ cancellation: CancellationFlag) {
        guard let receiver = configuration.receiver else { return nil }
        url = receiver
        client = HTTPClient(
            cancellation: cancellation, token: configuration.token, fingerprint: configuration.fingerprint)
        patience = Patience(reporter: reporter, cancellation: cancellation, seconds: configuration.waitNetwork)
    }

    /// What the receiver's job is called.
    var jobPlace: String { "\(url)/api/v1/job" }

    /// Asks for this machine's job; nil when there is none.
    ///
    /// A wrong token is found out here, before anything is copied.
    func job(of names: MachineNames) throws -> [UInt8]? {
        let answer = try request("GET", "/api/v1/job?\(names.query)", patience)
        switch answer.status {
        case 200: return answer.body
        case 404: return nil
        default: throw unexpected(answer, "the job")
        }
    }

    /// Has the clone `name` verified.
    func verify(_ name: String) throws {
        let started = try request("POST", "/api/v1/clones/\(HTTPClient.escaped(name))/verify", patience)
        guard (200...299).contains(started.status) else { throw unexpected(started, "the verification of \(name)") }
    }

    /// Returns the receipt of the clone `name` once there is one.
    ///
    /// - Parameter seconds: longest time until then.
    func receipt(of name: String, seconds: Int) throws -> Receipt {
        let place = "/api/v1/clones/\(HTTPClient.escaped(name))"
        var patience = patience
        patience.seconds = seconds
        return try patience.wait(for: "the receipt of \(name)") {
            let answer = try client.request("GET", url + "\(place)/receipt")
            switch answer.status {
            case 200: return try Self.receipt(answer.body)
            case 404: throw AutoError("there is no receipt of \(name) yet", isTransient: true)
            case 409: throw AutoError("the receiver cannot verify \(name): \(answer.text)")
            default: throw unexpected(answer, "the receipt of \(name)")
            }
        }
    }

    private static func receipt(_ body: [UInt8]) throws -> Receipt {
        let receipt: Receipt
        do throws(FormatError) { receipt = try JSONText.decode(body, file: Receipt.fileName) } catch {
            throw AutoError("cannot read the receipt: \(error.description)")
        }
        guard receipt.format == "coldclone-receipt", receipt.version.major == Receipt.currentVersion.major else {
            throw AutoError("the receipt is of a format that this release does not know")
        }
        return receipt
    }

    private func request(_ method: String, _ path: String, _ patience: Patience) throws -> HTTPClient.Answer {
        let address = url + path
        return try patience.wait(for: "the receiver \(url)") { try client.request(method, address) }
    }

    private func unexpected(_ answer: HTTPClient.Answer, _ what: String) -> AutoError {
        if answer.status == 401 {
            return AutoError(
                "the receiver \(url) refuses the token (401)", hint: "token in the job must be the receiver's own")
        }
        return AutoError("the receiver \(url) answers \(answer.status) for \(what): \(answer.text)")
    }
}
