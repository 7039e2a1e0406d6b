// SPDX-License-Identifier: GPL-3.0-or-later

/// A device with the md superblock found on it.
public struct MDMember: Sendable, Hashable {
    /// What messages call the device.
    public var device: String
    /// Its superblock.
    public var superblock: MDSuperblock

    /// Makes a member.
    public init(device: String, superblock: MDSuperblock) {
        self.device = device
        self.superblock = superblock
    }
}

/// An md array, put together from the members that were found.
public struct MDArray: Sendable, Hashable {
    /// Whether the array's data can be read from what is there.
    public enum State: Sendable, Hashable {
        /// Every role is filled.
        case complete
        /// Roles are missing, and redundancy makes up for them.
        case degraded
        /// So many roles are missing that data are, or the level is unknown.
        case incomplete
    }

    /// The array's UUID.
    public var uuid: MDUUID
    /// Format of its superblocks.
    public var version: MDSuperblock.Version
    /// Up-to-date members that hold data, in the order of their roles.
    public var active: [MDMember] = []
    /// Members that wait.
    public var spares: [MDMember] = []
    /// Members that were left behind: the others have counted on without them.
    public var stale: [MDMember] = []
    /// All others: faulty, journal, of unknown role, with a wrong checksum, or a second one of a role.
    public var others: [MDMember] = []
    /// Roles that no up-to-date member fills, from 0.
    public var missing: [Int] = []
    /// Whether the data are there.
    public var state: State = .incomplete
    /// What is worth telling, in sentences.
    public var findings: [String] = []

    /// The up-to-date superblock that describes the array; nil when no member's checksum is right.
    public var superblock: MDSuperblock?

    /// Puts arrays together, in the order in which their first members come.
    public static func group(_ members: [MDMember]) -> [MDArray] {
        var order: [MDUUID] = []
        var groups: [MDUUID: [MDMember]] = [:]
        for member in members {
            if groups[member.superblock.arrayUUID] == nil { order.append(member.superblock.arrayUUID) }
            groups[member.superblock.arrayUUID, default: []].append(member)
        }
        return order.compactMap { uuid in groups[uuid].flatMap { MDArray(uuid, $0) } }
    }

    /// Puts one array together; nil without members.
    private init?(_ uuid: MDUUID, _ members: [MDMember]) {
        let sound = members.filter(\.superblock.isChecksumCorrect)
        let newest = sound.max { $0.superblock.eventCount < $1.superblock.eventCount }
        guard let version = (newest ?? members.first)?.superblock.version else { return nil }
        self.uuid = uuid
        self.version = version
        guard let newest = newest?.superblock else {
            others = members
            findings.append("no member of \(uuid) has a superblock with a correct checksum")
            return
        }
        superblock = newest
        for member in members { place(member, newest) }
        active.sort { Self.role($0) < Self.role($1) }
        let filled = Set(active.map(Self.role))
        missing = (0..<newest.raidDisks).filter { !filled.contains($0) }
        state = Self.state(newest, missing)
        if !missing.isEmpty {
            findings.append("roles \(missing.map(String.init).joined(separator: ", ")) of \(uuid) are missing")
        }
        if newest.features.contains(.reshaping) { findings.append("\(uuid) is being reshaped") }
    }

    private static func role(_ member: MDMember) -> Int {
        if case .active(let role) = member.superblock.role { return role }
        return .max
    }

    private mutating func place(_ member: MDMember, _ newest: MDSuperblock) {
        let superblock = member.superblock
        guard superblock.isChecksumCorrect else {
            findings.append("\(member.device): the superblock's checksum is wrong")
            return others.append(member)
        }
        guard superblock.version == newest.version, superblock.level == newest.level,
            superblock.raidDisks == newest.raidDisks, superblock.layout == newest.layout,
            superblock.chunkSizeInBytes == newest.chunkSizeInBytes
        else {
            findings.append("\(member.device): its superblock contradicts that of the newest member")
            return others.append(member)
        }
        switch superblock.role {
        case .spare: spares.append(member)
        case .active(let role):
            // md takes a member that is one event behind: the machine may have died between two updates.
            if newest.eventCount - superblock.eventCount > 1 {
                findings.append(
                    "\(member.device) is stale: event count \(superblock.eventCount) of \(newest.eventCount)")
                stale.append(member)
            } else if superblock.features.contains(.recovering) {
                findings.append("\(member.device) is not rebuilt to its end")
                others.append(member)
            } else if active.contains(where: { Self.role($0) == role }) {
                findings.append("\(member.device): role \(role) is filled already")
                others.append(member)
            } else {
                active.append(member)
            }
        default: others.append(member)
        }
    }

    /// Returns whether the data survive without the roles in `missing`, by the level's redundancy.
    private static func state(_ array: MDSuperblock, _ missing: [Int]) -> State {
        guard array.raidDisks > 0 else { return .incomplete }
        if missing.isEmpty { return .complete }
        let isEnough: Bool
        switch array.level {
        case .raid1, .multipath: isEnough = missing.count < array.raidDisks
        case .raid4, .raid5: isEnough = missing.count <= 1
        case .raid6: isEnough = missing.count <= 2
        case .raid10:
            // Copies lie on roles in a row, whatever the layout: as long as no such row is gone, nothing is. Near
            // copies that fill the roles evenly form fixed sets.
            let (near, far) = (Int(array.layout & 0xff), Int(array.layout >> 8 & 0xff))
            let gone = Set(missing)
            let copies = far == 1 ? near : near == 1 ? far : 0
            let step = far == 1 && copies > 0 && array.raidDisks % copies == 0 ? copies : 1
            isEnough =
                copies > 1 && copies <= array.raidDisks
                && !stride(from: 0, to: array.raidDisks, by: step).contains { first in
                    (0..<copies).allSatisfy { gone.contains((first + $0) % array.raidDisks) }
                }
        default: isEnough = false
        }
        return isEnough ? .degraded : .incomplete
    }
}
