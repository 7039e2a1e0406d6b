// SPDX-License-Identifier: GPL-3.0-or-later

public import Crypto

/// A SHA-256 digest, written `sha256:<64 hexadecimal digits>`.
///
/// FIPS 180-4.
public struct Digest: Sendable, Hashable, CustomStringConvertible {
    /// Length of a digest in bytes.
    public static let byteCount = 32

    /// The 32 bytes.
    public let bytes: [UInt8]

    /// Takes a digest of exactly 32 bytes, or returns nil.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = Array(bytes)
    }

    /// Computes the digest of `content`.
    public init(of content: UnsafeRawBufferPointer) {
        var hash = SHA256()
        hash.update(bufferPointer: content)
        bytes = Array(hash.finalize())
    }

    /// Computes the digest of `content`.
    public init(of content: [UInt8]) {
        self = content.withUnsafeBytes { Digest(of: $0) }
    }

    /// Takes a finished SHA-256.
    public init(_ hash: SHA256.Digest) {
        bytes = Array(hash)
    }

    /// Reads `sha256:<hex>`; anything else, other algorithms included, gives nil.
    public init?(_ text: String) {
        let prefix = "sha256:"
        guard text.hasPrefix(prefix), let bytes = Hexadecimal.decode(text.utf8.dropFirst(prefix.utf8.count)),
            bytes.count == Self.byteCount
        else { return nil }
        self.bytes = bytes
    }

    /// The 64 lower-case hexadecimal digits.
    public var hexadecimal: String { Hexadecimal.encode(bytes) }

    /// The written form, `sha256:<hex>`.
    public var description: String { "sha256:" + hexadecimal }

    /// Returns the digest of `count` zero bytes.
    public static func ofZeros(count: Int) -> Digest {
        Digest(of: [UInt8](repeating: 0, count: count))
    }
}

extension Digest: Codable {
    /// Reads the written form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let digest = Digest(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a sha256 digest")
        }
        self = digest
    }

    /// Writes the written form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Hexadecimal text, lower case.
public enum Hexadecimal {
    /// Returns two digits a byte.
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Returns the bytes of lower-case digits, or nil when there is anything else or an odd count.
    public static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 2)
        var high: UInt8?
        for character in text {
            let value: UInt8
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = character - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }
}
