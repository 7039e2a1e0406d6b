// SPDX-License-Identifier: GPL-3.0-or-later

internal import Crypto
internal import FoundationEssentials

extension Digest {
    /// What stands in `self_digest` while the file's digest is computed: 64 zeros.
    static let placeholder = Digest(zeros: ())

    private init(zeros: Void) { bytes = [UInt8](repeating: 0, count: Digest.byteCount) }
}

extension Manifest {
    /// Returns the file's bytes: JSON with sorted keys, `self_digest` over all of it.
    public func sealed() throws -> [UInt8] {
        var unsealed = self
        unsealed.selfDigest = .placeholder
        var bytes = try JSONText.encode(unsealed)
        guard let range = Self.selfDigestRange(in: bytes) else {
            throw FormatError.damaged(file: Self.fileName, reason: "its own digest has no single place")
        }
        bytes.replaceSubrange(range, with: Array(Digest(of: bytes).hexadecimal.utf8))
        return bytes
    }

    /// Reads the file's bytes and checks version and `self_digest`; `file` is what messages call it.
    ///
    /// - Throws: `FormatError` for damage, a newer major version, or values that no clone can have.
    public init(opening bytes: [UInt8], file: String) throws(FormatError) {
        struct Preamble: Codable {
            var format: String
            var version: FormatVersion
        }
        let preamble: Preamble = try JSONText.decode(bytes, file: file)
        guard preamble.format == "coldclone-manifest" else {
            throw .damaged(file: file, reason: "it is not a coldclone manifest")
        }
        guard preamble.version.major <= Self.currentVersion.major else {
            throw .unsupportedVersion(file: file, version: preamble.version, supported: Self.currentVersion)
        }
        guard let range = Self.selfDigestRange(in: bytes) else {
            throw .damaged(file: file, reason: "its own digest is missing or stands twice")
        }
        var unsealed = bytes
        unsealed.replaceSubrange(range, with: [UInt8](repeating: UInt8(ascii: "0"), count: range.count))
        guard Array(Digest(of: unsealed).hexadecimal.utf8) == Array(bytes[range]) else {
            throw .damaged(file: file, reason: "its content does not match its own digest")
        }
        self = try JSONText.decode(bytes, file: file)
        try checkPlausibility(file: file)
    }

    private func checkPlausibility(file: String) throws(FormatError) {
        func damaged(_ reason: String) -> FormatError { .damaged(file: file, reason: reason) }
        guard UUIDText.bytes(cloneUuid) != nil else { throw damaged("clone_uuid is not a UUID") }
        guard chunkSizeInBytes == Chunk.size else { throw damaged("chunk_size_in_bytes is not \(Chunk.size)") }
        try base?.checkPlausibility(file: file)
        try Self.checkPlausibility(of: disks, file: file)
    }

    /// Checks lengths and names of disks' records, wherever they stand.
    static func checkPlausibility(of disks: [DiskRecord], file: String) throws(FormatError) {
        func damaged(_ reason: String) -> FormatError { .damaged(file: file, reason: reason) }
        var names = Set<String>()
        for disk in disks {
            let lengths = 0...ChunkFileHeader.maximumDiskLength
            guard lengths.contains(disk.lengthInBytes), lengths.contains(disk.chunks.lengthInBytes),
                lengths.contains(disk.image.lengthInBytes)
            else { throw damaged("disk \(disk.name) has an impossible length") }
            for name in [disk.name, disk.image.file, disk.chunks.file] where !FileName.isSafe(name) {
                throw damaged("disk \(disk.order) has the unsafe name \(name.debugDescription)")
            }
            if let base = disk.base, !FileName.isSafe(base.imageFile) {
                throw damaged("disk \(disk.order) has a base of the unsafe name \(base.imageFile.debugDescription)")
            }
            guard names.insert(disk.image.file).inserted, names.insert(disk.chunks.file).inserted else {
                throw damaged("two disks share a file")
            }
        }
    }

    /// Returns where the 64 digits of `self_digest` stand, when they stand exactly once.
    private static func selfDigestRange(in bytes: [UInt8]) -> Range<Int>? {
        let key = Array("\"self_digest\" : \"sha256:".utf8)
        var found: Range<Int>?
        var index = 0
        while let next = bytes[index...].firstIndex(of: key[0]) {
            if bytes[next...].starts(with: key) {
                let start = next + key.count
                guard found == nil, start + 64 < bytes.count, bytes[start + 64] == UInt8(ascii: "\"") else {
                    return nil
                }
                found = start..<start + 64
            }
            index = next + 1
        }
        return found
    }
}

/// JSON as all our files use it: snake_case keys, sorted, indented.
public enum JSONText {
    /// Returns `value` as JSON with a final line feed; on one line when `compact`.
    public static func encode(_ value: some Encodable, compact: Bool = false) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting =
            compact ? [.sortedKeys, .withoutEscapingSlashes] : [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
    }

    /// Reads a value; `file` is what messages call the text.
    ///
    /// - Throws: `FormatError` naming the key that is missing or wrong.
    public static func decode<Value: Decodable>(_ bytes: [UInt8], file: String) throws(FormatError) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Value.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw .damaged(file: file, reason: describe(error))
        } catch {
            throw .damaged(file: file, reason: "not JSON")
        }
    }

    private static func describe(_ error: DecodingError) -> String {
        func place(_ context: DecodingError.Context) -> String {
            context.codingPath.isEmpty ? "" : " at \(context.codingPath.map(\.stringValue).joined(separator: "."))"
        }
        switch error {
        case .keyNotFound(let key, let context): return "\(key.stringValue) is missing\(place(context))"
        case .typeMismatch(_, let context): return "wrong type\(place(context))"
        case .valueNotFound(_, let context): return "no value\(place(context))"
        case .dataCorrupted(let context): return "\(context.debugDescription)\(place(context))"
        @unknown default: return "not readable"
        }
    }
}
