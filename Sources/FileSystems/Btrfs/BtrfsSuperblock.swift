// SPDX-License-Identifier: GPL-3.0-or-later

/// The superblock of a btrfs device, 64 KiB from its start; all fields little-endian.
///
/// btrfs-dev-docs, "On-disk Format"; Linux include/uapi/linux/btrfs_tree.h.
struct BtrfsSuperblock: Sendable {
    static let offset: Int64 = 64 << 10
    /// Where its copies are, on devices that are long enough; they name their own place.
    static let copies: [Int64] = [64 << 20, 256 << 30]
    static let size = 4096
    /// `_BHRfS_M`, at byte 64.
    static let magic: UInt64 = 0x4d5f_5366_5248_425f

    private static let hasMetadataUUID: UInt64 = 0x400
    /// The incompatible features that leave what we read as it is: all but the extent tree of version 2 and the RAID
    /// stripe tree.
    private static let knownFeatures: UInt64 = 0x1_1fff
    /// Set while metadata are wrong, or the UUID, the block groups' tree or the checksums are being changed.
    private static let damageFlags: UInt64 = 1 << 2 | 1 << 35 | 1 << 36 | 0x7 << 38
    /// Flags that change nothing for a reader: written, relocated, a seed for other devices.
    private static let knownFlags: UInt64 = 1 << 0 | 1 << 1 | Self.seedFlag
    private static let seedFlag: UInt64 = 1 << 32

    /// Features that say how free space is kept.
    enum Feature {
        static let mixedBackReferences: UInt64 = 1 << 0
        static let zoned: UInt64 = 1 << 12
        /// Those which a driver that does not know them may only read.
        enum ForWriters {
            static let freeSpaceTree: UInt64 = 1 << 0
            static let freeSpaceTreeIsValid: UInt64 = 1 << 1
            static let blockGroupTree: UInt64 = 1 << 3
            /// All of these, and fs-verity.
            static let known: UInt64 = 0xf
        }
    }

    let volume: String
    let generation: UInt64
    let nodeSize: Int
    let sectorSize: Int
    /// Length of all devices, and what is used of the chunks, as the superblock sums it up.
    let totalLength: UInt64
    let usedLength: UInt64
    let features: UInt64
    let writerFeatures: UInt64
    /// Whether other devices are to be added to it, and it is never written again.
    let isSeed: Bool
    let deviceLength: UInt64
    let deviceUUID: [UInt8]
    let deviceNumber: UInt64
    let deviceCount: UInt64
    /// Whether blocks carry CRC-32C, the only checksum that is looked at.
    let hasCRC32C: Bool
    /// Length of the checksum of a sector in the tree of checksums.
    let checksumSize: Int
    let rootTree: BtrfsPointer
    let chunkTree: BtrfsPointer
    let systemChunks: ByteFields
    /// UUID that each block of metadata carries.
    let metadataUUID: [UInt8]
    let uuid: String?
    let label: String?
    let state: FileSystemState

    /// Reads the superblock at `offset`, the first one or one of its copies.
    init(_ bytes: VolumeBytes, at offset: Int64 = Self.offset) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
        volume = bytes.name
        guard let fields = try bytes.fieldsIfPresent(at: offset, count: Self.size),
            fields.little(64, as: UInt64.self) == Self.magic
        else { throw damaged("there is no btrfs superblock") }
        hasCRC32C = fields.little(196, as: UInt16.self) == 0
        switch fields.little(196, as: UInt16.self) {
        case 0: checksumSize = 4
        case 1: checksumSize = 8
        default: checksumSize = 32
        }
        guard !hasCRC32C || CRC32C.checksum(fields.part(32, Self.size)) == fields.little(0) else {
            throw damaged("the superblock's checksum is wrong")
        }
        guard fields.little(48, as: UInt64.self) == UInt64(offset) else {
            throw damaged("the superblock belongs elsewhere")
        }
        features = fields.little(188)
        writerFeatures = fields.little(180)
        guard features & ~Self.knownFeatures == 0 else {
            throw FileSystemError(
                bytes.name, .unsupported("the btrfs feature 0x\(String(features & ~Self.knownFeatures, radix: 16))"))
        }
        let nodeSize: UInt32 = fields.little(148)
        guard nodeSize >= 4096, nodeSize <= 64 << 10, nodeSize & (nodeSize - 1) == 0 else {
            throw damaged("the superblock says nodes of \(nodeSize) bytes")
        }
        self.nodeSize = Int(nodeSize)
        let sectorSize: UInt32 = fields.little(144)
        guard sectorSize >= 512, sectorSize <= nodeSize, sectorSize & (sectorSize - 1) == 0 else {
            throw damaged("the superblock says sectors of \(sectorSize) bytes")
        }
        self.sectorSize = Int(sectorSize)
        generation = fields.little(72)
        totalLength = fields.little(112)
        usedLength = fields.little(120)
        rootTree = BtrfsPointer(logical: fields.little(80), level: fields.byte(198), generation: fields.little(72))
        chunkTree = BtrfsPointer(logical: fields.little(88), level: fields.byte(199), generation: fields.little(164))
        let count: UInt32 = fields.little(160)
        guard count <= 2048 else { throw damaged("the superblock's chunks do not fit it") }
        systemChunks = ByteFields(fields.part(811, Int(count)))
        deviceCount = fields.little(136)
        deviceNumber = fields.little(201)
        deviceLength = fields.little(209)
        deviceUUID = Array(fields.part(267, 16))
        metadataUUID = Array(fields.part(features & Self.hasMetadataUUID != 0 ? 571 : 32, 16))
        uuid = fields.uuid(32)
        let name = fields.text(299, 256)
        label = name.isEmpty ? nil : name
        let flags: UInt64 = fields.little(56)
        isSeed = flags & Self.seedFlag != 0
        if flags & Self.damageFlags != 0 {
            state = .dirty
        } else if flags & ~Self.knownFlags != 0 {
            // A copy of the metadata alone, without any file's data, is one of these.
            state = .unknown("flags 0x\(String(flags & ~Self.knownFlags, radix: 16)) of btrfs's superblock")
        } else {
            // A log tree: fsync(2) was called after the last commit.
            state = fields.little(96, as: UInt64.self) == 0 ? .clean : .needsRecovery
        }
    }
}

/// A key of btrfs's trees: what, which kind of item, and where.
struct BtrfsKey: Sendable, Hashable, Comparable {
    static let size = 17

    /// Kinds of items that are read.
    enum Kind {
        static let inode: UInt8 = 1
        static let directoryItem: UInt8 = 84
        static let directoryIndex: UInt8 = 96
        static let extentData: UInt8 = 108
        static let checksums: UInt8 = 128
        static let root: UInt8 = 132
        static let rootReference: UInt8 = 156
        static let extent: UInt8 = 168
        static let treeBlock: UInt8 = 169
        /// Kinds of references to an extent, from here on.
        static let extentOwner: UInt8 = 172
        static let sharedDataReference: UInt8 = 184
        static let blockGroup: UInt8 = 192
        static let freeSpaceInfo: UInt8 = 198
        static let freeSpaceExtent: UInt8 = 199
        static let freeSpaceBitmap: UInt8 = 200
        static let deviceExtent: UInt8 = 204
        static let device: UInt8 = 216
        static let chunk: UInt8 = 228
        static let deviceReplacement: UInt8 = 250
    }

    var object: UInt64
    var kind: UInt8
    var offset: UInt64

    init(_ object: UInt64, _ kind: UInt8, _ offset: UInt64) {
        self.object = object
        self.kind = kind
        self.offset = offset
    }

    /// Decodes the key at byte `place`.
    init(_ fields: ByteFields, at place: Int) {
        self.init(fields.little(place), fields.byte(place + 8), fields.little(place + 9))
    }

    static func < (one: BtrfsKey, other: BtrfsKey) -> Bool {
        (one.object, one.kind, one.offset) < (other.object, other.kind, other.offset)
    }
}
