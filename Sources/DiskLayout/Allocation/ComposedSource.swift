// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// A source whose bytes are those of other sources, so that a range of it can be followed down to the disks.
protocol ComposedSource: BlockSource {
    /// What it is made of.
    var bases: [any BlockSource] { get }
    /// Number of ways to read the whole content, each from one copy of everything that is mirrored.
    var copyCount: Int { get }
    /// Returns the same content, read from copy `index` of what is mirrored; the index goes round.
    func copy(_ index: Int) -> any BlockSource
    /// Calls `body` with each range of another source that holds nothing but bytes of `range`, once for every copy.
    ///
    /// - Returns: false, and not all was called, where a place holds more than one content's bytes, as parity does.
    func trace(_ range: Range<Int64>, _ body: (any BlockSource, Range<Int64>) -> Bool) -> Bool
}

extension BlockSource {
    /// Number of ways to read the content: one, where nothing is composed.
    var copies: Int { (self as? any ComposedSource)?.copyCount ?? 1 }
    /// Returns the content as copy `index` has it.
    func reading(copy index: Int) -> any BlockSource { (self as? any ComposedSource)?.copy(index) ?? self }
}

extension SliceSource: ComposedSource {
    var bases: [any BlockSource] { [base] }
    var copyCount: Int { base.copies }

    func copy(_ index: Int) -> any BlockSource {
        SliceSource(base.reading(copy: index), name: name, firstByte: firstByte, length: lengthInBytes)
    }

    func trace(_ range: Range<Int64>, _ body: (any BlockSource, Range<Int64>) -> Bool) -> Bool {
        let part = range.clamped(to: 0..<lengthInBytes)
        return body(base, part.lowerBound + firstByte..<part.upperBound + firstByte)
    }
}

extension RenamedSource: ComposedSource {
    var bases: [any BlockSource] { [base] }
    var copyCount: Int { base.copies }
    func copy(_ index: Int) -> any BlockSource { RenamedSource(base.reading(copy: index), name: name) }
    func trace(_ range: Range<Int64>, _ body: (any BlockSource, Range<Int64>) -> Bool) -> Bool { body(base, range) }
}

extension RAIDSource: ComposedSource {
    var bases: [any BlockSource] { members.compactMap(\.self) }

    var copyCount: Int {
        let counts = members.compactMap { $0?.copies }
        return geometry.pattern == .mirrored ? counts.reduce(0, +) : counts.max() ?? 1
    }

    func copy(_ index: Int) -> any BlockSource {
        guard geometry.pattern == .mirrored else {
            return RAIDSource(
                geometry, members: members.map { $0?.reading(copy: index) }, name: name,
                trustsRedundancy: trustsRedundancy)
        }
        var rest = index % max(copyCount, 1)
        var only = [(any BlockSource)?](repeating: nil, count: members.count)
        for (place, member) in members.enumerated() {
            guard let member else { continue }
            if rest < member.copies {
                only[place] = member.reading(copy: rest)
                break
            }
            rest -= member.copies
        }
        return RAIDSource(geometry, members: only, name: name, trustsRedundancy: trustsRedundancy)
    }

    func trace(_ range: Range<Int64>, _ body: (any BlockSource, Range<Int64>) -> Bool) -> Bool {
        for (index, part) in geometry.memberRanges(range) ?? [] {
            guard members.indices.contains(index) else { return false }
            // What a missing member held is on none of the disks.
            guard let member = members[index] else { continue }
            guard body(member, part) else { return false }
        }
        return geometry.memberRanges(range) != nil
    }
}

extension RAIDGeometry {
    /// Returns for each member the one range of it that holds the array's bytes in `range`.
    ///
    /// Nil for parity, copies in turns, and stripes over members of different lengths: there no such range holds
    /// nothing else.
    func memberRanges(_ range: Range<Int64>) -> [(member: Int, range: Range<Int64>)]? {
        guard range.lowerBound >= 0, range.upperBound <= length else { return nil }
        switch pattern {
        case .mirrored: return (0..<members).map { ($0, range) }
        case .concatenated:
            var found: [(Int, Range<Int64>)] = []
            var start: Int64 = 0
            for (member, end) in concatenated.enumerated() {
                let part = range.clamped(to: start..<end)
                if !part.isEmpty { found.append((member, part.lowerBound - start..<part.upperBound - start)) }
                start = end
            }
            return found
        case .striped:
            guard isEvenlyStriped else { return nil }
            return (0..<members).compactMap { member in
                let part = share(of: member, below: range.lowerBound)..<share(of: member, below: range.upperBound)
                return part.isEmpty ? nil : (member, part)
            }
        case .copied, .parity: return nil
        }
    }

    /// Returns how many of the first `end` bytes of an even stripe lie on `member`.
    private func share(of member: Int, below end: Int64) -> Int64 {
        let row = chunk * Int64(members)
        let rest = end % row - chunk * Int64(member)
        return end / row * chunk + min(max(rest, 0), chunk)
    }
}
