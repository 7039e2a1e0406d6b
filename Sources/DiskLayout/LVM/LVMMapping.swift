// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Makes sources of a group's logical volumes over the devices of its physical volumes, without device-mapper.
///
/// Linear and striped volumes, mirrors and RAID: their data lie where the metadata say. Thin volumes, caches and
/// snapshots hold theirs in forms of their own. Each volume is made once, whatever refers to it.
public final class LVMMapping {
    /// Most volumes that lie in each other.
    private static let maximumDepth = 8
    /// Most areas of a segment.
    private static let maximumAreas = 256
    /// Most places on physical volumes that a volume leads to in all: a read that fails is tried on every copy.
    private static let maximumPlaces = 1 << 16

    private let group: LVMVolumeGroup
    private let volumes: [String: LVMVolumeGroup.LogicalVolume]
    private let physical: [String: (volume: LVMVolumeGroup.PhysicalVolume, source: (any BlockSource)?)]
    private var made: [String: Result<any BlockSource, BlockError>] = [:]
    private var placeCounts: [String: Int] = [:]

    /// Takes a group, and what gives the device of a physical volume by its name.
    public init(_ group: LVMVolumeGroup, _ device: (String) -> (any BlockSource)?) {
        self.group = group
        volumes = Dictionary(group.logicalVolumes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        physical = Dictionary(
            group.physicalVolumes.map { ($0.key, ($0, $0.device.flatMap(device))) },
            uniquingKeysWith: { first, _ in first })
    }

    /// Returns the data of the logical volume `name`.
    ///
    /// - Throws: `BlockError` saying why there are none: a physical volume is missing, the type is not mapped, the layout
    ///   is being changed, or the metadata contradict themselves.
    public func source(of name: String) throws(BlockError) -> any BlockSource {
        try source(of: name, depth: 0)
    }

    private func source(of name: String, depth: Int) throws(BlockError) -> any BlockSource {
        if let known = made[name] { return try known.get() }
        // What leads back to itself finds this.
        made[name] = .failure(obstacle(name, "it lies in itself"))
        do throws(BlockError) {
            let source = try make(name, depth: depth)
            made[name] = .success(source)
            return source
        } catch {
            made[name] = .failure(error)
            throw error
        }
    }

    private func obstacle(_ name: String, _ reason: String) -> BlockError {
        BlockError(.open, "\(group.name)/\(name)", .invalid(reason))
    }

    private func make(_ name: String, depth: Int) throws(BlockError) -> any BlockSource {
        guard let volume = volumes[name] else { throw obstacle(name, "there is no such volume") }
        guard depth < Self.maximumDepth else { throw obstacle(name, "it lies too deep in other volumes") }
        guard !volume.segments.isEmpty else { throw obstacle(name, "it has no segments") }
        if volume.isSnapshotStore { throw obstacle(name, "snapshots are not mapped") }
        var parts: [any BlockSource] = []
        var next: Int64 = 0
        var places = 0
        for segment in volume.segments {
            guard segment.start == next else { throw obstacle(name, "its segments leave a gap or overlap") }
            next = segment.start + segment.count
            parts.append(try part(segment, of: name, depth: depth))
            places += segment.areas.reduce(0) { $0 + (placeCounts[$1.name] ?? 1) }
            guard places <= Self.maximumPlaces else { throw obstacle(name, "it lies on too many places") }
        }
        placeCounts[name] = places
        let title = "\(group.name)/\(name)"
        if let only = parts.first, parts.count == 1 { return RenamedSource(only, name: title) }
        guard let geometry = RAIDGeometry(.concatenated, chunk: 0, memberLengths: parts.map(\.lengthInBytes)) else {
            throw obstacle(name, "its segments are not possible")
        }
        return RAIDSource(geometry, members: parts, name: title)
    }

    private func part(
        _ segment: LVMVolumeGroup.Segment, of name: String, depth: Int
    ) throws(BlockError) -> any BlockSource {
        let (length, overflow) = segment.count.multipliedReportingOverflow(by: group.extentLength)
        guard !overflow, segment.areas.count <= Self.maximumAreas else {
            throw obstacle(name, "its segments are not possible")
        }
        if segment.isReshaping { throw obstacle(name, "its layout is being changed") }
        guard let (pattern, dataMembers) = Self.pattern(segment) else {
            throw obstacle(name, "volumes of type \(segment.type) are not mapped")
        }
        let chunk = segment.stripeLength ?? 0
        let lengths = [Int64](
            repeating: Self.roundedUp(length, by: Int64(dataMembers), chunk), count: segment.areas.count)
        guard let geometry = RAIDGeometry(pattern, chunk: chunk, memberLengths: lengths), geometry.length >= length
        else { throw obstacle(name, "stripes of \(chunk) bytes on \(segment.areas.count) volumes are not possible") }

        var members: [(any BlockSource)?] = []
        var failure = obstacle(name, "its places are missing")
        for area in segment.areas {
            do throws(BlockError) {
                members.append(try source(of: area, lengths[members.count], for: name, depth: depth))
            } catch {
                failure = error
                members.append(nil)
            }
        }
        // Redundancy makes up for what is missing only where a copy or a parity is read.
        let tolerated: Int
        switch pattern {
        case .mirrored: tolerated = members.count - 1
        case .copied, .parity: tolerated = 1
        case .concatenated, .striped: tolerated = 0
        }
        guard members.count(where: { $0 == nil }) <= tolerated else { throw failure }
        if case .concatenated = pattern, let only = members.first ?? nil { return only }
        let source = RAIDSource(geometry, members: members, name: name)
        return geometry.length == length ? source : SliceSource(source, name: name, firstByte: 0, length: length)
    }

    /// Returns each member's share of `length`, in whole chunks: images are never shorter.
    private static func roundedUp(_ length: Int64, by members: Int64, _ chunk: Int64) -> Int64 {
        let each = length / members + (length % members > 0 ? 1 : 0)
        guard chunk > 0, each % chunk > 0, each <= .max - chunk else { return each }
        return each - each % chunk + chunk
    }

    private func source(
        of area: LVMVolumeGroup.Area, _ length: Int64, for name: String, depth: Int
    ) throws(BlockError) -> any BlockSource {
        let (offset, overflow) = area.extent.multipliedReportingOverflow(by: group.extentLength)
        guard !overflow else { throw obstacle(name, "there is no extent \(area.extent)") }
        let base: any BlockSource
        var start = offset
        if let (volume, source) = physical[area.name] {
            guard let source else { throw obstacle(name, "the physical volume \(volume.uuid) is missing") }
            let extents = length / group.extentLength + (length % group.extentLength > 0 ? 1 : 0)
            guard area.extent <= volume.extentCount, extents <= volume.extentCount - area.extent else {
                throw obstacle(name, "\(area.name) has no such extents")
            }
            base = source
            let (sum, overflow) = offset.addingReportingOverflow(volume.dataOffset)
            guard !overflow else { throw obstacle(name, "there is no extent \(area.extent)") }
            start = sum
        } else {
            base = try self.source(of: area.name, depth: depth + 1)
        }
        guard length <= base.lengthInBytes, start <= base.lengthInBytes - length else {
            throw obstacle(name, "\(base.name) ends before the extents on it")
        }
        return SliceSource(base, name: area.name, firstByte: start, length: length)
    }

    /// Layout numbers by type, those of Linux drivers/md/raid5.h; a type without more words is what LVM takes it for.
    ///
    /// The device-mapper's RAID 4 has its parity on the first member, unlike md's: Linux drivers/md/dm-raid.c.
    private static let single = [
        "raid4": 4, "raid5": 2, "raid5_0": 4, "raid5_la": 0, "raid5_ra": 1, "raid5_ls": 2, "raid5_rs": 3, "raid5_n": 5,
    ]
    private static let double = [
        "raid6": 8, "raid6_zr": 8, "raid6_nr": 9, "raid6_nc": 10, "raid6_n_6": 5, "raid6_la_6": 16, "raid6_ra_6": 17,
        "raid6_ls_6": 18, "raid6_rs_6": 19, "raid6_0_6": 20,
    ]

    /// Returns how a segment's areas hold its data, and among how many of them the data are shared out.
    ///
    /// lvmraid(7), RAID types.
    private static func pattern(
        _ segment: LVMVolumeGroup.Segment
    ) -> (RAIDGeometry.Pattern, dataMembers: Int)? {
        let members = segment.areas.count
        guard members > 0 else { return nil }
        switch segment.type {
        case "linear": return members == 1 ? (.concatenated, 1) : nil
        case "striped", "raid0", "raid0_meta": return (.striped, members)
        case "mirror", "raid1": return (.mirrored, 1)
        case "raid10", "raid10_near":
            let copies = segment.dataCopies ?? 2
            guard copies > 0, copies <= members, members % copies == 0 else { return nil }
            return (.copied(near: copies, far: 1, isOffset: false), members / copies)
        default: break
        }
        if let algorithm = single[segment.type] {
            return members > 1 ? (.parity(count: 1, algorithm: algorithm), members - 1) : nil
        }
        if let algorithm = double[segment.type] {
            return members > 2 ? (.parity(count: 2, algorithm: algorithm), members - 2) : nil
        }
        return nil
    }
}

/// A source under another name.
struct RenamedSource: BlockSource {
    let base: any BlockSource
    let name: String

    init(_ base: any BlockSource, name: String) {
        self.base = base
        self.name = name
    }

    var lengthInBytes: Int64 { base.lengthInBytes }
    var logicalSectorSize: Int { base.logicalSectorSize }
    var physicalSectorSize: Int { base.physicalSectorSize }
    var filePlace: FilePlace? { base.filePlace }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try base.read(into: buffer, at: offset)
    }
    func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }
}
