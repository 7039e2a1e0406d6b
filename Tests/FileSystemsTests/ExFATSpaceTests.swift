// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// Free space of exFAT, held against what exfatprogs count.
@Suite(.enabled(if: ExFATVolumes.areAvailable)) struct ExFATSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    private static func freeBytes(_ file: String) throws -> Int64 {
        let lines = try Tool.output("dump.exfat", [file]).split(separator: "\n")
        func number(_ name: String) throws -> Int64 {
            let line = try #require(lines.first { $0.hasPrefix(name) })
            return try #require(line.split(whereSeparator: { " \t".contains($0) }).last.flatMap { Int64($0) })
        }
        return try number("Free Clusters") * number("Cluster size")
    }

    @Test(
        arguments: [
            ([], 512, 40), (["-c", "512"], 512, 40), (["-c", "131072"], 512, 160), ([], 4096, 60),
            (["-c", "1M"], 512, 250), (["--pack-bitmap"], 512, 40),
        ] as [([String], Int, Int)])
    func findsWhatIsFree(_ arguments: [String], sectorSize: Int, megabytes: Int) throws {
        let isLarge = megabytes > 200
        let (file, tree) = try ExFATVolumes.make(
            in: folder, arguments, sectorSize: sectorSize, megabytes: megabytes, many: isLarge ? 3 : 300)
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        #expect(use.free.totalLength == (sectorSize == 512 ? try Self.freeBytes(file) : use.free.totalLength))
        #expect(use.free.ranges.count > 3 && (use.checkedExtents ?? 0) > 60)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(reader.state == .clean)
        #expect(try reader.spaceUse(SpaceOptions(isChecked: false)).free == use.free)
        #expect(Trees.differences(try Trees.ofReader(reader), tree) == [])
        let loop = try LoopDevice(copy, sectorSize: sectorSize)
        try Tool.output("fsck.exfat", ["-n", loop.path])
        let free = try Self.freeBytes(loop.path)
        #expect(use.free.totalLength == free)
        let mount = try Mount(
            ["-t", "exfat-fuse", "-o", "ro", loop.path], at: try folder.folder("copied"), keeping: loop)
        let copied = try withExtendedLifetime(mount) { try Trees.ofKernel(mount.folder) }
        #expect(Trees.differences(copied, tree) == [])
    }

    @Test(arguments: [[], ["-c", "512"]]) func noticesABitmapThatLies(_ arguments: [String]) throws {
        let seed: UInt64 = 31
        var volume = try MemoryVolume(file: try ExFATVolumes.make(in: folder, arguments, megabytes: 24).file)
        let layout = try ExFATVolumes.Layout(volume.content)
        let truth = try #require(SpaceLies.use(volume, "exfat")).free
        var generator = SeededGenerator(seed: seed)
        var lies = 0
        while lies < 60 * SpaceLies.factor {
            let index = Int.random(in: 0..<layout.count, using: &generator)
            let place = Int64(layout.heap + index * layout.cluster)
            guard !truth.overlaps(place..<place + Int64(layout.cluster)) else { continue }
            lies += 1
            volume.content[layout.bitmap + index / 8] ^= 1 << UInt8(index % 8)
            #expect(SpaceLies.use(volume, "exfat") == nil, "seed \(seed), cluster \(index + 2)")
            volume.content[layout.bitmap + index / 8] ^= 1 << UInt8(index % 8)
        }
        #expect(SpaceLies.use(volume, "exfat")?.free == truth)
    }

    /// What only the walk can tell, with checksums put right.
    @Test func noticesFilesThatLie() throws {
        let original = try MemoryVolume(file: try ExFATVolumes.make(in: folder, megabytes: 24, many: 3).file)
        let reader = try #require(try FileSystemKind.open(original))
        let use = try #require(SpaceLies.use(original, "exfat"))
        let layout = try ExFATVolumes.Layout(original.content)
        let entry = Int(try #require(try reader.locate("sizes/70001")).number)
        let other = Int(try #require(try reader.locate("sizes/1300007")).number)
        let chained = Int(try #require(try reader.locate("aged/other")).number)
        // In clusters that follow each other, and in a chain.
        #expect(original.content[entry + 33] & 2 == 2 && original.content[chained + 33] & 2 == 0)
        let free = Int((try #require(use.free.ranges.last).lowerBound - Int64(layout.heap)) / Int64(layout.cluster)) + 2
        func lie(_ entry: Int, cluster: Int) -> SpaceUse? {
            var volume = original
            for index in 0..<4 {
                volume.content[entry + 32 + 20 + index] = UInt8(truncatingIfNeeded: cluster >> (8 * index))
            }
            ExFATVolumes.signEntries(&volume.content, at: entry)
            return SpaceLies.use(volume, "exfat")
        }
        let first = (0..<4).reduce(0) { $0 | Int(original.content[entry + 52 + $1]) << (8 * $1) }
        #expect(lie(entry, cluster: first)?.free == use.free)
        #expect(lie(entry, cluster: free) == nil && lie(entry, cluster: layout.count + 2) == nil)
        #expect(lie(entry, cluster: 1) == nil && lie(chained, cluster: free) == nil)
        // Two files in the same clusters, the longer one twice.
        let long = (0..<4).reduce(0) { $0 | Int(original.content[other + 52 + $1]) << (8 * $1) }
        var volume = original
        volume.content.replaceSubrange(entry + 32..<entry + 64, with: original.content[other + 32..<other + 64])
        volume.content[entry + 35] = original.content[entry + 35]
        ExFATVolumes.signEntries(&volume.content, at: entry)
        #expect(long != first && SpaceLies.use(volume, "exfat") == nil)
    }

    /// Two tables and two bitmaps, of which one is in force.
    @Test func readsTwoBitmaps() throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "24M", file])
        try Tool.output("mkfs.exfat", [file])
        var volume = try MemoryVolume(file: file)
        let truth = try #require(SpaceLies.use(volume, "exfat")).free
        let layout = try ExFATVolumes.Layout(volume.content)
        #expect(layout.table + 2 * layout.tableLength <= layout.heap)
        // The second bitmap in the last cluster, and an entry that tells of it.
        let last = layout.count - 1
        let length = (layout.count + 7) / 8
        #expect(length <= layout.cluster)
        volume.content[layout.bitmap + last / 8] |= 1 << UInt8(last % 8)
        let place = layout.heap + last * layout.cluster
        volume.content.replaceSubrange(
            place..<place + length, with: volume.content[layout.bitmap..<layout.bitmap + length])
        let entry = try #require(
            stride(from: layout.root, to: layout.root + layout.cluster, by: 32).first { volume.content[$0] == 0 })
        volume.content.replaceSubrange(
            entry..<entry + 32, with: volume.content[layout.bitmapEntry..<layout.bitmapEntry + 32])
        volume.content[entry + 1] = 1
        for index in 0..<4 {
            volume.content[entry + 20 + index] = UInt8(truncatingIfNeeded: (last + 2) >> (8 * index))
            volume.content[layout.table + (last + 2) * 4 + index] = 0xff
        }
        volume.content.replaceSubrange(
            layout.table + layout.tableLength..<layout.table + 2 * layout.tableLength,
            with: volume.content[layout.table..<layout.table + layout.tableLength])
        #expect(SpaceLies.use(volume, "exfat") == nil)
        for region in [0, 12 * layout.sector] { volume.content[region + 110] = 2 }
        for active: UInt8 in [0, 1] {
            volume.content[106] = active
            ExFATVolumes.sign(&volume.content, layout.sector)
            let free = try #require(SpaceLies.use(volume, "exfat")).free
            #expect(free.totalLength == truth.totalLength - Int64(layout.cluster))
        }
        volume.content[place + 5] ^= 1
        #expect(SpaceLies.use(volume, "exfat") == nil)
    }

    @Test func damageIsNoFreeSpace() throws {
        let volume = try MemoryVolume(file: try ExFATVolumes.make(in: folder, megabytes: 20, many: 40).file)
        let layout = try ExFATVolumes.Layout(volume.content)
        let directories = Damage.metadata(volume.content, blockSize: 4096) {
            [0x85, 0x83, 0x81].contains($0[$0.startIndex])
        }
        let parts: [([Range<Int>], UInt64)] = [
            (directories, 1), ([0..<128], 2), ([layout.table..<layout.table + 4000], 3),
            ([layout.bitmap..<layout.bitmap + layout.count / 8], 4),
        ]
        for (ranges, seed) in parts {
            try SpaceLies.flip(volume.content, in: ranges, count: 100, seed: seed, type: "exfat")
        }
        try SpaceLies.truncate(volume.content, type: "exfat")
    }

    @Test func stopsWhenAsked() throws {
        let reader = try #require(
            try FileSystemKind.open(FileSource(try ExFATVolumes.make(in: folder, megabytes: 20, many: 3).file)))
        #expect { try reader.spaceUse(SpaceOptions(goesOn: { false })) } throws: {
            ($0 as? FileSystemError)?.cause == .stopped
        }
    }
}
