// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import NIOSSL
internal import Subprocess

/// The certificate and key that the receiver shows, and the fingerprint that agents know it by.
public struct ServerIdentity: Sendable {
    let certificates: [NIOSSLCertificate]
    let key: NIOSSLPrivateKey
    /// SHA-256 of the public key, `sha256//<base64>`: what curl(1) takes as `--pinnedpubkey`, RFC 7469.
    public let fingerprint: String

    /// Reads a certificate chain and its private key, PEM both.
    ///
    /// - Throws: `ReceiverError` when one of them is missing, damaged or does not belong to the other.
    public init(certificateFile: String, keyFile: String) throws(ReceiverError) {
        do {
            certificates = try NIOSSLCertificate.fromPEMFile(certificateFile)
            key = try NIOSSLPrivateKey(file: keyFile, format: .pem)
            guard let leaf = certificates.first else {
                throw ReceiverError.setup("\(certificateFile) holds no certificate", hint: nil)
            }
            let digest = SHA256.hash(data: try leaf.extractPublicKey().toSPKIBytes())
            fingerprint = "sha256//" + Data(digest).base64EncodedString()
        } catch let error as ReceiverError {
            throw error
        } catch {
            throw .setup(
                "certificate \(certificateFile) and key \(keyFile) cannot be used: \(error)",
                hint: "both are PEM files; remove them to have new ones made")
        }
    }

    /// Makes a key and a certificate of its own signature, by openssl(1).
    ///
    /// Agents pin the key: who signed and how long it lasts say nothing more.
    /// - Throws: `ReceiverError` when openssl is not installed or fails.
    static func create(certificateFile: String, keyFile: String) async throws(ReceiverError) {
        // The key must never be readable by others, not for a moment: made here, filled by openssl.
        try PrivateFile.create(keyFile, [])
        do {
            let result = try await run(
                .name("openssl"),
                arguments: [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-batch",
                    "-days", "7300", "-subj", "/CN=coldclone-receiver", "-keyout", keyFile, "-out", certificateFile,
                ], output: .discarded, error: .string(limit: 4096))
            guard result.terminationStatus.isSuccess else {
                throw ReceiverError.setup(
                    "openssl made no certificate: \(result.standardError.prefix(400))", hint: nil)
            }
        } catch {
            try? Folder.remove(keyFile)
            if let error = error as? ReceiverError { throw error }
            throw .setup(
                "no certificate can be made, as openssl does not run: \(error)",
                hint: "apt-get install openssl, or name --tls-certificate and --tls-key")
        }
    }
}
