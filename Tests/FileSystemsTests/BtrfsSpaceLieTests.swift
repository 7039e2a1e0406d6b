// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// Structures of btrfs that lie of what is free, with checksums that are right.
@Suite(.enabled(if: Tool.isInstalled("mkfs.btrfs", "btrfs") && LoopDevice.areAvailable && Mount.isPossible))
struct BtrfsSpaceLieTests {
    private let images: BtrfsImages

    init() throws { images = try BtrfsImages() }

    private func aged(_ arguments: [String] = [], megabytes: Int = 120) throws -> BtrfsImage {
        let file = try images.make(["-m", "single"] + arguments, megabytes: megabytes)
        try images.mounted(file, "defaults") { folder in
            try Trees.make(in: folder, many: 300)
            try images.age(folder, seed: 3, count: 100)
            try Tool.output("btrfs", ["subvolume", "snapshot", folder, "\(folder)/snap"])
            try images.age(folder, seed: 4, count: 20)
        }
        return try BtrfsImage(file)
    }

    @Test(arguments: [[], ["-n", "4096"], ["--mixed"]]) func anExtentThatIsElsewhere(_ arguments: [String]) throws {
        var image = try aged(arguments)
        var generator = SeededGenerator(seed: 5)
        let extents = image.dump.extents
        // Those before a gap: they are said to lie further on, so that no count changes.
        let choice = extents.indices.dropLast().filter { index in
            let (one, next) = (extents[index], extents[index + 1])
            let chunk = image.dump.chunks.last { $0.logical <= one.logical }
            return one.isAlone && one.index > 0 && one.leaf == next.leaf && next.index == one.index + 1
                && next.logical > one.logical + one.length
                && next.logical <= (chunk.map { $0.logical + $0.length } ?? 0)
        }
        #expect(choice.contains { extents[$0].isData } && choice.contains { !extents[$0].isData })
        /// Lets `body` look at each of some extents while it is said to lie elsewhere.
        func move(_ body: (BtrfsDump.Extent) throws -> Void) rethrows {
            for index in choice.shuffled(using: &generator).prefix(24) {
                let (one, next) = (extents[index], extents[index + 1])
                let place = 101 + one.index * 25
                let other = min(next.logical - one.length, one.logical + one.length)
                image.change(one.leaf) { $0.set(UInt64(other), at: $1 + place) }
                try body(one)
                image.change(one.leaf) { $0.set(UInt64(one.logical), at: $1 + place) }
            }
        }
        if image.number(at: (64 << 10) + 180) & 3 == 3 {
            move { one in #expect(throws: FileSystemError.self, "\(one)") { try image.use(false) } }
        }
        image.forgetFreeSpaceTree()
        try move { one in
            let free = try image.use(false).free
            #expect(image.dump.places(one.logical).contains { free.overlaps($0..<$0 + one.length) }, "\(one)")
            let error = #expect(throws: FileSystemError.self, "\(one)") { try image.use() }
            #expect(error?.description.contains("is said to be free") ?? false, "\(one) \(error?.description ?? "")")
        }
        _ = try image.use()
    }

    /// Every count is set right too.
    @Test func anExtentThatIsShorter() throws {
        var image = try aged()
        image.forgetFreeSpaceTree()
        var generator = SeededGenerator(seed: 6)
        let choice = image.dump.extents.filter { $0.isData && $0.length > 4096 }
        for one in choice.shuffled(using: &generator).prefix(20) {
            func shorten(by length: Int64) throws {
                image.change(one.leaf) { image, place in
                    let place = place + 101 + one.index * 25 + 9
                    image.set(UInt64(Int64(image.number(at: place)) - length), at: place)
                }
                let group = try #require(image.dump.groups.last { $0.logical <= one.logical })
                image.change(group.leaf) { image, place in
                    let place = image.data(place, group.index)
                    image.set(UInt64(Int64(image.number(at: place)) - length), at: place)
                }
                let used = (64 << 10) + 120
                image.set(UInt64(Int64(image.number(at: used)) - length), at: used)
                image.sealSuperblock()
            }
            try shorten(by: 4096)
            let free = try image.use(false).free
            #expect(image.dump.places(one.logical).contains { free.overlaps($0..<$0 + one.length) })
            #expect(throws: FileSystemError.self, "\(one)") { try image.use() }
            try shorten(by: -4096)
        }
        _ = try image.use()
    }

    @Test(arguments: [true, false]) func randomDamage(_ isForgotten: Bool) throws {
        var image = try aged()
        if isForgotten { image.forgetFreeSpaceTree() }
        var generator = SeededGenerator(seed: isForgotten ? 11 : 12)
        let used = FreeRuns(image.dump.used())
        let blocks = image.dump.extents.filter { !$0.isData }
        var believed = 0
        for trial in 0..<120 * Damage.factor {
            let isSuperblock = trial % 5 == 0
            let block = try #require(blocks.randomElement(using: &generator))
            let start = isSuperblock ? 64 << 10 : Int(image.dump.places(block.logical)[0])
            let length = isSuperblock ? 4096 : Int(image.dump.nodeSize)
            let count = isSuperblock ? 1000 : 101 + 25 * Int(image.number(at: start + 96) & 0xffff)
            // Headers and keys more often than data.
            let place =
                start + 32
                + Int.random(
                    in: 0..<(trial % 3 == 0 ? length - 32 : min(count, length - 32)), using: &generator)
            let value = image.volume.content[place]
            image.volume.content[place] = trial % 2 == 0 ? value ^ 1 << UInt8(trial / 2 % 8) : UInt8(trial & 0xff)
            image.seal(start, count: length)
            if let use = try? image.use() {
                believed += 1
                let wrong = use.free.ranges.first { used.overlaps($0) }
                #expect(wrong == nil, "byte \(place - start) of \(start), was \(value), trial \(trial)")
            }
            image.volume.content[place] = value
            image.seal(start, count: length)
        }
        #expect(believed > 10 && believed < 120 * Damage.factor)
        for length in [65536 + 4096, 1 << 20, 20 << 20, image.volume.content.count - 4096] {
            let volume = MemoryVolume(Array(image.volume.content.prefix(length)))
            #expect(throws: (any Error).self, "\(length)") {
                try #require(try FileSystemKind.open(volume)).spaceUse(SpaceOptions())
            }
        }
    }
}

extension FreeRuns {
    /// Takes the units of a device that are used for runs.
    fileprivate init(_ units: [Bool]) {
        self.init()
        for (unit, isUsed) in units.enumerated() where isUsed {
            append(Int64(unit) * BtrfsDump.unit..<Int64(unit + 1) * BtrfsDump.unit)
        }
    }
}
