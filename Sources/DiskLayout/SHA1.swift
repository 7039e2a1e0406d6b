// SPDX-License-Identifier: GPL-3.0-or-later

/// SHA-1 of a few bytes, from which mdadm(8) makes the UUIDs of firmware RAID: an identity, not a protection.
///
/// RFC 3174, section 6.1.
enum SHA1 {
    /// Returns the 20 bytes of the digest.
    static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var message = bytes + [0x80]
        message += [UInt8](repeating: 0, count: (120 - message.count % 64) % 64)
        let length = UInt64(bytes.count) * 8
        message += (0..<8).map { UInt8(truncatingIfNeeded: length >> UInt64(56 - $0 * 8)) }
        var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
        for start in stride(from: 0, to: message.count, by: 64) { add(Fields(message[start..<start + 64]), to: &state) }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - $0 * 8)) } }
    }

    private static func add(_ little: Fields, to state: inout [UInt32]) {
        var block = little
        block.isBigEndian = true
        var words = (0..<16).map { block.integer($0 * 4, as: UInt32.self) }
        for index in 16..<80 {
            words.append(rotate(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], by: 1))
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for (index, word) in words.enumerated() {
            let (mixed, constant): (UInt32, UInt32)
            switch index {
            case 0..<20: (mixed, constant) = (b & c | ~b & d, 0x5a82_7999)
            case 20..<40: (mixed, constant) = (b ^ c ^ d, 0x6ed9_eba1)
            case 40..<60: (mixed, constant) = (b & c | b & d | c & d, 0x8f1b_bcdc)
            default: (mixed, constant) = (b ^ c ^ d, 0xca62_c1d6)
            }
            let next = rotate(a, by: 5) &+ mixed &+ e &+ constant &+ word
            (e, d, c, b, a) = (d, c, rotate(b, by: 30), a, next)
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }

    private static func rotate(_ value: UInt32, by count: UInt32) -> UInt32 { value << count | value >> (32 - count) }
}

extension MDUUID {
    /// Makes the UUID that mdadm(8) derives from `identity`: the digest's first words, as a little-endian machine
    /// prints them.
    init(hashing identity: [UInt8]) {
        let words = Fields(SHA1.digest(identity))
        self.init(bytes: (0..<4).flatMap { Array(words.part($0 * 4, 4).reversed()) })
    }
}
