// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What of a swap area is worth keeping: its header.
///
/// The signature ends the first page: `SWAPSPACE2` in its last ten bytes; a system that sleeps there has put another
/// one in its place. Linux include/linux/swap.h, union swap_header.
enum SwapSpace {
    /// Bytes that are kept: more than the largest page, and whatever stands in front of it.
    private static let headerLength: Int64 = 1 << 20

    /// Returns the range whose content died with the system that wrote it; nil when this is no plain swap area.
    static func content(of source: any BlockSource) throws(BlockError) -> Range<Int64>? {
        guard source.lengthInBytes > headerLength else { return 0..<0 }
        for pageSize in [4096, 8192, 16384, 32768, 65536] as [Int64] {
            let place = pageSize - Int64(source.logicalSectorSize)
            let end = try source.bytes(at: place, count: source.logicalSectorSize).suffix(10)
            if end.elementsEqual("SWAPSPACE2".utf8) { return headerLength..<source.lengthInBytes }
        }
        return nil
    }
}
