// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// Finds out what of a set of disks is in use.
///
/// Everything is data to begin with. What is taken out is what the one owner of a place calls free - a file system, a
/// swap area, a volume group - and that only where nothing contradicts it: an unclean, damaged or unknown volume, and
/// what lies under one, is copied whole.
public struct AllocationSurvey: Sendable {
    /// One map a disk, in the order given.
    public var maps: [AllocationMap] = []
    /// What was found out about each volume, in the order of the disks, arrays and volume groups.
    public var volumes: [VolumeUse] = []
    /// For each disk the ranges of it that partitions and volumes take, a volume behind the partition it lies on.
    public var places: [[VolumePlace]] = []

    /// Reads what lies on `sources`, and what of it is in use.
    ///
    /// - Throws: `BlockError` when there are no threads; what cannot be read is copied whole.
    public static func read(
        _ sources: [any BlockSource], _ options: AllocationOptions = AllocationOptions()
    ) throws(BlockError) -> AllocationSurvey {
        let leaves = sources.enumerated().map { DiskLeaf(index: $0.offset, base: $0.element, onRead: options.onRead) }
        let layout = try StorageLayout.read(leaves)
        let candidates = AllocationCandidates(layout)
        let found = try read(candidates.volumes, options)
        var survey = AllocationSurvey()
        survey.places = places(layout, candidates, diskCount: sources.count)
        var ranges = [[(range: Range<Int64>, reason: String)]](repeating: [], count: sources.count)
        for (candidate, result) in zip(candidates.volumes, found) {
            var use = result.use
            for part in result.parts where !part.ranges.isEmpty && use.wholeReason == nil {
                if let places = trace(part.ranges, of: candidate.volume.source) {
                    for place in places { ranges[place.disk].append((place.range, part.reason)) }
                } else {
                    use.freeLength = 0
                    use.wholeReason = "members of its array are copied whole"
                }
            }
            survey.volumes.append(use)
        }
        for (index, source) in sources.enumerated() {
            let length = source.lengthInBytes
            if let map = AllocationMap(lengthInBytes: length, ranges: ranges[index]) {
                survey.maps.append(map)
            } else {
                survey.maps.append(AllocationMap(lengthInBytes: length))
                for volume in survey.volumes.indices where survey.volumes[volume].disks.contains(index) {
                    survey.volumes[volume].freeLength = 0
                    survey.volumes[volume].wholeReason = "volumes on \(source.name) overlap"
                }
            }
        }
        return survey
    }

    /// Tells where partitions and the candidates lie, as far as their places are nobody else's.
    static func places(
        _ layout: StorageLayout, _ candidates: AllocationCandidates, diskCount: Int
    ) -> [[VolumePlace]] {
        var places = [[VolumePlace]](repeating: [], count: diskCount)
        var known: Set<String> = []
        for volume in layout.disks.flatMap({ $0.partitions.map(\.volume) }) + candidates.volumes.map(\.volume)
        where known.insert(volume.name).inserted && !(volume.source is DiskLeaf) {
            for place in trace([0..<volume.source.lengthInBytes], of: volume.source) ?? [] {
                places[place.disk].append(VolumePlace(range: place.range, volume: volume.name))
            }
        }
        return places
    }

    /// Reads the candidates' free space: those of different disks at the same time, those of one disk in turns.
    private static func read(
        _ candidates: [AllocationCandidates.Candidate], _ options: AllocationOptions
    ) throws(BlockError) -> [FreeSpace] {
        let groups = Dictionary(grouping: candidates.indices) { candidates[$0].disks.first ?? -1 }.values
            .sorted { ($0.first ?? 0) < ($1.first ?? 0) }
        let results = Mutex([Int: FreeSpace]())
        let next = Mutex(0)
        try ParallelWork.run(threads: min(max(groups.count, 1), 8)) { _ in
            while true {
                let group = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard group < groups.count else { return }
                for index in groups[group] {
                    let space = FreeSpace(candidates[index], options)
                    results.withLock { $0[index] = space }
                }
            }
        }
        return results.withLock { results in candidates.indices.compactMap { results[$0] } }
    }

    /// Follows `ranges` of `source` down to the disks; nil where a place holds other content as well.
    static func trace(
        _ ranges: [Range<Int64>], of source: any BlockSource
    ) -> [(disk: Int, range: Range<Int64>)]? {
        var places: [(Int, Range<Int64>)] = []
        func follow(_ source: any BlockSource, _ range: Range<Int64>) -> Bool {
            if let leaf = source as? DiskLeaf {
                places.append((leaf.index, range))
                return true
            }
            guard let composed = source as? any ComposedSource else { return false }
            return composed.trace(range, follow)
        }
        for range in ranges where !follow(source, range) { return nil }
        return places
    }
}

/// A disk of a survey, known by its place in it.
struct DiskLeaf: BlockSource {
    let index: Int
    let base: any BlockSource
    let onRead: @Sendable (Int) -> Void

    var name: String { base.name }
    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }
    var filePlace: FilePlace? { base.filePlace }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try base.read(into: buffer, at: offset)
        onRead(buffer.count)
    }
    func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }
}
