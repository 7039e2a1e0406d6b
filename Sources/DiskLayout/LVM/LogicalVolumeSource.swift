// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// A logical volume as a source, read from its physical volumes without device-mapper.
///
/// Linear and striped volumes, mirrors and RAID; not thin, cached or snapshot volumes, whose mapping lies in metadata of
/// their own. Like `MDArraySource` it is meant for looking, and is right for everything else.
public final class LogicalVolumeSource: BlockSource {
    /// What messages call it: the group's and the volume's name.
    public let name: String
    /// Length in bytes.
    public let lengthInBytes: Int64
    /// Smallest addressable unit in bytes: the largest of its physical volumes.
    public let logicalSectorSize: Int
    /// Sector size of the medium in bytes: the largest of its physical volumes.
    public let physicalSectorSize: Int
    private let segments: [(end: Int64, source: any BlockSource)]

    /// Makes a source of `volume` in `group`.
    ///
    /// - Parameter physicalVolumes: the sources of the group's physical volumes, in the order of the group's own list,
    ///   nil for a missing one.
    /// - Throws: `BlockError` saying why the volume cannot be read: a type that is not mapped here, a missing physical
    ///   volume, metadata that contradict themselves.
    public convenience init(
        _ volume: LVMLogicalVolume, in group: LVMVolumeGroup, physicalVolumes: [(any BlockSource)?]
    ) throws(BlockError) {
        try self.init(volume, LogicalVolumeMap(group, physicalVolumes), depth: 0)
    }

    init(_ volume: LVMLogicalVolume, _ map: LogicalVolumeMap, depth: Int) throws(BlockError) {
        let name = "\(map.group.name)/\(volume.name)"
        let problem = { (reason: String) in BlockError(.open, name, .invalid(reason)) }
        guard depth <= LogicalVolumeMap.maximumDepth else { throw problem("it lies too deep in other volumes") }
        guard !volume.segments.isEmpty else { throw problem("it has no segments") }
        if map.copyOnWriteStores.contains(volume.name) { throw problem("snapshots are not mapped") }
        var segments: [(end: Int64, source: any BlockSource)] = []
        var end: Int64 = 0
        for segment in volume.segments {
            guard segment.firstExtent * map.group.extentSizeInBytes == end else {
                throw problem("its segments leave a gap or overlap")
            }
            let source: any BlockSource
            do throws(LogicalVolumeMap.Obstacle) {
                source = try map.source(of: segment, name: name, depth: depth)
            } catch {
                throw problem(error.reason)
            }
            end += segment.extentCount * map.group.extentSizeInBytes
            segments.append((end, source))
        }
        self.name = name
        self.segments = segments
        lengthInBytes = end
        logicalSectorSize = segments.map(\.source.logicalSectorSize).max() ?? 512
        physicalSectorSize = segments.map(\.source.physicalSectorSize).max() ?? 512
    }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        var (start, done): (Int64, Int) = (0, 0)
        for segment in segments where done < buffer.count {
            let position = offset + Int64(done)
            if position < segment.end {
                let count = Int(min(Int64(buffer.count - done), segment.end - position))
                try segment.source.read(into: buffer.part(done, count), at: position - start)
                done += count
            }
            start = segment.end
        }
    }
}

/// Finds what the segments of a group's volumes are read from.
struct LogicalVolumeMap {
    /// Most volumes that lie in each other.
    static let maximumDepth = 8

    /// Why a segment cannot be read.
    struct Obstacle: Error {
        var reason: String
    }

    let group: LVMVolumeGroup
    /// Volumes that hold what a snapshot's origin looked like: not the snapshot's own content.
    let copyOnWriteStores: Set<String>
    private let volumes: [String: LVMLogicalVolume]
    private let physical: [String: (volume: LVMPhysicalVolume, source: (any BlockSource)?)]

    init(_ group: LVMVolumeGroup, _ sources: [(any BlockSource)?]) {
        self.group = group
        let all = group.logicalVolumes
        volumes = Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        copyOnWriteStores = Set(
            all.flatMap(\.segments).compactMap { $0.references["cow_store"] ?? $0.references["merging_store"] })
        physical = Dictionary(
            group.physicalVolumes.enumerated().map { index, volume in
                (volume.name, (volume, sources.indices.contains(index) ? sources[index] : nil))
            }, uniquingKeysWith: { first, _ in first })
    }

    func source(of segment: LVMSegment, name: String, depth: Int) throws(Obstacle) -> any BlockSource {
        let length = segment.extentCount * group.extentSizeInBytes
        let count = segment.places.count
        switch segment.type {
        case "linear":
            guard let place = segment.places.first, count == 1 else { throw Obstacle(reason: "a segment has no place") }
            return try slice(place, length, depth)
        case "striped":
            guard count > 1, segment.extentCount % Int64(count) == 0 else {
                throw Obstacle(reason: "\(segment.extentCount) extents on \(count) stripes are not possible")
            }
            return try striped(segment, name, length, memberLength: length / Int64(count), depth)
        case "raid0", "raid0_meta":
            let each = (length + Int64(max(count, 1)) - 1) / Int64(max(count, 1))
            return try striped(segment, name, length, memberLength: wholeStripes(each, segment), depth)
        case "raid1", "mirror":
            guard count > 0 else { throw Obstacle(reason: "a segment has no place") }
            if segment.isReshaping { throw Obstacle(reason: "its layout is being changed") }
            let legs = try legs(segment, length, depth, needed: 1)
            return RAIDSource(name: name, length: length, geometry: .mirror(count), members: legs)
        case "raid10", "raid10_near": return try copies(segment, name, length, depth)
        case let type where type.hasPrefix("raid4") || type.hasPrefix("raid5") || type.hasPrefix("raid6"):
            return try parity(segment, name, length, depth)
        case "error", "zero": throw Obstacle(reason: "it maps to nothing: \(segment.type)")
        default: throw Obstacle(reason: "volumes of type \(segment.type) are not mapped")
        }
    }

    /// Returns the source of one place, `length` bytes of it.
    private func slice(_ place: LVMSegment.Place, _ length: Int64, _ depth: Int) throws(Obstacle) -> any BlockSource {
        let (base, start): (any BlockSource, Int64)
        switch place {
        case .physicalVolume(let name, let first):
            guard let entry = physical[name] else { throw Obstacle(reason: "\(name) is no physical volume") }
            guard let source = entry.source else {
                throw Obstacle(reason: "physical volume \(entry.volume.uuid) is missing")
            }
            guard first <= entry.volume.extentCount else { throw Obstacle(reason: "\(name) has no extent \(first)") }
            (base, start) = (source, entry.volume.firstExtentByte + first * group.extentSizeInBytes)
        case .logicalVolume(let name, let first):
            guard let volume = volumes[name] else { throw Obstacle(reason: "there is no volume \(name)") }
            guard first <= volume.extentCount else { throw Obstacle(reason: "\(name) has no extent \(first)") }
            do throws(BlockError) {
                base = try LogicalVolumeSource(volume, self, depth: depth + 1)
            } catch {
                throw Obstacle(reason: error.description)
            }
            start = first * group.extentSizeInBytes
        }
        let slice = SliceSource(base, name: base.name, firstByte: start, length: length)
        guard slice.lengthInBytes == length else { throw Obstacle(reason: "\(base.name) is too short") }
        return slice
    }

    /// Returns the sources of all places, nil for those that are missing, when at least `needed` are there.
    private func legs(
        _ segment: LVMSegment, _ length: Int64, _ depth: Int, needed: Int
    ) throws(Obstacle) -> [(any BlockSource)?] {
        var legs: [(any BlockSource)?] = []
        var last = Obstacle(reason: "too many of its places are missing")
        for place in segment.places {
            do throws(Obstacle) {
                if case .logicalVolume(let name, _) = place, volumes[name]?.status.contains("LV_REBUILD") == true {
                    throw Obstacle(reason: "\(name) is being rebuilt")
                }
                legs.append(try slice(place, length, depth))
            } catch {
                last = error
                legs.append(nil)
            }
        }
        guard legs.count(where: { $0 != nil }) >= needed else { throw last }
        return legs
    }

    /// Returns `length` rounded up to whole stripes: RAID images are no shorter.
    private func wholeStripes(_ length: Int64, _ segment: LVMSegment) -> Int64 {
        let size = segment.stripeSizeInBytes
        guard size > 0, length % size > 0, length <= Int64.max - size else { return length }
        return length - length % size + size
    }

    private func striped(
        _ segment: LVMSegment, _ name: String, _ length: Int64, memberLength: Int64, _ depth: Int
    ) throws(Obstacle) -> any BlockSource {
        let count = segment.places.count
        guard count > 0,
            let (geometry, whole) = RAIDGeometry.striped(
                lengths: Array(repeating: memberLength, count: count), chunk: segment.stripeSizeInBytes,
                countsFromZone: true), whole >= length
        else { throw Obstacle(reason: "stripes of \(segment.stripeSizeInBytes) bytes are not possible") }
        let legs = try legs(segment, memberLength, depth, needed: count)
        return RAIDSource(name: name, length: length, geometry: geometry, members: legs)
    }

    private func copies(
        _ segment: LVMSegment, _ name: String, _ length: Int64, _ depth: Int
    ) throws(Obstacle) -> any BlockSource {
        let count = segment.places.count
        let copies = segment.dataCopies ?? 2
        if segment.isReshaping { throw Obstacle(reason: "its layout is being changed") }
        guard (1...max(count, 1)).contains(copies), count > 0, length <= Int64.max / Int64(copies) else {
            throw Obstacle(reason: "\(copies) copies on \(count) images are not possible")
        }
        let each = (length * Int64(copies) + Int64(count) - 1) / Int64(count)
        let memberLength = wholeStripes(each, segment)
        guard
            let layout = CopiesLayout(
                layout: 0x100 | UInt32(clamping: copies), members: count, chunk: segment.stripeSizeInBytes,
                memberLength: memberLength), layout.lengthInBytes >= length
        else { throw Obstacle(reason: "its layout is not possible") }
        let legs = try legs(segment, memberLength, depth, needed: 1)
        return RAIDSource(name: name, length: length, geometry: .copies(layout), members: legs)
    }

    /// Layout numbers by the end of a type's name; without one LVM2 means raid5_ls and raid6_zr.
    private static let algorithms: [String: UInt32] = [
        // The device-mapper's RAID 4 holds its parity on the first member, unlike md's: Linux drivers/md/dm-raid.c.
        "raid4": ParityLayout.parityFirst, "raid5": 2, "raid5_la": 0, "raid5_ra": 1, "raid5_ls": 2, "raid5_rs": 3,
        "raid5_0": ParityLayout.parityFirst, "raid5_n": ParityLayout.parityLast, "raid6": 8, "raid6_zr": 8,
        "raid6_nr": 9, "raid6_nc": 10, "raid6_0_6": 20, "raid6_n_6": ParityLayout.parityLast, "raid6_la_6": 16,
        "raid6_ra_6": 17, "raid6_ls_6": 18, "raid6_rs_6": 19,
    ]

    private func parity(
        _ segment: LVMSegment, _ name: String, _ length: Int64, _ depth: Int
    ) throws(Obstacle) -> any BlockSource {
        guard let algorithm = Self.algorithms[segment.type] else {
            throw Obstacle(reason: "volumes of type \(segment.type) are not mapped")
        }
        if segment.isReshaping { throw Obstacle(reason: "its layout is being changed") }
        let count = segment.places.count
        let parityChunks = segment.type.hasPrefix("raid6") ? 2 : 1
        guard count > parityChunks else { throw Obstacle(reason: "\(count) images are too few") }
        let each = (length + Int64(count - parityChunks) - 1) / Int64(count - parityChunks)
        let memberLength = wholeStripes(each, segment)
        guard
            let layout = ParityLayout(
                algorithm: algorithm, members: count, parityChunks: parityChunks, chunk: segment.stripeSizeInBytes,
                memberLength: memberLength), layout.lengthInBytes >= length
        else { throw Obstacle(reason: "its layout is not possible") }
        let legs = try legs(segment, memberLength, depth, needed: count - 1)
        return RAIDSource(name: name, length: length, geometry: .parity(layout), members: legs)
    }
}
