// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Crypto
internal import Glibc

/// The secret that agents show to the receiver, RFC 6750.
///
/// It has no description that tells it.
public struct AccessToken: Sendable {
    /// Shortest that is taken, in bytes: shorter ones can be guessed.
    public static let minimumLength = 16
    private static let maximumLength = 1024

    /// Of the token only this is kept: digests compare in constant time.
    private let digest: SHA256.Digest

    /// Reads the first line of the file at `path`.
    ///
    /// - Throws: `ReceiverError` when it cannot be read, others may read it, or it is too short.
    public init(file path: String) throws(ReceiverError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .system(.open, path) }
        guard status.st_mode & 0o077 == 0 else {
            throw .setup("others than its owner may read or write the token in \(path)", hint: "chmod 600 \(path)")
        }
        let bytes: [UInt8]
        do throws(BlockError) {
            bytes = try SmallFile.read(path, limit: Self.maximumLength)
        } catch {
            throw .io(error)
        }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard line.count >= Self.minimumLength, line.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .setup(
                "the token in \(path) is not one line of at least \(Self.minimumLength) printable characters",
                hint: "remove the file: a new token is made")
        }
        digest = SHA256.hash(data: line)
    }

    /// Writes a new random token of 256 bits, hexadecimal, to a new file at `path` that only its owner reads.
    ///
    /// - Throws: `ReceiverError` when it cannot be written.
    public static func create(file path: String) throws(ReceiverError) {
        let key = SymmetricKey(size: .bits256)
        let text = key.withUnsafeBytes { $0.map { byte in hexadecimal(byte) }.joined() }
        try PrivateFile.create(path, Array((text + "\n").utf8))
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }

    /// Tells whether the value of an `Authorization` header shows this token.
    public func admits(authorization value: String?) -> Bool {
        let scheme = "bearer "
        guard let value, value.utf8.count <= Self.maximumLength + scheme.utf8.count,
            value.prefix(scheme.count).lowercased() == scheme
        else { return false }
        return SHA256.hash(data: Array(value.dropFirst(scheme.count).utf8)) == digest
    }
}

/// Files that nobody but their owner may read.
enum PrivateFile {
    /// Creates `path` with mode 0600 and writes `bytes` durably.
    ///
    /// open(2) with O_EXCL, fsync(2).
    static func create(_ path: String, _ bytes: [UInt8]) throws(ReceiverError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw .system(.create, path) }
        defer { close(descriptor) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .system(.write, path) }
            written += count
        }
        guard fsync(descriptor) == 0 else { throw .system(.synchronize, path) }
    }
}
