// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import FileSystems
internal import SystemPackage

/// Tells what a set of disks loses with ranges that cannot be read: which volumes, and what of their file systems.
///
/// Made after everything readable is safe. The bad ranges are not read again: they fail at once here.
public struct LossSurvey: Sendable {
    /// What one volume loses on one disk.
    public struct Volume: Sendable, Hashable {
        /// What messages call it: `/dev/sda2`, `vg0/root`.
        public var name: String
        /// libblkid's TYPE.
        public var type: String
        /// Bytes of the volume that are lost.
        public var lengthInBytes: Int64
        /// What they held.
        public var content: [LostContent]
    }

    /// Most ranges of a volume that are followed.
    private static let maximumRanges = 1 << 16

    /// For each disk, in the order given, the volumes that lose something of their file systems.
    public private(set) var volumes: [[Volume]] = []
    /// For each disk the ranges of it that partitions and volumes take.
    public private(set) var places: [[VolumePlace]] = []

    /// Reads what lies on `sources`, of which the ranges `lost`, ascending for each, cannot be read.
    ///
    /// - Parameter goesOn: called now and then; false ends the search with what was found.
    /// - Throws: `BlockError` when there are no threads.
    public init(
        _ sources: [any BlockSource], lost: [[Range<Int64>]], goesOn: @escaping @Sendable () -> Bool = { true }
    ) throws(BlockError) {
        let leaves = zip(sources, lost).enumerated().map { index, pair in
            DiskLeaf(index: index, base: SparedSource(base: pair.0, spared: pair.1), onRead: { _ in })
        }
        let layout = try StorageLayout.read(leaves)
        let candidates = AllocationCandidates(layout)
        places = AllocationSurvey.places(layout, candidates, diskCount: sources.count)
        volumes = sources.indices.map { disk in
            guard !lost[disk].isEmpty else { return [] }
            return candidates.volumes.compactMap { candidate in
                guard candidate.disks.contains(disk), candidate.free == nil, goesOn() else { return nil }
                return Self.look(at: candidate.volume, disk, lost[disk], goesOn)
            }
        }
    }

    private static func look(
        at volume: StorageVolume, _ disk: Int, _ lost: [Range<Int64>], _ goesOn: @escaping @Sendable () -> Bool
    ) -> Volume? {
        guard let type = volume.content.type else { return nil }
        let ranges = ranges(of: volume.source, on: disk, lost)
        guard !ranges.isEmpty,
            let content = LostContent.find(in: ranges, of: volume.source, type: type, goesOn: goesOn)
        else { return nil }
        return Volume(
            name: volume.name, type: type, lengthInBytes: ranges.reduce(0) { $0 + $1.upperBound - $1.lowerBound },
            content: content)
    }

    /// Returns the ranges of `source` whose bytes lie in `lost` of `disk`, to the sector, ascending.
    ///
    /// Where a range goes is known, not where it comes from: halves are followed until they are lost as a whole.
    static func ranges(of source: any BlockSource, on disk: Int, _ lost: [Range<Int64>]) -> [Range<Int64>] {
        let lost = ByteRangeSet(lost)
        let sector: Int64 = 512
        var found: [Range<Int64>] = []
        var waiting = [0..<source.lengthInBytes]
        while let range = waiting.popLast(), found.count < maximumRanges {
            guard let places = AllocationSurvey.trace([range], of: source) else { return [] }
            let parts = places.filter { $0.disk == disk }.map(\.range)
            guard parts.contains(where: lost.touches) else { continue }
            let length = range.upperBound - range.lowerBound
            let isWhole = parts.contains { $0.upperBound - $0.lowerBound == length && lost.covers($0) }
            if isWhole || length <= sector {
                if let last = found.last, last.upperBound == range.lowerBound {
                    found[found.count - 1] = last.lowerBound..<range.upperBound
                } else {
                    found.append(range)
                }
            } else {
                let middle = range.lowerBound + (length / 2 + sector - 1) / sector * sector
                waiting.append(middle..<range.upperBound)
                waiting.append(range.lowerBound..<middle)
            }
        }
        return found
    }
}

/// Ranges in order, to be asked for.
struct ByteRangeSet: Sendable {
    private let ranges: [Range<Int64>]

    /// Takes `ranges`, ascending and without a byte in common; those that touch are joined.
    init(_ ranges: [Range<Int64>]) {
        var joined: [Range<Int64>] = []
        for range in ranges where !range.isEmpty {
            if let last = joined.last, last.upperBound == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<range.upperBound
            } else {
                joined.append(range)
            }
        }
        self.ranges = joined
    }

    private func first(endingBehind position: Int64) -> Range<Int64>? {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = low + (high - low) / 2
            if ranges[middle].upperBound <= position { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count ? ranges[low] : nil
    }

    /// Tells whether any byte of `range` is in one of them.
    func touches(_ range: Range<Int64>) -> Bool {
        first(endingBehind: range.lowerBound).map { $0.lowerBound < range.upperBound } ?? false
    }

    /// Tells whether all of `range` is in one of them.
    func covers(_ range: Range<Int64>) -> Bool {
        first(endingBehind: range.lowerBound).map {
            $0.lowerBound <= range.lowerBound && $0.upperBound >= range.upperBound
        } ?? false
    }
}

/// A source whose bad places are known: they fail at once, and the disk is spared another try.
struct SparedSource: BlockSource {
    let base: any BlockSource
    private let spared: ByteRangeSet

    init(base: any BlockSource, spared: [Range<Int64>]) {
        self.base = base
        self.spared = ByteRangeSet(spared)
    }

    var name: String { base.name }
    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }

    func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        guard !spared.touches(offset..<offset + Int64(buffer.count)) else {
            throw BlockError(.read, name, offset: offset, length: buffer.count, .system(.ioError))
        }
        try base.read(into: buffer, at: offset)
    }
}
