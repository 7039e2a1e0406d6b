// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems

/// What is free on one volume, or why nothing is.
struct FreeSpace: Sendable {
    /// Copies of a mirror that are compared; more than that nobody has.
    private static let maximumCopies = 8

    /// Ranges that are left out for one reason.
    struct Part: Sendable, Hashable {
        /// Why, for the manifest.
        var reason: String
        /// The ranges, ascending.
        var ranges: [Range<Int64>]
    }

    /// Windows' files that are made anew: what they hold died with the system that wrote it.
    private static let pageFiles = ["pagefile.sys", "swapfile.sys", "hiberfil.sys"]

    private(set) var use: VolumeUse
    /// What is left out; empty where the volume is copied whole.
    private(set) var parts: [Part] = []

    /// Looks at `candidate`; whatever fails makes it one that is copied whole.
    init(_ candidate: AllocationCandidates.Candidate, _ options: AllocationOptions) {
        let volume = candidate.volume
        use = VolumeUse(
            name: volume.name, type: volume.content.type ?? volume.technology?.rawValue,
            lengthInBytes: volume.source.lengthInBytes, wholeReason: nil)
        use.disks = candidate.disks
        let clock = ContinuousClock()
        let start = clock.now
        do throws(Obstacle) {
            if let obstacle = candidate.obstacle { throw Obstacle(reason: obstacle) }
            if let known = candidate.free {
                parts = [Part(reason: "LVM free extents", ranges: known)]
            } else {
                try read(volume, options)
            }
            use.freeLength = parts.joined.reduce(0) { $0 + $1.upperBound - $1.lowerBound }
        } catch {
            use.wholeReason = error.reason
            use.checkedExtents = nil
            parts = []
        }
        use.duration = clock.now - start
    }

    /// Why a volume is copied whole.
    private struct Obstacle: Error {
        var reason: String
    }

    private mutating func read(_ volume: StorageVolume, _ options: AllocationOptions) throws(Obstacle) {
        if let problem = volume.problems.first { throw Obstacle(reason: problem) }
        if !volume.content.ambivalent.isEmpty {
            throw Obstacle(reason: "ambivalent: " + volume.content.ambivalent.joined(separator: ", "))
        }
        guard let type = volume.content.type else {
            throw Obstacle(reason: volume.technology?.rawValue ?? "unknown content")
        }
        let copies = volume.source.copies
        guard copies <= Self.maximumCopies else { throw Obstacle(reason: "it is mirrored \(copies) times") }
        // Mirrors may differ without saying so, and then the one that is read may be the one that is old.
        for index in 0..<copies {
            let source = volume.source.reading(copy: index)
            let found = type == "swap" ? try swap(source) : try fileSystem(source, type, options)
            if index == 0 {
                parts = found
            } else if found != parts {
                throw Obstacle(reason: "its mirror's copies differ")
            }
        }
    }

    private func swap(_ source: any BlockSource) throws(Obstacle) -> [Part] {
        do throws(BlockError) {
            if let content = try SwapSpace.content(of: source) { return [Part(reason: "swap", ranges: [content])] }
        } catch {
            throw Obstacle(reason: error.description)
        }
        throw Obstacle(reason: "a swap area of an unknown form")
    }

    private mutating func fileSystem(
        _ source: any BlockSource, _ type: String, _ options: AllocationOptions
    ) throws(Obstacle) -> [Part] {
        let reader = try attempt { () throws(FileSystemError) in try FileSystemKind.open(source, type: type) }
        guard let reader else { throw Obstacle(reason: type) }
        if let obstacle = Self.obstacle(reader.state) { throw Obstacle(reason: obstacle) }
        let space = try attempt { () throws(FileSystemError) in
            try reader.spaceUse(SpaceOptions(isChecked: options.checksUse, goesOn: options.goesOn))
        }
        use.checkedExtents = space.checkedExtents.map { $0 + (use.checkedExtents ?? 0) }
        var parts = [Part(reason: "\(type) free space", ranges: space.free.ranges)]
        if options.skipsPageFiles, reader.kind == .ntfs {
            let files = try attempt { () throws(FileSystemError) in try reader.ranges(ofFiles: Self.pageFiles) }
            parts.append(Part(reason: "page files", ranges: files.ranges))
        }
        guard parts.joined.allSatisfy({ $0.lowerBound >= 0 && $0.upperBound <= source.lengthInBytes }) else {
            throw Obstacle(reason: "its free space lies beyond its end")
        }
        return parts
    }

    private func attempt<Value>(_ body: () throws(FileSystemError) -> Value) throws(Obstacle) -> Value {
        do throws(FileSystemError) { return try body() } catch { throw Obstacle(reason: error.reason) }
    }

    /// Returns why a file system in `state` is copied whole; nil for one that is clean.
    private static func obstacle(_ state: FileSystemState) -> String? {
        switch state {
        case .clean: return nil
        case .needsRecovery: return "journal needs recovery"
        case .dirty: return "dirty: it was not unmounted, or says that it is damaged"
        case .hibernated: return "hibernated"
        case .unknown(let reason): return "state unknown: \(reason)"
        }
    }
}

extension [FreeSpace.Part] {
    /// The ranges of all parts, one part behind the other.
    var joined: [Range<Int64>] { flatMap(\.ranges) }
}
