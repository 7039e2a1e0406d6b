// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

extension LVMVolumeGroup {
    private static let maximumDepth = 8

    /// Returns the data of the logical volume `name` as a source over the physical volumes' devices.
    ///
    /// - Parameter device: gives the device of a physical volume by its name.
    /// - Returns: nil when something is missing, or for thin volumes, snapshots and caches, which hold their data in forms
    ///   of their own.
    public func source(of name: String, _ device: (String) -> (any BlockSource)?) -> (any BlockSource)? {
        source(of: name, device, depth: 0)
    }

    private func source(
        of name: String, _ device: (String) -> (any BlockSource)?, depth: Int
    ) -> (any BlockSource)? {
        guard depth < Self.maximumDepth, let volume = logicalVolumes.first(where: { $0.name == name }),
            !volume.segments.isEmpty
        else { return nil }
        var parts: [any BlockSource] = []
        var next: Int64 = 0
        for segment in volume.segments {
            guard segment.start == next, let part = source(of: segment, device, depth: depth) else { return nil }
            next = segment.start + segment.count
            parts.append(part)
        }
        let title = "\(self.name)/\(name)"
        guard parts.count > 1 else { return parts.first.map { RenamedSource($0, name: title) } }
        return RAIDGeometry(.concatenated, chunk: 0, memberLengths: parts.map(\.lengthInBytes)).map {
            RAIDSource($0, members: parts, name: title)
        }
    }

    private func source(
        of segment: Segment, _ device: (String) -> (any BlockSource)?, depth: Int
    ) -> (any BlockSource)? {
        let (length, overflow) = segment.count.multipliedReportingOverflow(by: extentLength)
        guard !overflow, !segment.areas.isEmpty, segment.areas.count <= 256 else { return nil }
        let count = Int64(segment.areas.count)
        guard let (pattern, dataMembers) = Self.pattern(segment.type, members: segment.areas.count) else { return nil }
        let each = length / Int64(dataMembers)
        let members = segment.areas.map { area(of: $0, each, device, depth: depth) }
        // Redundancy makes up for what is missing only where a copy or a parity is read.
        let missing = members.count { $0 == nil }
        let tolerated: Int
        switch pattern {
        case .mirrored: tolerated = members.count - 1
        case .copied, .parity: tolerated = 1
        case .concatenated, .striped: tolerated = 0
        }
        guard missing <= tolerated else { return nil }
        let lengths = [Int64](repeating: each, count: Int(count))
        return RAIDGeometry(pattern, chunk: segment.stripeLength ?? 0, memberLengths: lengths).map {
            RAIDSource($0, members: members, name: name)
        }
    }

    private func area(
        of area: Area, _ length: Int64, _ device: (String) -> (any BlockSource)?, depth: Int
    ) -> (any BlockSource)? {
        let (offset, overflow) = area.extent.multipliedReportingOverflow(by: extentLength)
        guard !overflow else { return nil }
        let base: (any BlockSource)?
        var start = offset
        if let volume = physicalVolumes.first(where: { $0.key == area.name }) {
            base = volume.device.flatMap(device)
            let (sum, overflow) = offset.addingReportingOverflow(volume.dataOffset)
            guard !overflow else { return nil }
            start = sum
        } else {
            base = source(of: area.name, device, depth: depth + 1)
        }
        guard let base, length <= base.lengthInBytes, start <= base.lengthInBytes - length else { return nil }
        return SliceSource(base, name: area.name, firstByte: start, length: length)
    }

    /// Returns how a segment's areas hold its data, and among how many of them the data are shared out.
    ///
    /// lvmraid(7), RAID types; the numbers of algorithms are those of Linux drivers/md/raid5.h.
    private static func pattern(_ type: String, members: Int) -> (RAIDGeometry.Pattern, dataMembers: Int)? {
        switch type {
        case "linear": return members == 1 ? (.concatenated, 1) : nil
        case "striped", "raid0", "raid0_meta": return (.striped, members)
        case "mirror", "raid1": return (.mirrored, 1)
        case "raid10", "raid10_near":
            return members % 2 == 0 ? (.copied(near: 2, far: 1, isOffset: false), members / 2) : nil
        default: break
        }
        let five = ["raid4": 5, "raid5": 2, "raid5_la": 0, "raid5_ra": 1, "raid5_ls": 2, "raid5_rs": 3, "raid5_n": 5]
        if let algorithm = five[type] {
            return members > 1 ? (.parity(count: 1, algorithm: algorithm), members - 1) : nil
        }
        let six = ["raid6": 8, "raid6_zr": 8, "raid6_nr": 9, "raid6_nc": 10]
        if let algorithm = six[type] {
            return members > 2 ? (.parity(count: 2, algorithm: algorithm), members - 2) : nil
        }
        return nil
    }
}

/// A source under another name.
struct RenamedSource: BlockSource {
    private let base: any BlockSource
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
