// SPDX-License-Identifier: GPL-3.0-or-later

/// What a capture did about free space: how it was told, and what became of each volume.
public struct FreeSpaceRecord: Sendable, Hashable, Codable {
    /// Most volumes that are listed.
    public static let maximumVolumes = 10_000

    /// `skip`: what nothing uses was not read; `keep`: everything was.
    public var mode: FreeSpaceMode
    /// Whether free space was believed without holding it against what files and metadata use.
    public var trustsBitmaps: Bool
    /// Whether the content of Windows' page, swap and hibernation files was left out.
    public var skipsPageFiles: Bool
    /// The volumes, in the order of the disks, arrays and volume groups.
    public var volumes: [VolumeRecord]

    /// Makes a record.
    public init(
        mode: FreeSpaceMode, trustsBitmaps: Bool = false, skipsPageFiles: Bool = false, volumes: [VolumeRecord] = []
    ) {
        self.mode = mode
        self.trustsBitmaps = trustsBitmaps
        self.skipsPageFiles = skipsPageFiles
        self.volumes = volumes
    }
}

/// What is to become of free space.
public enum FreeSpaceMode: Sendable, Hashable, CaseIterable {
    /// Leave out what is certain to be unused.
    case skip
    /// Copy everything: the forensic mode.
    case keep
    /// A word of a later release.
    case unknown(String)

    /// The words that this release knows.
    public static var allCases: [FreeSpaceMode] { [.skip, .keep] }
}

extension FreeSpaceMode: RawRepresentable, Codable {
    /// Reads the word of the format.
    public init(rawValue: String) {
        switch rawValue {
        case "skip": self = .skip
        case "keep": self = .keep
        default: self = .unknown(rawValue)
        }
    }

    /// The word of the format.
    public var rawValue: String {
        switch self {
        case .skip: return "skip"
        case .keep: return "keep"
        case .unknown(let word): return word
        }
    }
}

/// What became of a volume's free space.
public struct VolumeRecord: Sendable, Hashable, Codable {
    /// What messages call it: `/dev/sda2`, `vg0/root`.
    public var name: String
    /// libblkid's TYPE; nil for nothing that is known.
    public var type: String?
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// Bytes that hold nothing and were left out, each copy of a mirror counted once.
    public var freeInBytes: Int64
    /// Why it was copied whole; nil where its free space was left out.
    public var copiedWhole: String?
    /// Pieces of files and metadata that were held against what is free; nil where nothing was.
    public var checkedExtents: Int?
    /// Seconds that reading and checking it took.
    public var seconds: Double
    /// Names of the disks that it lies on.
    public var disks: [String]

    /// Makes a record.
    public init(
        name: String, type: String?, lengthInBytes: Int64, freeInBytes: Int64, copiedWhole: String?,
        checkedExtents: Int?, seconds: Double, disks: [String]
    ) {
        self.name = name
        self.type = type
        self.lengthInBytes = lengthInBytes
        self.freeInBytes = freeInBytes
        self.copiedWhole = copiedWhole
        self.checkedExtents = checkedExtents
        self.seconds = seconds
        self.disks = disks
    }
}
