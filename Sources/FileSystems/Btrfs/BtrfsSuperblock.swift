// SPDX-License-Identifier: GPL-3.0-or-later

/// The superblock of a btrfs device, 64 KiB from its start; all fields little-endian.
///
/// btrfs-dev-docs, "On-disk Format"; Linux include/uapi/linux/btrfs_tree.h.
struct BtrfsSuperblock: Sendable {
    static let offset: Int64 = 64 << 10
    static let size = 4096
    /// `_BHRfS_M`, at byte 64.
    static let magic: UInt64 = 0x4d5f_5366_5248_425f

    private static let hasMetadataUUID: UInt64 = 0x400
    /// The incompatible features that leave what we read as it is: all but the extent tree of version 2 and the RAID
    /// stripe tree.
    private static let knownFeatures: UInt64 = 0x1_1fff
    /// Set while metadata are wrong, or the UUID is being changed.
    private static let damageFlags: UInt64 = 1 << 2 | 1 << 35 | 1 << 36

    /// Where a tree's topmost block is.
    struct Root: Sendable, Hashable {
        var logical: UInt64
        var level: UInt8
        var generation: UInt64?
    }

    let volume: String
    let nodeSize: Int
    let deviceNumber: UInt64
    let deviceCount: UInt64
    /// Whether blocks carry CRC-32C, the only checksum that is looked at.
    let hasCRC32C: Bool
    let rootTree: Root
    let chunkTree: Root
    let systemChunks: ByteFields
    /// UUID that each block of metadata carries.
    let metadataUUID: [UInt8]
    let uuid: String?
    let label: String?
    let state: FileSystemState

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        func damaged(_ what: String) -> FileSystemError { FileSystemError(bytes.name, .damaged(what)) }
        volume = bytes.name
        guard let fields = try bytes.fieldsIfPresent(at: Self.offset, count: Self.size),
            fields.little(64, as: UInt64.self) == Self.magic
        else { throw damaged("there is no btrfs superblock") }
        hasCRC32C = fields.little(196, as: UInt16.self) == 0
        guard !hasCRC32C || CRC32C.checksum(fields.part(32, Self.size)) == fields.little(0) else {
            throw damaged("the superblock's checksum is wrong")
        }
        guard fields.little(48, as: UInt64.self) == UInt64(Self.offset) else {
            throw damaged("the superblock belongs elsewhere")
        }
        let features: UInt64 = fields.little(188)
        guard features & ~Self.knownFeatures == 0 else {
            throw FileSystemError(
                bytes.name, .unsupported("the btrfs feature 0x\(String(features & ~Self.knownFeatures, radix: 16))"))
        }
        let nodeSize: UInt32 = fields.little(148)
        guard nodeSize >= 4096, nodeSize <= 64 << 10, nodeSize & (nodeSize - 1) == 0 else {
            throw damaged("the superblock says nodes of \(nodeSize) bytes")
        }
        self.nodeSize = Int(nodeSize)
        let generation: UInt64 = fields.little(72)
        rootTree = Root(logical: fields.little(80), level: fields.byte(198), generation: generation)
        chunkTree = Root(logical: fields.little(88), level: fields.byte(199), generation: fields.little(164))
        let count: UInt32 = fields.little(160)
        guard count <= 2048 else { throw damaged("the superblock's chunks do not fit it") }
        systemChunks = ByteFields(fields.part(811, Int(count)))
        deviceCount = fields.little(136)
        deviceNumber = fields.little(201)
        metadataUUID = Array(fields.part(features & Self.hasMetadataUUID != 0 ? 571 : 32, 16))
        uuid = fields.uuid(32)
        let name = fields.text(299, 256)
        label = name.isEmpty ? nil : name
        if fields.little(56, as: UInt64.self) & Self.damageFlags != 0 {
            state = .dirty
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
        static let root: UInt8 = 132
        static let rootReference: UInt8 = 156
        static let chunk: UInt8 = 228
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
