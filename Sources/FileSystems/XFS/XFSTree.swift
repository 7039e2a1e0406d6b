// SPDX-License-Identifier: GPL-3.0-or-later

/// A B-tree of XFS, walked from its root in the order of its keys, each block held against what leads to it.
///
/// XFS Algorithms & Data Structures, "B+trees"; Linux fs/xfs/libxfs/xfs_format.h. A block is a header (magic, level,
/// count of records, two siblings; in version 5 also its own place, a UUID, its owner and a checksum), then at level 0
/// records, above it keys and, behind room for as many as fit, pointers.
struct XFSTree {
    /// What a tree is of.
    enum Kind: String, Sendable {
        case freeByBlock = "the tree of free space by block"
        case freeByLength = "the tree of free space by length"
        case inodes = "the tree of inodes"
        case freeInodes = "the tree of free inodes"
        case reverseMap = "the reverse map"
        case references = "the tree of shared blocks"
        case extents = "its extent tree"
    }

    /// Whose tree it is: pointers are blocks of a group, or of the file system.
    enum Owner: Sendable {
        case group(UInt64)
        case inode(UInt64)
    }

    /// What leads to a block.
    struct Branch {
        var block: UInt64
        var level: Int
        /// The key that stands beside the pointer: the block's first one.
        var key: UInt64?
    }

    /// Most levels: a tree of 2^32 records in the smallest blocks, half filled, has fewer.
    static let maximumLevels = 24

    let bytes: VolumeBytes
    let superblock: XFSSuperblock
    let kind: Kind
    let owner: Owner

    init(_ bytes: VolumeBytes, _ superblock: XFSSuperblock, _ kind: Kind, of owner: Owner) {
        self.bytes = bytes
        self.superblock = superblock
        self.kind = kind
        self.owner = owner
    }

    func damaged(_ what: String) -> FileSystemError {
        switch owner {
        case .group(let number):
            FileSystemError(superblock.volume, .damaged("group \(number): \(kind.rawValue) \(what)"))
        case .inode(let number):
            FileSystemError(superblock.volume, file: "inode \(number)", .damaged("\(kind.rawValue) \(what)"))
        }
    }

    /// Calls `record` with each record's bytes, and before that `block` with each block's number.
    ///
    /// `roots` are the only block of the topmost level, or all of the level below a root that lies elsewhere. Keys
    /// ascend strictly, so that no block can be met twice; in the reverse map, where several may share a block, they
    /// do not fall.
    func walk(
        _ roots: [Branch], block visit: (UInt64) throws(FileSystemError) -> Void,
        record: (ByteFields, Int) throws(FileSystemError) -> Void
    ) throws(FileSystemError) {
        let top = roots.first?.level ?? 0
        guard roots.allSatisfy({ (0..<Self.maximumLevels).contains($0.level) }) else { throw damaged("is too high") }
        // Blocks still to be read, the next one last; the last block read of each level, and what it says is next.
        var waiting = Array(roots.reversed())
        var previous = [(block: UInt64, next: UInt64)?](repeating: nil, count: top + 1)
        var last: UInt64?
        while let branch = waiting.popLast() {
            let node = try XFSTreeBlock(self, branch)
            guard node.count > 0 || waiting.isEmpty && previous.allSatisfy({ $0 == nil }) else {
                throw damaged("has an empty block")
            }
            let before = previous[branch.level]
            guard node.left == before?.block, before == nil || before?.next == branch.block else {
                throw damaged("has blocks that lead past each other")
            }
            previous[branch.level] = (branch.block, node.right ?? .max)
            try visit(branch.block)
            if let key = branch.key, node.count > 0, node.key(0) != key {
                throw damaged("has a block that does not begin with its key")
            }
            if branch.level > 0 {
                for index in (0..<node.count).reversed() {
                    waiting.append(
                        Branch(block: node.pointer(index), level: branch.level - 1, key: node.key(index)))
                }
                continue
            }
            for index in 0..<node.count {
                let key = node.key(index)
                if let last, kind == .reverseMap ? key < last : key <= last { throw damaged("is not in order") }
                last = key
                try record(node.fields, node.place(index))
            }
        }
        guard previous.allSatisfy({ $0 == nil || $0?.next == .max }) else {
            throw damaged("has blocks that nothing leads to")
        }
    }
}

/// A block of a B-tree, whose header was found right.
struct XFSTreeBlock {
    let fields: ByteFields
    let level: Int
    let count: Int
    /// The blocks of its level on both sides.
    let left: UInt64?
    let right: UInt64?

    private let kind: XFSTree.Kind
    private let header: Int
    private let keySize: Int
    private let room: Int

    /// Reads the block that `branch` leads to.
    init(_ tree: XFSTree, _ branch: XFSTree.Branch) throws(FileSystemError) {
        let superblock = tree.superblock
        let isVersion5 = superblock.isVersion5
        kind = tree.kind
        let place: Int64?
        let isLong: Bool
        switch tree.owner {
        case .group(let group): (place, isLong) = (superblock.offset(inGroup: group, branch.block), false)
        case .inode: (place, isLong) = (superblock.offset(ofBlock: branch.block), true)
        }
        guard let place else { throw tree.damaged("leads outside the file system") }
        fields = try tree.bytes.fields(at: place, count: superblock.blockSize)
        level = Int(fields.big(4, as: UInt16.self))
        guard fields.big(0, as: UInt32.self) == kind.magic(isVersion5: isVersion5), level == branch.level else {
            throw tree.damaged("leads to no block of its own")
        }
        header = (isLong ? 24 : 16) + (isVersion5 ? (isLong ? 48 : 40) : 0)
        keySize = kind.keySize
        let entry = branch.level == 0 ? kind.recordSize : keySize + (isLong ? 8 : 4)
        room = (superblock.blockSize - header) / entry
        count = Int(fields.big(6, as: UInt16.self))
        guard count <= room, count > 0 || level == 0 else { throw tree.damaged("has a block with too many records") }
        if isLong {
            left = Self.sibling(fields.big(8, as: UInt64.self))
            right = Self.sibling(fields.big(16, as: UInt64.self))
        } else {
            left = Self.sibling(fields.big(8, as: UInt32.self))
            right = Self.sibling(fields.big(12, as: UInt32.self))
        }
        if isVersion5 { try check(tree, at: place, isLong: isLong) }
    }

    private static func sibling<Number: FixedWidthInteger>(_ number: Number) -> UInt64? {
        number == .max ? nil : UInt64(number)
    }

    /// Holds what version 5 adds to a header against where the block is.
    private func check(_ tree: XFSTree, at place: Int64, isLong: Bool) throws(FileSystemError) {
        let start = isLong ? 24 : 16
        let sum = isLong ? 64 : 52
        guard CRC32C.checksum(fields.bytes, without: sum) == fields.little(sum) else {
            throw tree.damaged("has a block whose checksum is wrong")
        }
        let isOwn =
            switch tree.owner {
            case .group(let number): UInt64(fields.big(start + 32, as: UInt32.self)) == number
            case .inode(let number): fields.big(start + 32, as: UInt64.self) == number
            }
        guard isOwn, fields.big(start, as: UInt64.self) == UInt64(place) / 512,
            fields.part(start + 16, 16).elementsEqual(tree.superblock.metadataUUID)
        else { throw tree.damaged("leads to another tree's block") }
    }

    /// Returns the byte where record `index` begins.
    func place(_ index: Int) -> Int { header + index * (level == 0 ? kind.recordSize : keySize) }

    /// Returns the key of record or pointer `index`.
    func key(_ index: Int) -> UInt64 {
        let place = place(index)
        switch kind {
        case .freeByLength:
            // By length, then by block; both follow each other the other way round.
            let entry: UInt64 = fields.big(place)
            return entry << 32 | entry >> 32
        case .extents:
            let entry: UInt64 = fields.big(place)
            return level == 0 ? (entry & .max >> 1) >> 9 : entry
        default: return UInt64(fields.big(place, as: UInt32.self))
        }
    }

    /// Returns the block that pointer `index` leads to.
    func pointer(_ index: Int) -> UInt64 {
        let start = header + room * keySize
        return kind == .extents ? fields.big(start + index * 8) : UInt64(fields.big(start + index * 4, as: UInt32.self))
    }
}

extension XFSTree.Kind {
    /// The magic number of its blocks.
    fileprivate func magic(isVersion5: Bool) -> UInt32 {
        switch self {
        case .freeByBlock: isVersion5 ? 0x4142_3342 : 0x4142_5442  // AB3B, ABTB
        case .freeByLength: isVersion5 ? 0x4142_3343 : 0x4142_5443  // AB3C, ABTC
        case .inodes: isVersion5 ? 0x4941_4233 : 0x4941_4254  // IAB3, IABT
        case .freeInodes: isVersion5 ? 0x4649_4233 : 0x4649_4254  // FIB3, FIBT
        case .reverseMap: 0x524d_4233  // RMB3
        case .references: 0x5233_4643  // R3FC
        case .extents: isVersion5 ? 0x424d_4133 : 0x424d_4150  // BMA3, BMAP
        }
    }

    /// Bytes of a record.
    fileprivate var recordSize: Int {
        switch self {
        case .freeByBlock, .freeByLength: 8
        case .inodes, .freeInodes, .extents: 16
        case .reverseMap: 24
        case .references: 12
        }
    }

    /// Bytes of what stands before a pointer: a key, in the reverse map the lowest and the highest one.
    fileprivate var keySize: Int {
        switch self {
        case .freeByBlock, .freeByLength, .extents: 8
        case .inodes, .freeInodes, .references: 4
        case .reverseMap: 40
        }
    }
}
