// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import DiskLayout

/// Tells what lies where a disk could not be read.
enum LossMap {
    /// Returns the volumes of `places` that `unreadable` ranges lie in, in their order, and last what lies in none.
    static func losses(_ unreadable: [ByteRange], in places: [VolumePlace]) -> [LossRecord]? {
        guard !unreadable.isEmpty, !places.isEmpty else { return nil }
        var lost: [(volume: String, length: Int64)] = []
        var elsewhere: Int64 = 0
        for bad in unreadable {
            let range = bad.offset..<bad.offset + bad.length
            var covered: [Range<Int64>] = []
            for place in places {
                let part = place.range.clamped(to: range)
                guard !part.isEmpty else { continue }
                covered.append(part)
                let length = part.upperBound - part.lowerBound
                if let index = lost.firstIndex(where: { $0.volume == place.volume }) {
                    lost[index].length += length
                } else {
                    lost.append((place.volume, length))
                }
            }
            elsewhere += bad.length - union(covered)
        }
        let records = lost.map { LossRecord(volume: $0.volume, lengthInBytes: $0.length) }
        return records + (elsewhere > 0 ? [LossRecord(volume: nil, lengthInBytes: elsewhere)] : [])
    }

    private static func union(_ ranges: [Range<Int64>]) -> Int64 {
        var end = Int64.min
        var total: Int64 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.upperBound > end {
            total += range.upperBound - max(range.lowerBound, end)
            end = range.upperBound
        }
        return total
    }
}
