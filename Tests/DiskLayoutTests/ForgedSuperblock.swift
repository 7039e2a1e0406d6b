// SPDX-License-Identifier: GPL-3.0-or-later

/// md superblocks written field by field from the format's description, with nothing of the reader's code.
enum ForgedSuperblock {
    static let arrayUUID: [UInt8] = [
        0x3a, 0x4f, 0x8e, 0x10, 0x77, 0xc2, 0xd5, 0xb1, 0x90, 0xab, 0x12, 0xcd, 0xef, 0x34, 0x56, 0x78,
    ]

    /// Stores `value` little-endian, or big-endian.
    static func put(_ value: some FixedWidthInteger, _ offset: Int, _ bytes: inout [UInt8], big: Bool = false) {
        let stored = big ? value.bigEndian : value.littleEndian
        withUnsafeBytes(of: stored) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
    }

    /// A superblock of version 1 for the byte `place`: RAID 5 of 3, unless told.
    static func version1(
        place: UInt64, number: UInt32 = 1, roles: [UInt16] = [0, 1, 2, 0xffff], level: Int32 = 5, layout: UInt32 = 2,
        raidDisks: UInt32 = 3, events: UInt64 = 42, features: UInt32 = 1
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1024)
        put(UInt32(0xa92b_4efc), 0, &bytes)
        put(UInt32(1), 4, &bytes)
        put(features, 8, &bytes)
        bytes.replaceSubrange(16..<32, with: arrayUUID)
        bytes.replaceSubrange(32..<42, with: Array("server:md7".utf8))
        put(UInt64(1_700_000_000), 64, &bytes)
        put(level, 72, &bytes)
        put(layout, 76, &bytes)
        put(UInt64(100_352), 80, &bytes)
        put(UInt32(1024), 88, &bytes)
        put(raidDisks, 92, &bytes)
        if features & 1 != 0 { put(Int32(8), 96, &bytes) }
        put(UInt64(2048), 128, &bytes)
        put(UInt64(100_352), 136, &bytes)
        put(place / 512, 144, &bytes)
        put(number, 160, &bytes)
        bytes.replaceSubrange(168..<184, with: arrayUUID.reversed())
        put(UInt64(1_700_000_500), 192, &bytes)
        put(events, 200, &bytes)
        put(UInt64.max, 208, &bytes)
        put(UInt32(roles.count), 220, &bytes)
        for (index, role) in roles.enumerated() { put(role, 256 + index * 2, &bytes) }
        var sum: UInt64 = 0
        let end = 256 + roles.count * 2
        for offset in stride(from: 0, to: end, by: 2) {
            let half = UInt64(bytes[offset]) | UInt64(bytes[offset + 1]) << 8
            // The last half word stands alone, as a low one.
            sum += offset % 4 == 0 ? half : half << 16
        }
        put(UInt32(truncatingIfNeeded: sum % (1 << 32) + sum / (1 << 32)), 216, &bytes)
        return bytes
    }

    /// A superblock of version 0.90: RAID 1 of 2, member 1.
    static func version0(big: Bool = false) -> [UInt8] {
        var words = [UInt32](repeating: 0, count: 1024)
        words[0] = 0xa92b_4efc
        words[2] = 90
        words[5] = 0x3a4f_8e10
        words[6] = 1_700_000_000
        words[7] = 1
        words[8] = 65_472
        (words[9], words[10], words[11]) = (2, 2, 3)
        (words[13], words[14], words[15]) = (0x77c2_d5b1, 0x90ab_12cd, 0xef34_5678)
        words[32] = 1_700_000_500
        (words[33], words[34], words[35]) = (1, 2, 2)
        words[big ? 40 : 39] = 42
        for disk in 0..<2 {
            let start = 128 + disk * 32
            (words[start], words[start + 3], words[start + 4]) = (UInt32(disk), UInt32(disk), 6)
        }
        (words[992], words[995], words[996]) = (1, 1, 6)
        let sum = words.reduce(UInt64(0)) { $0 + UInt64($1) }
        words[38] = UInt32(truncatingIfNeeded: sum % (1 << 32) + sum / (1 << 32))
        var bytes = [UInt8](repeating: 0, count: 4096)
        for (index, word) in words.enumerated() { put(word, index * 4, &bytes, big: big) }
        return bytes
    }
}
