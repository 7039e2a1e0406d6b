// SPDX-License-Identifier: GPL-3.0-or-later

/// A sum over a set of numbers, to hold two large sets against each other without keeping either.
///
/// Equal sets have equal sums, whatever the order; unequal ones do not, but for a chance of 2^-128, as each process
/// mixes the numbers in another way. Each number must be added once.
struct XFSFingerprint: Equatable {
    private static let seed = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max))

    private var low: UInt64 = 0
    private var high: UInt64 = 0
    private(set) var count: UInt64 = 0

    /// Adds one element, given by two numbers.
    mutating func add(_ one: UInt64, _ other: UInt64) {
        low &+= Self.mix(Self.mix(one ^ Self.seed.0) ^ other)
        high &+= Self.mix(Self.mix(one ^ Self.seed.1) &+ other)
        count += 1
    }

    /// Spreads the bits of `value` over all 64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
