// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// XFS whose structures contradict what is in use, with all checksums right: nothing in use may be called free.
@Suite(.enabled(if: XFSVolume.isPossible))
struct XFSLieTests {
    private let folder: TemporaryFolder

    init() throws { folder = try XFSVolume.folder() }

    /// Makes a small image with files of all kinds, in version 4 by a protofile.
    private func make(_ arguments: [String]) throws -> XFSImage {
        guard arguments.contains("crc=0") else {
            let volume = try XFSVolume(in: folder, arguments, megabytes: 48)
            try volume.mounted { folder in
                try Trees.make(in: folder, many: 60)
                try XFSVolume.age(folder, seed: 5, files: 60)
            }
            return try XFSImage(volume.file)
        }
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: 60)
        try Trees.write(try Trees.protofile(tree, without: XFSVolume.isUnwritable), to: folder.file("proto"))
        return try XFSImage(XFSVolume(in: folder, arguments + ["-p", folder.file("proto")], megabytes: 48).file)
    }

    private static let kinds = [["-m", "rmapbt=0"], ["-m", "rmapbt=1"], ["-m", "crc=0"]]

    /// Returns the first bytes of all blocks in use, by what they hold: as many kinds as there are magic numbers.
    private func usedBlocks(_ image: XFSImage, _ use: SpaceUse) -> [String: [Int]] {
        var blocks: [String: [Int]] = [:]
        for place in stride(from: 0, to: image.volume.content.count, by: image.blockSize) {
            guard !use.free.overlaps(Int64(place)..<Int64(place + image.blockSize)) else { continue }
            let magic = image.magic(place)
            let isKnown = magic.utf8.allSatisfy { (0x30...0x5a).contains($0) }
            blocks[isKnown ? magic : "other", default: []].append(place)
        }
        return blocks
    }

    @Test(arguments: kinds) func aBlockInUseThatIsCalledFreeIsFound(_ arguments: [String]) throws {
        var image = try make(arguments)
        let use = try image.spaceUse()
        let blocks = usedBlocks(image, use)
        #expect(blocks.count > (image.isVersion5 ? 10 : 6), "\(blocks.keys)")
        var generator = SeededGenerator(seed: 11)
        for kind in blocks.keys.sorted() {
            for _ in 0..<6 {
                let place = try #require(blocks[kind]?.randomElement(using: &generator)) / image.blockSize
                let (group, block) = place.quotientAndRemainder(dividingBy: image.groupBlocks)
                guard group < image.groupCount else { continue }
                #expect(image.free(block, of: group, &generator))
                let error = #expect(throws: FileSystemError.self, "\(kind), group \(group), block \(block)") {
                    try image.spaceUse()
                }
                #expect(error?.reason.contains("free") == true, "\(kind): \(String(describing: error))")
                image.restore()
            }
        }
    }

    /// An extent that leads to what is free, in an inode or in a block of its tree.
    @Test(arguments: kinds) func anExtentThatIsFreeIsFound(_ arguments: [String]) throws {
        var image = try make(arguments)
        let use = try image.spaceUse()
        var generator = SeededGenerator(seed: 12)
        var records: [(structure: Int, record: Int)] = []
        for place in stride(from: 0, to: image.volume.content.count, by: 512)
        where !use.free.overlaps(Int64(place)..<Int64(place + 1)) {
            switch image.magic(place) {
            case "IN" where image[place + 4] >> 16 & 0xff == 2 && image[place + 76] > 0 && image[place] & 0xffff != 0:
                records.append((place, place + (image.isVersion5 ? 176 : 100)))
            case "BMA3" where image[place + 4] >> 16 == 0: records.append((place, place + 72))
            default: break
            }
        }
        #expect(records.count > 20)
        for _ in 0..<25 {
            let (structure, record) = try #require(records.randomElement(using: &generator))
            let run = try #require(use.free.ranges.randomElement(using: &generator))
            let block = Int.random(in: Int(run.lowerBound)..<Int(run.upperBound), using: &generator) / image.blockSize
            let (group, inGroup) = block.quotientAndRemainder(dividingBy: image.groupBlocks)
            let number = UInt64(group) << UInt64(image.groupLog) | UInt64(inGroup)
            // 52 bits of block, 21 of count, which stays.
            image[record + 4] = image[record + 4] & ~0x1ff | UInt32(number >> 43)
            image[record + 8] = UInt32(truncatingIfNeeded: number >> 11)
            image[record + 12] = UInt32(truncatingIfNeeded: number << 21) | image[record + 12] & 0x1f_ffff
            image.seal(structure)
            #expect(throws: FileSystemError.self, "extent at byte \(record) to block \(block)") { try image.spaceUse() }
            image.restore()
        }
    }

    /// Inodes that the tree does not know, or calls free.
    @Test(arguments: [["-m", "finobt=0"], ["-m", "crc=0,finobt=0"]])
    func anInodeThatIsHiddenIsFound(_ arguments: [String]) throws {
        var image = try make(arguments[1] == "finobt=0" ? arguments : ["-m", "crc=0", "-m", "finobt=0"])
        _ = try image.spaceUse()
        for group in 0..<image.groupCount {
            guard var tree = image.leaf(group, sector: 2, root: 20, levels: 24, words: 4), !tree.records.isEmpty else {
                continue
            }
            let header = image.group(group) + 2 * image.sectorSize
            // The last chunk is not in the tree.
            let last = tree.records.removeLast()
            let (count, free) =
                image.isVersion5 ? (last[1] >> 8 & 0xff, last[1] & 0xff) : (64, last[1])
            image.write(tree)
            image[header + 16] -= count
            image[header + 28] -= free
            image.seal(header)
            image[132] -= count
            image[140] -= free
            image.seal(0)
            #expect(throws: FileSystemError.self) { try image.spaceUse() }
            image.restore()
            // Its first inode in use is said to be free.
            let bits = UInt64(last[2]) << 32 | UInt64(last[3])
            let bit = UInt64(1) << UInt64((~bits).trailingZeroBitCount)
            guard ~bits != 0 else { continue }
            let changed = bits | bit
            tree.records.append([last[0], last[1] + 1, UInt32(changed >> 32), UInt32(truncatingIfNeeded: changed)])
            image.write(tree)
            image[header + 28] += 1
            image.seal(header)
            image[140] += 1
            image.seal(0)
            let error = #expect(throws: FileSystemError.self) { try image.spaceUse() }
            #expect(error?.reason.contains("is in use, but is called free") == true)
            image.restore()
        }
    }

    @Test func inodesStillToBeRemovedAreRefused() throws {
        var image = try make([])
        image[image.group(1) + 2 * image.sectorSize + 40 + 4 * 17] = 130
        image.seal(image.group(1) + 2 * image.sectorSize)
        #expect(throws: FileSystemError.self) { try image.spaceUse(isChecked: false) }
    }

    /// One byte of metadata changed at random, its checksum made right or not.
    @Test(arguments: kinds) func damageNeverMakesFreeWhatIsInUse(_ arguments: [String]) throws {
        var image = try make(arguments)
        let use = try image.spaceUse()
        var used: [Range<Int64>] = []
        var end: Int64 = 0
        for run in use.free.ranges {
            if run.lowerBound > end { used.append(end..<run.lowerBound) }
            end = run.upperBound
        }
        var places: [String: [Int]] = [:]
        let known = ["XFSB", "XAGF", "XAGI", "XAFL", "IN"] + ["AB3B", "AB3C", "ABTB", "ABTC", "IAB3", "IABT", "FIB3"]
        let trees = ["RMB3", "R3FC", "BMA3", "BMAP"]
        for place in stride(from: 0, to: image.volume.content.count, by: 512)
        where known.contains(image.magic(place)) || trees.contains(image.magic(place)) {
            places[image.magic(place), default: []].append(place)
        }
        #expect(places.count >= 7, "\(places.keys)")
        var generator = SeededGenerator(seed: 13)
        var passed = 0
        let kinds = places.keys.sorted()
        for round in 0..<120 {
            let kind = kinds[round % kinds.count]
            let place = try #require(places[kind]?.randomElement(using: &generator))
            let length = kind == "IN" ? image.inodeSize : kind.hasPrefix("X") ? 400 : 200
            let byte = place + Int(generator.next() % UInt64(length))
            let isSealed = round % 3 > 0
            let flipped = image.volume.content[byte] ^ 1 << UInt8(generator.next() % 8)
            image.put([flipped, 0xff, 0][Int(generator.next() % 3)], at: byte)
            if isSealed { image.seal(place) }
            if let damaged = try? image.spaceUse() {
                passed += 1
                #expect(!used.contains { damaged.free.overlaps($0) }, "\(kind), byte \(byte - place), round \(round)")
            }
            image.restore()
        }
        #expect(try image.spaceUse() == use)
        #expect(passed > 5)
        for length in [4096, 1 << 20, image.volume.content.count / 2, image.volume.content.count - 512] {
            var short = image
            short.volume.content.removeLast(short.volume.content.count - length)
            #expect(throws: FileSystemError.self) { try short.spaceUse() }
        }
    }
}
