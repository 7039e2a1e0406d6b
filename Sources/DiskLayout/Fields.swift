// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib

/// Bytes read from a disk, decoded field by field.
///
/// What lies beyond the end reads as zero: a reader checks lengths for its messages, not to stay alive.
struct Fields: Sendable {
    let bytes: [UInt8]
    /// Byte order of the fields: big endian only in md 0.90 superblocks of other machines.
    var isBigEndian = false

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }

    /// Returns the integer at byte `offset`.
    func integer<Integer: FixedWidthInteger>(_ offset: Int, as: Integer.Type = Integer.self) -> Integer {
        var value: Integer = 0
        let size = Integer.bitWidth / 8
        for index in 0..<size {
            let place = offset + (isBigEndian ? index : size - 1 - index)
            guard bytes.indices.contains(place) else { return 0 }
            value = value << 8 | Integer(truncatingIfNeeded: bytes[place])
        }
        return value
    }

    /// Returns `count` bytes from `offset`, fewer at the end.
    func part(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> {
        let start = min(max(offset, 0), bytes.count)
        return bytes[start..<min(start + max(count, 0), bytes.count)]
    }

    /// Returns the text up to the first zero of `count` bytes, invalid UTF-8 replaced.
    func text(_ offset: Int, _ count: Int) -> String {
        String(decoding: part(offset, count).prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// CRC-32 as GPT and zlib define it.
func checksum32(_ bytes: [UInt8]) -> UInt32 {
    UInt32(truncatingIfNeeded: crc32(0, bytes, UInt32(truncatingIfNeeded: bytes.count)))
}

/// Returns `value` in hexadecimal digits, at least `width` of them.
func hex(_ value: some FixedWidthInteger, width: Int, uppercase: Bool = false) -> String {
    let digits = String(value, radix: 16, uppercase: uppercase)
    return String(repeating: "0", count: max(width - digits.count, 0)) + digits
}
