// SPDX-License-Identifier: GPL-3.0-or-later

/// Where the bytes of a RAID array lie on its members, counted from the start of each member's data.
///
/// The arithmetic is that of Linux drivers/md: raid0.c, raid1.c, raid10.c, raid5.c and md-linear.c, which LVM2's RAID
/// volumes use as well. Offsets are in bytes and must not be negative; an array of this geometry is shorter than 63
/// bits can count.
enum RAIDGeometry: Sendable, Hashable {
    /// One member after the other, each of this many bytes.
    case linear([Int64])
    /// Stripes over zones of members that are equally long.
    case striped(zones: [Zone], chunk: Int64, countsFromZone: Bool)
    /// Every member holds everything.
    case mirror(Int)
    /// Copies of each chunk on several members.
    case copies(CopiesLayout)
    /// Stripes with one parity chunk, or two.
    case parity(ParityLayout)

    /// A part of a striped array that lies on the same members throughout.
    struct Zone: Sendable, Hashable {
        /// First byte behind the zone in the array.
        var end: Int64
        /// First byte of the zone on each of its members.
        var memberStart: Int64
        /// The members, by their roles.
        var roles: [Int]
    }

    /// A byte of a member.
    struct Place: Sendable, Hashable {
        var role: Int
        var offset: Int64
    }

    /// A run of bytes that lies in one piece on a member.
    struct Piece: Sendable, Hashable {
        /// Length in bytes, positive.
        var length: Int64
        /// Where the run begins: each of these places holds it.
        var copies: [Place]
        /// Places whose exclusive or is the run; empty without parity.
        var parity: [Place] = []
    }

    /// Returns the piece that begins at byte `offset` of the array; nil behind its end.
    func piece(at offset: Int64) -> Piece? {
        switch self {
        case .linear(let sizes):
            var start: Int64 = 0
            for (role, size) in sizes.enumerated() {
                if offset - start < size {
                    return Piece(length: size - (offset - start), copies: [Place(role: role, offset: offset - start)])
                }
                start += size
            }
            return nil
        case .striped(let zones, let chunk, let countsFromZone):
            var start: Int64 = 0
            for zone in zones {
                defer { start = zone.end }
                guard offset < zone.end, !zone.roles.isEmpty else { continue }
                let inZone = offset - start
                let number = (countsFromZone ? inZone : offset) / chunk
                let inChunk = (countsFromZone ? inZone : offset) % chunk
                let row = inZone / (chunk * Int64(zone.roles.count))
                let role = zone.roles[Int(number % Int64(zone.roles.count))]
                return Piece(
                    length: min(chunk - inChunk, zone.end - offset),
                    copies: [Place(role: role, offset: zone.memberStart + row * chunk + inChunk)])
            }
            return nil
        case .mirror(let count):
            return Piece(length: .max - offset, copies: (0..<count).map { Place(role: $0, offset: offset) })
        case .copies(let layout): return layout.piece(at: offset)
        case .parity(let layout): return layout.piece(at: offset)
        }
    }

    /// Returns stripes over members of these lengths in bytes, which the driver cuts to whole chunks.
    ///
    /// - Parameter countsFromZone: whether chunks are counted from the start of each zone, as Linux 3.14 and later do,
    ///   instead of from that of the array; nil when nobody knows, which matters with several zones only.
    /// - Returns: nil when it would matter, and for lengths or chunks that are not possible.
    static func striped(lengths: [Int64], chunk: Int64, countsFromZone: Bool?) -> (RAIDGeometry, length: Int64)? {
        guard chunk > 0, !lengths.isEmpty, lengths.allSatisfy({ $0 >= 0 && $0 <= Int64.max / Int64(lengths.count) })
        else { return nil }
        let whole = lengths.map { $0 - $0 % chunk }
        var zones: [Zone] = []
        var (start, end): (Int64, Int64) = (0, 0)
        for size in Set(whole).sorted() where size > start {
            let roles = whole.indices.filter { whole[$0] > start }
            end += (size - start) * Int64(roles.count)
            zones.append(Zone(end: end, memberStart: start, roles: roles))
            start = size
        }
        // A last zone of one member reads the same either way.
        let matters = zones.count > 2 || (zones.count == 2 && zones[1].roles.count > 1)
        guard !zones.isEmpty, countsFromZone != nil || !matters else { return nil }
        return (.striped(zones: zones, chunk: chunk, countsFromZone: countsFromZone ?? true), end)
    }
}

/// The copies of RAID 10: near ones side by side, far ones further down on other members, or a stripe below (offset).
///
/// Linux drivers/md/raid10.c, `setup_geo` and `__raid10_find_phys`.
struct CopiesLayout: Sendable, Hashable {
    private let members: Int
    private let chunk: Int64
    private let near: Int
    private let far: Int
    private let isOffset: Bool
    /// Members among which far copies are turned.
    private let setSize: Int
    /// Bytes from one far copy to the next on a member.
    private let stride: Int64
    /// Bytes of the array.
    let lengthInBytes: Int64

    /// Makes the layout of the superblock's number; nil when it is not possible.
    ///
    /// - Parameter memberLength: bytes that the array uses of each member.
    init?(layout: UInt32, members: Int, chunk: Int64, memberLength: Int64) {
        near = Int(layout & 0xff)
        far = Int(layout >> 8 & 0xff)
        isOffset = layout & 1 << 16 != 0
        guard near > 0, far > 0, near * far <= members, chunk > 0, memberLength >= 0 else { return nil }
        switch layout >> 17 {
        case 0: setSize = members
        case 1: setSize = members / far
        case 2: setSize = near * far
        default: return nil
        }
        self.members = members
        self.chunk = chunk
        let chunks = memberLength / chunk / Int64(far)
        let (product, isTooMuch) = chunks.multipliedReportingOverflow(by: Int64(members))
        guard !isTooMuch, product / Int64(near) <= Int64.max / chunk / Int64(near * far) else { return nil }
        let count = product / Int64(near)
        lengthInBytes = count * chunk
        // Chunks a member, rounded up, of which each far copy has its share.
        let used = (count * Int64(near * far) + Int64(members) - 1) / Int64(members)
        stride = isOffset ? chunk : used / Int64(far) * chunk
    }

    func piece(at offset: Int64) -> RAIDGeometry.Piece? {
        guard offset < lengthInBytes else { return nil }
        let (number, inChunk) = (offset / chunk * Int64(near), offset % chunk)
        var member = Int(number % Int64(members))
        var start = number / Int64(members) * (isOffset ? Int64(far) : 1) * chunk + inChunk
        // The last set takes the members that are left over.
        let lastStart = (members / setSize - 1) * setSize
        let lastSize = setSize + members % setSize
        var places: [RAIDGeometry.Place] = []
        for _ in 0..<near {
            var (turned, below) = (member, start)
            places.append(.init(role: turned, offset: below))
            for _ in 1..<far {
                let set = turned / setSize
                turned += near
                if members % setSize != 0, turned > lastStart {
                    turned = (turned - lastStart) % lastSize + lastStart
                } else {
                    turned = turned % setSize + setSize * set
                }
                below += stride
                if turned < members { places.append(.init(role: turned, offset: below)) }
            }
            member += 1
            if member == members {
                member = 0
                start += chunk
            }
        }
        return RAIDGeometry.Piece(length: chunk - inChunk, copies: places)
    }
}

/// Where data and parity chunks lie in RAID 4, 5 and 6.
///
/// Linux drivers/md/raid5.c, `raid5_compute_sector`; the numbers are those of drivers/md/raid5.h, ALGORITHM_….
struct ParityLayout: Sendable, Hashable {
    private let algorithm: UInt32
    private let members: Int
    private let parityChunks: Int
    private let chunk: Int64
    private var dataChunks: Int { members - parityChunks }
    /// Bytes of the array.
    let lengthInBytes: Int64

    /// RAID 4: the last member holds the parity.
    static let parityLast: UInt32 = 5
    static let parityFirst: UInt32 = 4

    /// Makes the layout of the superblock's number; nil when it is not known or not possible.
    ///
    /// - Parameters:
    ///   - parityChunks: 1, or 2 for RAID 6.
    ///   - memberLength: bytes that the array uses of each member.
    init?(algorithm: UInt32, members: Int, parityChunks: Int, chunk: Int64, memberLength: Int64) {
        let known: Set<UInt32> =
            parityChunks == 1 ? [0, 1, 2, 3, 4, 5] : [0, 1, 2, 3, 4, 5, 8, 9, 10, 16, 17, 18, 19, 20]
        guard known.contains(algorithm), members > parityChunks, members > 1, chunk > 0, memberLength >= 0 else {
            return nil
        }
        self.algorithm = algorithm
        self.members = members
        self.parityChunks = parityChunks
        self.chunk = chunk
        let used = memberLength - memberLength % chunk
        guard used <= Int64.max / Int64(members) else { return nil }
        lengthInBytes = used * Int64(members - parityChunks)
    }

    func piece(at offset: Int64) -> RAIDGeometry.Piece? {
        guard offset < lengthInBytes else { return nil }
        let (number, inChunk) = (offset / chunk, offset % chunk)
        let stripe = number / Int64(dataChunks)
        let (_, second, data) = roles(stripe, Int(number % Int64(dataChunks)))
        let start = stripe * chunk + inChunk
        return RAIDGeometry.Piece(
            length: chunk - inChunk, copies: [.init(role: data, offset: start)],
            // The first parity is the exclusive or of the data; the second one is not used.
            parity: (0..<members).filter { $0 != data && $0 != second }.map { .init(role: $0, offset: start) })
    }

    /// Returns the members that hold parity, second parity and chunk `index` of the data in `stripe`.
    private func roles(_ stripe: Int64, _ index: Int) -> (parity: Int, second: Int?, data: Int) {
        parityChunks == 1 ? single(stripe, index, members) : double(stripe, index)
    }

    private func single(_ stripe: Int64, _ index: Int, _ members: Int) -> (parity: Int, second: Int?, data: Int) {
        let turn = Int(stripe % Int64(members))
        switch algorithm & 0xf {
        case 0, 2:
            let parity = members - 1 - turn
            let isSymmetric = algorithm & 0xf == 2
            return (parity, nil, isSymmetric ? (parity + 1 + index) % members : index + (index >= parity ? 1 : 0))
        case 1, 3:
            return (turn, nil, algorithm & 0xf == 3 ? (turn + 1 + index) % members : index + (index >= turn ? 1 : 0))
        case 4: return (0, nil, index + 1)
        default: return (members - 1, nil, index)
        }
    }

    private func double(_ stripe: Int64, _ index: Int) -> (parity: Int, second: Int?, data: Int) {
        let turn = Int(stripe % Int64(members))
        switch algorithm {
        case 0: return around(members - 1 - turn, index)
        case 1, 8: return around(turn, index)
        case 9: return around(members - 1 - Int((stripe % Int64(members) + 1) % Int64(members)), index)
        case 2:
            let parity = members - 1 - turn
            return (parity, (parity + 1) % members, (parity + 2 + index) % members)
        case 3: return (turn, (turn + 1) % members, (turn + 2 + index) % members)
        case 4: return (0, 1, index + 2)
        case 5: return (members - 2, members - 1, index)
        case 10:
            let parity = members - 1 - turn
            return (parity, (parity + members - 1) % members, (parity + 1 + index) % members)
        default:
            // As RAID 5 on all members but the last, which holds the second parity.
            let (parity, _, data) = single(stripe, index, members - 1)
            return (parity, members - 1, data)
        }
    }

    /// Puts the second parity behind the first, and the data around both.
    private func around(_ parity: Int, _ index: Int) -> (parity: Int, second: Int?, data: Int) {
        if parity == members - 1 { return (parity, 0, index + 1) }
        return (parity, parity + 1, index + (index >= parity ? 2 : 0))
    }
}
