// SPDX-License-Identifier: GPL-3.0-or-later

/// Tells what of XFS lies where something cannot be read: headers, trees and inodes of the groups, and every file.
struct XFSOwners {
    private let superblock: XFSSuperblock
    private let volume: VolumeBytes
    /// Blocks of trees that may still be read: a damaged tree may lead in circles.
    private var blocksLeft: UInt64

    /// Looks for the owners of what `search` wants.
    static func search(_ volume: VolumeBytes, _ search: inout OwnerSearch) {
        guard let superblock = try? XFSSuperblock(volume) else {
            search.add(0..<512, .structure("superblock"))
            return search.miss()
        }
        var owners = XFSOwners(superblock: superblock, volume: volume, blocksLeft: superblock.blockCount)
        owners.run(&search)
    }

    private mutating func run(_ search: inout OwnerSearch) {
        if let log = superblock.offset(ofBlock: superblock.logStart, count: superblock.logBlocks) {
            search.add(log..<log + Int64(superblock.logBlocks) * blockSize, .structure("log"))
        }
        for number in 0..<superblock.allocationGroupCount {
            guard search.goesOn() else { return }
            addHeaders(of: number, &search)
            guard let group = try? XFSAllocationGroup(volume, superblock, number) else {
                search.miss()
                continue
            }
            for block in group.freeList { add(number, block, 1, "free list", &search) }
            walkTrees(of: group, &search)
            walkInodes(of: group, &search)
        }
    }

    private var blockSize: Int64 { Int64(superblock.blockSize) }

    private func addHeaders(of group: UInt64, _ search: inout OwnerSearch) {
        guard let start = superblock.offset(inGroup: group, 0) else { return }
        let sector = Int64(superblock.sectorSize)
        let names = [
            group == 0 ? "superblock" : "copy of the superblock in group \(group)",
            "header of free space of group \(group)", "header of inodes of group \(group)",
            "free list of group \(group)",
        ]
        for (index, name) in names.enumerated() {
            let place = start + Int64(index) * sector
            search.add(place..<place + sector, .structure(name))
        }
        let end = (start + 4 * sector + blockSize - 1) / blockSize * blockSize
        search.add(start + 4 * sector..<end, .structure("rest of the headers of group \(group)"))
    }

    private func add(
        _ group: UInt64, _ block: UInt64, _ count: UInt64, _ name: String, _ search: inout OwnerSearch
    ) {
        guard let place = superblock.offset(inGroup: group, block, count: count) else { return search.miss() }
        search.add(place..<place + Int64(count) * blockSize, .structure("\(name) of group \(group)"))
    }

    /// Walks the trees of a group that are nothing but structure, where anything of the group is wanted.
    private mutating func walkTrees(of group: XFSAllocationGroup, _ search: inout OwnerSearch) {
        guard let whole = group.bytes(0, group.length), search.touches(whole) else { return }
        var trees: [(XFSTree.Kind, XFSAllocationGroup.Root)] = [
            (.freeByBlock, group.freeByBlock), (.freeByLength, group.freeByLength),
        ]
        if superblock.totals.hasReverseMap { trees.append((.reverseMap, group.reverseMap)) }
        if superblock.totals.hasReferences { trees.append((.references, group.references)) }
        if superblock.totals.hasFreeInodeTree { trees.append((.freeInodes, group.freeInodes)) }
        for (kind, root) in trees {
            let tree = XFSTree(volume, superblock, kind, of: .group(group.number))
            let branch = XFSTree.Branch(block: root.block, level: root.levels - 1)
            descend(tree, branch, &search) {
                $0.add($2, .structure("\($1) of group \(group.number)"))
            } record: { _, _, _ in
            }
        }
    }

    /// Calls `block` with each block of the tree below `branch`, readable or not, and `record` with each record.
    private mutating func descend(
        _ tree: XFSTree, _ branch: XFSTree.Branch, _ search: inout OwnerSearch,
        block visit: (inout OwnerSearch, String, Range<Int64>) -> Void,
        record: (inout OwnerSearch, ByteFields, Int) -> Void
    ) {
        var waiting = [branch]
        while let branch = waiting.popLast() {
            let place =
                switch tree.owner {
                case .group(let group): superblock.offset(inGroup: group, branch.block)
                case .inode: superblock.offset(ofBlock: branch.block)
                }
            guard let place, blocksLeft > 0, (0..<XFSTree.maximumLevels).contains(branch.level), search.goesOn() else {
                return search.miss()
            }
            blocksLeft -= 1
            visit(&search, tree.kind.rawValue, place..<place + blockSize)
            guard let node = try? XFSTreeBlock(tree, branch) else {
                search.miss()
                continue
            }
            for index in 0..<node.count {
                if branch.level == 0 {
                    record(&search, node.fields, node.place(index))
                } else {
                    waiting.append(.init(block: node.pointer(index), level: branch.level - 1, key: nil))
                }
            }
        }
    }

    private mutating func walkInodes(of group: XFSAllocationGroup, _ search: inout OwnerSearch) {
        let tree = XFSTree(volume, superblock, .inodes, of: .group(group.number))
        let isSparse = superblock.totals.hasSparseInodes
        var chunks: [XFSInodeChunk] = []
        let root = XFSTree.Branch(block: group.inodes.block, level: group.inodes.levels - 1)
        descend(tree, root, &search) {
            $0.add($2, .structure("\($1) of group \(group.number)"))
        } record: {
            search, fields, place in
            // 24 bytes a chunk of 64 inodes: as the inodes of a group are bounded, so is this.
            guard let chunk = XFSInodeChunk(fields, at: place, isSparse: isSparse), chunks.count < 1 << 21 else {
                return search.miss()
            }
            chunks.append(chunk)
        }
        for chunk in chunks {
            for run in chunk.runs { walk(run, of: chunk, group.number, &search) }
        }
    }

    private mutating func walk(
        _ run: Range<UInt64>, of chunk: XFSInodeChunk, _ group: UInt64, _ search: inout OwnerSearch
    ) {
        let log = superblock.inodesPerBlockLog
        guard let block = superblock.offset(inGroup: group, run.lowerBound >> log) else { return search.miss() }
        let size = superblock.inodeSize
        let start = block + Int64(run.lowerBound & (1 << log - 1)) * Int64(size)
        search.add(start..<start + Int64(run.count * size), .structure("inodes of group \(group)"))
        let whole = try? volume.fields(at: start, count: run.count * size)
        for (index, number) in run.enumerated() where !chunk.isFree(number) && search.goesOn() {
            let id = group << (superblock.allocationGroupLog + log) | number
            if let whole {
                walk(ByteFields(whole.part(index * size, size)), id, &search)
            } else if let one = try? volume.fields(at: start + Int64(index * size), count: size) {
                walk(one, id, &search)
            } else {
                search.miss()
            }
        }
    }

    /// Gives what the forks of an inode use to it.
    ///
    /// XFS Algorithms & Data Structures, "Inodes".
    private mutating func walk(_ fields: ByteFields, _ number: UInt64, _ search: inout OwnerSearch) {
        let version = fields.byte(4)
        let mode: UInt16 = fields.big(2)
        guard fields.big(0, as: UInt16.self) == 0x494e, mode != 0, (1...3).contains(version) else {
            return search.miss()
        }
        let core = version == 3 ? 176 : 100
        let boundary = Int(fields.byte(82)) * 8
        guard boundary < fields.count - core else { return search.miss() }
        let isLarge = version == 3 && fields.big(120, as: UInt64.self) & 1 << 4 != 0
        let (count, small): (UInt32, UInt16) = (fields.big(76), fields.big(80))
        let type = FileType(mode: mode)
        if type == .file, fields.big(90, as: UInt16.self) & 1 != 0 { return search.miss() }
        walkFork(
            ByteFields(fields.part(core, boundary == 0 ? fields.count - core : boundary)), format: fields.byte(5),
            extents: isLarge ? fields.big(24) : UInt64(count), number,
            .content(number, isDirectory: type == .directory), &search)
        guard boundary > 0 else { return }
        walkFork(
            ByteFields(fields.part(core + boundary, fields.count - core - boundary)), format: fields.byte(83),
            extents: isLarge ? UInt64(count) : UInt64(small), number, .beside(number, "extended attributes"), &search)
    }

    private mutating func walkFork(
        _ fork: ByteFields, format: UInt8, extents: UInt64, _ inode: UInt64, _ owner: SpaceOwner,
        _ search: inout OwnerSearch
    ) {
        let superblock = superblock
        func add(_ extent: XFSExtent, _ search: inout OwnerSearch) {
            guard extent.count > 0, let place = superblock.offset(ofBlock: extent.block, count: extent.count) else {
                return search.miss()
            }
            search.add(place..<place + Int64(extent.count) * Int64(superblock.blockSize), owner)
        }
        switch format {
        case 2:
            guard extents <= UInt64(fork.count / 16) else { return search.miss() }
            for index in 0..<Int(extents) { add(XFSExtent(fork, at: index * 16), &search) }
        case 3:
            let level = Int(fork.big(0, as: UInt16.self))
            let count = Int(fork.big(2, as: UInt16.self))
            let room = max(fork.count - 4, 0) / 16
            guard (1..<XFSTree.maximumLevels).contains(level), (1...max(room, 1)).contains(count) else {
                return search.miss()
            }
            let tree = XFSTree(volume, superblock, .extents, of: .inode(inode))
            for index in 0..<count {
                let branch = XFSTree.Branch(block: fork.big(4 + room * 8 + index * 8), level: level - 1, key: nil)
                descend(tree, branch, &search) { search, _, place in
                    search.add(place, .beside(inode, "list of extents"))
                } record: { search, fields, place in
                    add(XFSExtent(fields, at: place), &search)
                }
            }
        default: break
        }
    }
}
