// SPDX-License-Identifier: GPL-3.0-or-later

/// A run of logical addresses, and the pieces of devices that hold it.
///
/// Linux include/uapi/linux/btrfs_tree.h, `btrfs_chunk`, `btrfs_stripe`.
struct BtrfsChunk: Sendable, Hashable {
    /// What a chunk may hold, and how it is spread: bits of its type.
    enum Kind {
        static let data: UInt64 = 1 << 0
        static let system: UInt64 = 1 << 1
        static let metadata: UInt64 = 1 << 2
        /// All three.
        static let mask: UInt64 = 7
        static let raid0: UInt64 = 1 << 3
        static let raid10: UInt64 = 1 << 6
        static let raid5: UInt64 = 1 << 7
        static let raid6: UInt64 = 1 << 8
        /// All that there are, up to RAID1 of four copies.
        static let known: UInt64 = 0x7ff
        static let striped = raid0 | raid10 | raid5 | raid6
    }

    /// A piece of a device.
    struct Stripe: Sendable, Hashable {
        var device: UInt64
        var offset: UInt64
    }

    /// No address is above this, so that sums do not overflow.
    static let highest: UInt64 = 1 << 62

    let logical: UInt64
    let length: UInt64
    let type: UInt64
    let stripes: [Stripe]
    /// Length of each of its pieces.
    let stripeLength: UInt64
    /// First bytes of the copies on this device; empty where it is striped over several, or lies on others.
    let copies: [Int64]

    var end: UInt64 { logical + length }
    /// Whether it is spread over several pieces, so that none of them is a copy.
    var isStriped: Bool { type & Kind.striped != 0 && stripes.count > 1 }

    /// Decodes a chunk item, and returns how long it is; nil when it is wrong.
    ///
    /// Length, owner, stripe length, type, three sizes, number of stripes, of sub-stripes; for each stripe device, offset
    /// and UUID. RAID0, RAID10, RAID5, RAID6 over one device are a plain copy.
    static func decode(
        _ fields: ByteFields, _ key: BtrfsKey, device: UInt64, deviceLength: Int64
    ) -> (chunk: BtrfsChunk, size: Int)? {
        let count = Int(fields.little(44, as: UInt16.self))
        let size = 48 + count * 32
        let length: UInt64 = fields.little(0)
        let type: UInt64 = fields.little(24)
        guard count > 0, fields.count >= size, length > 0, length <= highest, key.offset <= highest else { return nil }
        let parts: UInt64
        switch type & Kind.striped {
        case 0: parts = 1
        case Kind.raid0: parts = UInt64(count)
        case Kind.raid10: parts = UInt64(count) / UInt64(max(fields.little(46, as: UInt16.self), 1))
        case Kind.raid5: parts = UInt64(max(count - 1, 1))
        case Kind.raid6: parts = UInt64(max(count - 2, 1))
        default: return nil
        }
        guard parts > 0, length % parts == 0 else { return nil }
        let stripes = (0..<count).map {
            Stripe(device: fields.little(48 + $0 * 32), offset: fields.little(56 + $0 * 32))
        }
        var copies: [Int64] = []
        for stripe in stripes where stripe.device == device {
            guard stripe.offset <= highest, length / parts <= UInt64(deviceLength),
                stripe.offset <= UInt64(deviceLength) - length / parts
            else { return nil }
            copies.append(Int64(stripe.offset))
        }
        if type & Kind.striped != 0, count > 1 { copies = [] }
        let chunk = BtrfsChunk(
            logical: key.offset, length: length, type: type, stripes: stripes, stripeLength: length / parts,
            copies: copies)
        return (chunk, size)
    }
}
