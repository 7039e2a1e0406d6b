// SPDX-License-Identifier: GPL-3.0-or-later

/// Bytes of a file system's structure, decoded field by field.
///
/// What lies beyond the end reads as zero: a reader checks lengths for its messages, not to stay alive.
struct ByteFields: Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }

    var count: Int { bytes.count }

    /// Returns the big-endian integer at byte `offset`.
    func big<Integer: FixedWidthInteger>(_ offset: Int, as: Integer.Type = Integer.self) -> Integer {
        let size = MemoryLayout<Integer>.size
        guard offset >= 0, bytes.count >= size, offset <= bytes.count - size else { return 0 }
        return bytes.withUnsafeBytes {
            Integer(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self))
        }
    }

    /// Returns the little-endian integer at byte `offset`.
    func little<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type = Integer.self) -> Integer {
        big(offset, as: type).byteSwapped
    }

    /// Returns the byte at `offset`.
    func byte(_ offset: Int) -> UInt8 { bytes.indices.contains(offset) ? bytes[offset] : 0 }

    /// Returns `count` bytes from `offset`, fewer at the end.
    func part(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> {
        let start = min(max(offset, 0), bytes.count)
        return bytes[start..<start + min(max(count, 0), bytes.count - start)]
    }

    /// Returns the text up to the first zero of `count` bytes, invalid UTF-8 replaced.
    func text(_ offset: Int, _ count: Int) -> String {
        String(decoding: part(offset, count).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Returns the UUID of 16 bytes at `offset` as libblkid prints it; nil when all are zero.
    func uuid(_ offset: Int) -> String? {
        let raw = part(offset, 16)
        guard raw.count == 16, raw.contains(where: { $0 != 0 }) else { return nil }
        var text = ""
        for (index, byte) in raw.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += hexadecimal(byte, width: 2)
        }
        return text
    }
}

/// Returns `value` in hexadecimal digits, at least `width` of them.
func hexadecimal(_ value: some FixedWidthInteger, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(width - digits.count, 0)) + digits
}

/// CRC-32C (Castagnoli), as XFS and btrfs use it.
///
/// RFC 3720, appendix B.4.
enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    }

    /// Continues the register `seed` over `bytes`, without the inversions at both ends.
    static func update(_ seed: UInt32, _ bytes: ArraySlice<UInt8>) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            bytes.withUnsafeBufferPointer { bytes in
                var register = seed
                for byte in bytes { register = table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ register >> 8 }
                return register
            }
        }
    }

    /// Returns the checksum of `bytes`.
    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 { ~update(.max, bytes) }

    /// Returns the checksum of `bytes` as if the four bytes at `offset`, where it is kept, were zero.
    static func checksum(_ bytes: [UInt8], without offset: Int) -> UInt32 {
        guard offset >= 0, bytes.count >= 4, offset <= bytes.count - 4 else { return 0 }
        var register = update(.max, bytes[..<offset])
        register = update(register, [0, 0, 0, 0])
        return ~update(register, bytes[(offset + 4)...])
    }
}
