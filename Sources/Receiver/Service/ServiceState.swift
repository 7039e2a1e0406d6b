// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Glibc

/// The receiver's own folder: token, key, certificate, and the receipts as it wrote them.
///
/// Never the clones' folder, which the source machines can write to: what the receiver says of a clone must not come
/// from there.
public struct ServiceState: Sendable {
    private static let receiptLimit = 64 << 20

    /// Path of the folder.
    public let folder: String

    /// File of the token that agents show.
    public var tokenFile: String { "\(folder)/token" }
    /// File of the certificate, PEM.
    public var certificateFile: String { "\(folder)/certificate.pem" }
    /// File of the certificate's key, PEM.
    public var keyFile: String { "\(folder)/key.pem" }
    private var receipts: String { "\(folder)/receipts" }

    /// Takes `folder`, which is made when it is missing, with a token and a certificate.
    ///
    /// - Throws: `ReceiverError` when it cannot be written, or others may read it.
    public init(folder: String) async throws(ReceiverError) {
        self.folder = folder
        for path in [folder, "\(folder)/receipts"] where !Folder.exists(path) {
            guard mkdir(path, 0o700) == 0 else { throw .system(.create, path) }
        }
        var status = stat()
        guard stat(folder, &status) == 0, status.st_mode & 0o077 == 0 else {
            throw .setup("others than its owner may use \(folder), which holds keys", hint: "chmod 700 \(folder)")
        }
        if !Folder.exists(tokenFile) { try AccessToken.create(file: tokenFile) }
        if !Folder.exists(keyFile) || !Folder.exists(certificateFile) {
            try? Folder.remove(keyFile)
            try await ServerIdentity.create(certificateFile: certificateFile, keyFile: keyFile)
        }
    }

    /// Returns the receipt that this receiver wrote of the clone `id`; nil for none that can be read.
    func receipt(of id: String) -> Receipt? {
        guard FileName.isSafe(id),
            let bytes = try? SmallFile.read("\(receipts)/\(id).json", limit: Self.receiptLimit)
        else { return nil }
        return try? JSONText.decode(bytes, file: "\(id).json")
    }

    /// Keeps `receipt` as that of the clone `id`.
    func keep(_ receipt: Receipt, of id: String) throws(ReceiverError) {
        let bytes: [UInt8]
        do { bytes = try JSONText.encode(receipt) } catch {
            throw .setup("the receipt of \(id) has no JSON form: \(error)", hint: nil)
        }
        do throws(BlockError) {
            try Folder.writeDurably(bytes, to: "\(id).json", in: receipts, replacing: true)
        } catch {
            throw .io(error)
        }
    }

    /// Forgets what was said of the clone `id`, which is looked at anew.
    func forget(_ id: String) throws(ReceiverError) {
        let path = "\(receipts)/\(id).json"
        guard Folder.exists(path) else { return }
        do throws(BlockError) { try Folder.remove(path) } catch { throw .io(error) }
    }
}
