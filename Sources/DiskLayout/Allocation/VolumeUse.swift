// SPDX-License-Identifier: GPL-3.0-or-later

/// What was found out about one volume's free space: how much of it is skipped, or why all of it is copied.
public struct VolumeUse: Sendable, Hashable {
    /// What messages call the volume: `/dev/sda2`, `vg0/root`.
    public var name: String
    /// libblkid's TYPE, or what else lies there; nil for nothing that is known.
    public var type: String?
    /// Length in bytes.
    public var lengthInBytes: Int64
    /// Bytes that hold nothing; 0 where the volume is copied whole.
    public var freeLength: Int64 = 0
    /// Why it is copied whole; nil where its free space is skipped.
    public var wholeReason: String?
    /// Pieces of files and metadata that were held against what is free; nil where nothing was.
    public var checkedExtents: Int?
    /// Time that reading and checking took.
    public var duration: Duration = .zero
    /// Disks that it lies on, as indices; empty where it cannot be followed down to them.
    public var disks: [Int] = []

    /// Makes a statement about a volume that is copied whole.
    public init(name: String, type: String?, lengthInBytes: Int64, wholeReason: String?) {
        self.name = name
        self.type = type
        self.lengthInBytes = lengthInBytes
        self.wholeReason = wholeReason
    }
}

/// A range of a disk that a partition or volume takes.
public struct VolumePlace: Sendable, Hashable {
    /// The range.
    public var range: Range<Int64>
    /// What messages call the volume.
    public var volume: String

    /// Makes a place.
    public init(range: Range<Int64>, volume: String) {
        self.range = range
        self.volume = volume
    }
}

/// How free space is looked for.
public struct AllocationOptions: Sendable {
    /// Whether all that files and metadata use is held against what is said to be free.
    public var checksUse = true
    /// Whether the content of Windows' page, swap and hibernation files is left out.
    public var skipsPageFiles = false
    /// Called now and then; false stops the work, which then ends in whole copies.
    public var goesOn: @Sendable () -> Bool = { true }
    /// Called with the number of bytes that were read.
    public var onRead: @Sendable (Int) -> Void = { _ in }

    /// Makes the safe options.
    public init() {}
}
