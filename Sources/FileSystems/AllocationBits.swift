// SPDX-License-Identifier: GPL-3.0-or-later

/// Reads a bitmap of allocation units, the lowest bit of a byte first and 1 for used, into free runs.
struct AllocationBits {
    /// What is free, as far as it was read.
    private(set) var free = FreeRuns()
    /// Units that are used.
    private(set) var usedCount: Int64 = 0
    private let base: Int64
    private let unit: Int64
    private let limit: Int64
    private var position: Int64 = 0
    private var start: Int64?

    /// Makes ready for a bitmap whose first bit is the unit of `unit` bytes at byte `base`.
    ///
    /// Nothing from byte `limit` on is free, whatever the bits say.
    init(base: Int64, unit: Int64, limit: Int64) {
        self.base = base
        self.unit = unit
        self.limit = limit
    }

    /// Reads the first `count` bits of `bytes`, which follow those that were read before.
    mutating func add(_ bytes: [UInt8], count: Int) {
        let end = position + Int64(min(count, bytes.count * 8))
        bytes.withUnsafeBytes { bytes in
            var place = 0
            while position < end {
                let left = Int(end - position)
                var word: UInt64 = 0
                if bytes.count - place >= 8 {
                    word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                } else {
                    for index in place..<bytes.count { word |= UInt64(bytes[index]) << UInt64(8 * (index - place)) }
                }
                add(word, count: min(left, 64))
                place += 8
            }
        }
    }

    /// Reads the `count` lowest bits of `word`.
    private mutating func add(_ word: UInt64, count: Int) {
        var left = count
        var rest = word
        while left > 0 {
            let isUsed = rest & 1 == 1
            let same = min((isUsed ? ~rest : rest).trailingZeroBitCount, left)
            if isUsed {
                close()
                usedCount += Int64(same)
            } else if start == nil {
                start = position
            }
            position += Int64(same)
            left -= same
            rest = same < 64 ? rest >> UInt64(same) : 0
        }
    }

    private mutating func close() {
        guard let start else { return }
        free.append(min(base + start * unit, limit)..<min(base + position * unit, limit))
        self.start = nil
    }

    /// Ends the last run, and returns all of them.
    mutating func finish() -> FreeRuns {
        close()
        return free
    }
}
