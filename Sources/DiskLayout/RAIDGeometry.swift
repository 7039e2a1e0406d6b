// SPDX-License-Identifier: GPL-3.0-or-later

/// Where an array keeps its data: from a byte of the array to a member and a byte of it.
///
/// Linux drivers/md/raid0.c, raid10.c and raid5.c; the numbers of layouts are those of raid5.h.
struct RAIDGeometry: Sendable, Hashable {
    /// How data lie on the members.
    enum Pattern: Sendable, Hashable {
        /// One member behind the other.
        case concatenated
        /// The same on every member.
        case mirrored
        /// Chunks in turns; `zones` where members differ in length.
        case striped
        /// Chunks in turns, each on several members: RAID 10.
        case copied(near: Int, far: Int, isOffset: Bool)
        /// Chunks in turns with one or two parity chunks a row: RAID 4, 5, 6; `algorithm` as raid5.h numbers them.
        case parity(count: Int, algorithm: Int)
    }

    /// A range of one member.
    struct Place: Sendable, Hashable {
        var member: Int
        var offset: Int64
        /// Bytes that lie there in a row.
        var length: Int64
        /// Members whose exclusive-or is the same range, when there is a parity.
        var group: [Int] = []
    }

    /// A stretch of a striped array over the members that are long enough for it.
    private struct Zone: Hashable, Sendable {
        var start: Int64
        var end: Int64
        var memberStart: Int64
        var members: [Int]
    }

    let pattern: Pattern
    /// Bytes a chunk; whatever for patterns without.
    let chunk: Int64
    let members: Int
    /// Bytes that the array offers.
    let length: Int64
    private let memberLength: Int64
    private var zones: [Zone] = []
    /// Where each member's bytes end in the array, when one is behind the other.
    private(set) var concatenated: [Int64] = []
    /// Whether chunks go round over all members from begin to end.
    var isEvenlyStriped: Bool { pattern == .striped && zones.count == 1 && zones[0].members.count == members }
    private let countsChunksFromZone: Bool

    /// Takes the pattern, and the bytes that each member offers; nil for what cannot be.
    ///
    /// - Parameter countsChunksFromZone: how members of different lengths are striped, nil when nothing tells.
    init?(_ pattern: Pattern, chunk: Int64, memberLengths: [Int64], countsChunksFromZone: Bool? = nil) {
        guard !memberLengths.isEmpty, memberLengths.count <= 4096, memberLengths.allSatisfy({ $0 > 0 && $0 < 1 << 60 })
        else { return nil }
        let needsChunk = pattern != .concatenated && pattern != .mirrored
        guard !needsChunk || (chunk >= 512 && chunk <= 1 << 40) else { return nil }
        self.pattern = pattern
        self.chunk = chunk
        members = memberLengths.count
        self.countsChunksFromZone = countsChunksFromZone ?? true
        let shortest = needsChunk ? (memberLengths.min() ?? 0) / chunk * chunk : memberLengths.min() ?? 0
        memberLength = shortest
        let count = Int64(memberLengths.count)
        let (total, overflow): (Int64, Bool)
        switch pattern {
        case .concatenated:
            var ends: [Int64] = []
            for length in memberLengths {
                let (end, over) = (ends.last ?? 0).addingReportingOverflow(length)
                guard !over else { return nil }
                ends.append(end)
            }
            concatenated = ends
            (total, overflow) = (ends.last ?? 0, false)
        case .mirrored: (total, overflow) = (shortest, false)
        case .striped:
            guard let zones = Self.zones(memberLengths.map { $0 / chunk * chunk }), let last = zones.last,
                zones.count == 1 || countsChunksFromZone != nil
            else { return nil }
            self.zones = zones
            (total, overflow) = (last.end, false)
        case .copied(let near, let far, _):
            guard near > 0, far > 0, near * far <= members, near <= 255, far <= 255 else { return nil }
            let rows = shortest / chunk / Int64(far)
            let (chunks, over) = rows.multipliedReportingOverflow(by: count)
            (total, overflow) = over ? (0, true) : (chunks / Int64(near)).multipliedReportingOverflow(by: chunk)
        case .parity(let parities, let algorithm):
            guard parities == 1 || parities == 2, members > parities,
                (0...10).contains(algorithm) || (16...20).contains(algorithm)
            else { return nil }
            (total, overflow) = shortest.multipliedReportingOverflow(by: count - Int64(parities))
        }
        guard !overflow, total > 0 else { return nil }
        length = total
    }

    /// Returns the places, the preferred first, that hold the array's bytes from `offset` on, which is inside it.
    func places(at offset: Int64) -> [Place] {
        switch pattern {
        case .concatenated:
            let member = concatenated.firstIndex { offset < $0 } ?? 0
            let start = member == 0 ? 0 : concatenated[member - 1]
            return [Place(member: member, offset: offset - start, length: concatenated[member] - offset)]
        case .mirrored:
            return (0..<members).map { Place(member: $0, offset: offset, length: length - offset) }
        case .striped: return [striped(offset)]
        case .copied(let near, let far, let isOffset): return copied(offset, near, far, isOffset)
        case .parity(let parities, let algorithm): return [parity(offset, parities, algorithm)]
        }
    }

    private static func zones(_ lengths: [Int64]) -> [Zone]? {
        var zones: [Zone] = []
        var done: Int64 = 0
        for length in Set(lengths).sorted() where length > 0 {
            let members = lengths.indices.filter { lengths[$0] >= length }
            let start = zones.last?.end ?? 0
            let (size, overflow) = (length - done).multipliedReportingOverflow(by: Int64(members.count))
            guard !overflow, start <= Int64.max - size else { return nil }
            zones.append(Zone(start: start, end: start + size, memberStart: done, members: members))
            done = length
        }
        return zones
    }

    private func striped(_ offset: Int64) -> Place {
        let zone = zones.first { offset < $0.end } ?? zones[0]
        let count = Int64(zone.members.count)
        let inZone = offset - zone.start
        let row = inZone / (chunk * count)
        let number = (countsChunksFromZone ? inZone : offset) / chunk
        let within = inZone % chunk
        return Place(
            member: zone.members[Int(number % count)], offset: zone.memberStart + row * chunk + within,
            length: chunk - within)
    }

    private func copied(_ offset: Int64, _ near: Int, _ far: Int, _ isOffset: Bool) -> [Place] {
        let within = offset % chunk
        let first = offset / chunk * Int64(near)
        var row = first / Int64(members)
        if isOffset { row *= Int64(far) }
        let stride = isOffset ? chunk : memberLength / chunk / Int64(far) * chunk
        var places: [Place] = []
        for copy in 0..<near {
            let position = first % Int64(members) + Int64(copy)
            let member = Int(position % Int64(members))
            let start = (row + position / Int64(members)) * chunk + within
            for distance in 0..<far {
                places.append(
                    Place(
                        member: (member + near * distance) % members, offset: start + stride * Int64(distance),
                        length: chunk - within))
            }
        }
        return places.sorted { $0.offset < $1.offset }
    }

    private func parity(_ offset: Int64, _ parities: Int, _ algorithm: Int) -> Place {
        let within = offset % chunk
        let dataMembers = Int64(members - parities)
        let row = offset / chunk / dataMembers
        let data = Int(offset / chunk % dataMembers)
        let (member, q) =
            parities == 1 ? (row5(row, data, algorithm, members), nil) : row6(row, data, algorithm)
        return Place(
            member: member, offset: row * chunk + within, length: chunk - within,
            group: (0..<members).filter { $0 != member && $0 != q })
    }

    /// Returns the member of the `data`th chunk of `row` with one parity.
    private func row5(_ row: Int64, _ data: Int, _ algorithm: Int, _ members: Int) -> Int {
        let turn = Int(row % Int64(members))
        switch algorithm {
        case 0: return data >= members - 1 - turn ? data + 1 : data
        case 1: return data >= turn ? data + 1 : data
        case 2: return (members - turn + data) % members
        case 3: return (turn + 1 + data) % members
        case 4: return data + 1
        default: return data
        }
    }

    /// Returns the member of the `data`th chunk of `row`, and that of the second parity.
    private func row6(_ row: Int64, _ data: Int, _ algorithm: Int) -> (member: Int, q: Int?) {
        let turn = Int(row % Int64(members))
        func restarting(_ p: Int) -> (Int, Int?) {
            if p == members - 1 { return (data + 1, 0) }
            return (data >= p ? data + 2 : data, p + 1)
        }
        switch algorithm {
        case 0: return restarting(members - 1 - turn)
        // 8 differs in the order of the second parity's terms only.
        case 1, 8: return restarting(turn)
        case 2: return ((members - turn + 1 + data) % members, (members - turn) % members)
        case 3: return ((turn + 2 + data) % members, (turn + 1) % members)
        case 4: return (data + 2, 1)
        case 9: return restarting(members - 1 - Int((row + 1) % Int64(members)))
        case 10:
            let p = members - 1 - turn
            return ((p + 1 + data) % members, (p + members - 1) % members)
        // RAID 5 on all but the last, which has the second parity.
        case 16...20: return (row5(row, data, algorithm - 16, members - 1), members - 1)
        default: return (data, members - 1)
        }
    }
}

extension RAIDGeometry.Pattern {
    /// Tells whether all data are there without the members in `missing`, of `count`.
    func survives(without missing: Set<Int>, of count: Int) -> Bool {
        switch self {
        case _ where missing.isEmpty: return true
        case .concatenated, .striped: return false
        case .mirrored: return missing.count < count
        case .parity(let parities, _): return missing.count <= parities
        case .copied(let near, let far, _):
            // Copies lie on members in a row; near ones that fill the members evenly form fixed sets.
            let copies = far == 1 ? near : near == 1 ? far : 0
            guard copies > 1, copies <= count else { return false }
            let step = far == 1 && count % copies == 0 ? copies : 1
            return !stride(from: 0, to: count, by: step).contains { first in
                (0..<copies).allSatisfy { missing.contains((first + $0) % count) }
            }
        }
    }
}
