// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Free space of NTFS, held against what ntfsprogs count.
@Suite(
    .enabled(
        if: Tool.isInstalled("mkntfs", "ntfs-3g", "ntfsinfo", "ntfscluster", "ntfsresize", "ntfsfix", "setfattr")
            && LoopDevice.areAvailable && Mount.isPossible))
struct NTFSSpaceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    struct Variant: Sendable, CustomTestStringConvertible {
        var arguments: [String]
        var sectorSize = 512
        var megabytes = 40
        var testDescription: String { "\(arguments) \(sectorSize)" }
    }

    /// Makes, fills and ages a volume: free space in many pieces, files in many more.
    private func image(_ variant: Variant, many: Int = 700) throws -> (file: String, tree: [String: String]) {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(variant.megabytes)M", file])
        let loop = try LoopDevice(file, sectorSize: variant.sectorSize)
        try Tool.output("mkntfs", ["-q", "-F", "-f", "-s", "\(variant.sectorSize)"] + variant.arguments + [loop.path])
        let mount = try Mount(
            ["-t", "ntfs-3g", "-o", "compression", loop.path], at: try folder.folder("mnt"), keeping: loop)
        return try withExtendedLifetime(mount) {
            try Trees.make(in: mount.folder, many: many, isForWindows: true)
            try Self.age(mount.folder, isCompressed: !variant.arguments.contains("65536"))
            return (file, try Trees.ofKernel(mount.folder))
        }
    }

    /// Makes files and deletes every second one, writes into the gaps, and leaves a list of attributes.
    private static func age(_ folder: String, isCompressed: Bool) throws {
        var generator = SeededGenerator(seed: 7)
        try Trees.directory("\(folder)/aged")
        for index in 0..<200 {
            try SampleContent.write(
                generator.bytes(Int(generator.next() % 30_000)), to: "\(folder)/aged/\(index)")
        }
        for index in stride(from: 0, to: 200, by: 2) { unlink("\(folder)/aged/\(index)") }
        let fragmented = try FileSink(creating: "\(folder)/aged/fragmented")
        for block in 0..<300 { try fragmented.write(generator.bytes(4096), at: Int64(block) * 8192) }
        try fragmented.close()
        for index in stride(from: 1, to: 200, by: 6) { unlink("\(folder)/aged/\(index)") }
        guard isCompressed else { return }
        try Trees.directory("\(folder)/packed")
        try Tool.output("setfattr", ["-h", "-n", "system.ntfs_attrib_be", "-v", "0x00000800", "\(folder)/packed"])
        try SampleContent.write(SampleContent.bytes(.mixed, length: 900_001), to: "\(folder)/packed/text")
    }

    private static func freeClusters(_ file: String) throws -> Int64 {
        let text = try Tool.output("ntfsinfo", ["-m", file])
        let line = try #require(text.split(separator: "\n").first { $0.contains("Free Clusters:") })
        return try #require(Int64(line.split(separator: ":")[1].split(separator: " ")[0]))
    }

    private static func clusterSize(_ file: String) throws -> Int64 {
        let text = try Tool.output("ntfsinfo", ["-m", file])
        let line = try #require(text.split(separator: "\n").first { $0.contains("Cluster Size:") })
        return try #require(Int64(line.split(separator: ":")[1].dropFirst()))
    }

    /// Returns where the unnamed data of record `number` lies on the volume.
    private static func data(_ number: Int, of file: String, _ attribute: String = "0x80") throws -> [Range<Int>] {
        let size = Int(try clusterSize(file))
        var isWanted = false
        var found: [Range<Int>] = []
        for line in try Tool.output("ntfscluster", ["-f", "-I", "\(number)", file]).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.first?.hasPrefix("0x") == true { isWanted = words[0] == attribute }
            if isWanted, words.count == 3, let cluster = Int(words[1]), cluster >= 0, let count = Int(words[2]) {
                found.append(cluster * size..<(cluster + count) * size)
            }
        }
        return found
    }

    @Test(
        arguments: [
            Variant(arguments: []), Variant(arguments: ["-c", "512"]), Variant(arguments: ["-c", "1024"]),
            Variant(arguments: ["-c", "65536"], megabytes: 160), Variant(arguments: [], sectorSize: 4096),
            Variant(arguments: ["-c", "262144"], megabytes: 600),
            Variant(arguments: ["-c", "2097152"], megabytes: 4000),
        ])
    func findsWhatIsFree(_ variant: Variant) throws {
        let isLarge = variant.megabytes > 200
        let (file, tree) = try image(variant, many: isLarge ? 40 : 700)
        let size = try Self.clusterSize(file)
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let free = try Self.freeClusters(file)
        #expect(use.free.totalLength == free * size)
        #expect(use.free.ranges.count > 3 && (use.checkedExtents ?? 0) > 50)
        let unchecked = try #require(try FileSystemKind.open(FileSource(file))).spaceUse(SpaceOptions(isChecked: false))
        #expect(unchecked.free == use.free && unchecked.checkedExtents == nil)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(reader.state == .clean)
        #expect(Trees.differences(try Trees.ofReader(reader), tree) == [])
        // Counts the clusters of all files and compares them with the bitmap.
        try Tool.output("ntfsresize", ["--info", "--force", "--no-progress-bar", copy])
        try Tool.output("ntfsfix", ["--no-action", copy])
        let loop = try LoopDevice(copy, sectorSize: variant.sectorSize)
        let mount = try Mount(["-t", "ntfs-3g", "-o", "ro", loop.path], at: try folder.folder("copied"), keeping: loop)
        let copied = try withExtendedLifetime(mount) { try Trees.ofKernel(mount.folder) }
        #expect(Trees.differences(copied, tree) == [])
    }

    /// A master file table in so many pieces that its own record has no room for them.
    @Test func readsATableInManyPieces() throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "24M", file])
        let loop = try LoopDevice(file)
        // Without room that is kept for the table, and with little room elsewhere.
        try Tool.output("mkntfs", ["-q", "-F", "-f", "-c", "512", "-z", "1", loop.path])
        var tree: [String: String] = [:]
        do {
            let mount = try Mount(["-t", "ntfs-3g", loop.path], at: try folder.folder("mnt"))
            var generator = SeededGenerator(seed: 3)
            try Trees.directory("\(mount.folder)/fill")
            var count = 0
            while count < 20_000,
                (try? SampleContent.write(generator.bytes(1500), to: "\(mount.folder)/fill/\(count)")) != nil
            { count += 1 }
            // Gaps of three clusters all over, into which the table grows.
            for index in stride(from: 0, to: count, by: 2) { unlink("\(mount.folder)/fill/\(index)") }
            try Trees.directory("\(mount.folder)/small")
            var small = 0
            while small < 12_000, (try? Trees.write("\(small)", to: "\(mount.folder)/small/\(small)")) != nil {
                small += 1
            }
            tree = try Trees.ofKernel(mount.folder)
        }
        let pieces = try Self.data(0, of: file)
        #expect(pieces.count > 250)
        #expect(try Tool.output("ntfscluster", ["-f", "-I", "0", file]).contains("0x20"))
        let copy = folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let free = try Self.freeClusters(file)
        #expect(use.free.totalLength == free * 512)
        let reader = try #require(try FileSystemKind.open(FileSource(copy)))
        #expect(Trees.differences(try Trees.ofReader(reader), tree) == [])
        try Tool.output("ntfsresize", ["--info", "--force", "--no-progress-bar", copy])
        // Every piece of it is looked at.
        var volume = try MemoryVolume(file: file)
        let bitmap = try Self.data(6, of: file)
        var generator = SeededGenerator(seed: 13)
        for piece in pieces.shuffled(using: &generator).prefix(40) {
            let place = try #require(Self.place(ofBit: piece.lowerBound / 512, in: bitmap))
            volume.content[place.byte] ^= place.mask
            #expect(SpaceLies.use(volume, "ntfs", isChecked: false) == nil, "\(piece)")
            volume.content[place.byte] ^= place.mask
        }
    }

    private static func place(ofBit bit: Int, in ranges: [Range<Int>]) -> (byte: Int, mask: UInt8)? {
        var byte = bit / 8
        for range in ranges {
            if byte < range.count { return (range.lowerBound + byte, 1 << UInt8(bit % 8)) }
            byte -= range.count
        }
        return nil
    }

    @Test(arguments: [["-c", "4096"], ["-c", "512"]])
    func noticesABitmapThatLies(_ arguments: [String]) throws {
        let seed: UInt64 = 11
        let (file, _) = try image(Variant(arguments: arguments, megabytes: 24), many: 300)
        var volume = try MemoryVolume(file: file)
        let truth = try #require(SpaceLies.use(volume, "ntfs")).free
        let size = try Self.clusterSize(file)
        let bitmap = try Self.data(6, of: file)
        var generator = SeededGenerator(seed: seed)
        var lies = 0
        while lies < 80 * SpaceLies.factor {
            let cluster = Int64.random(in: 0..<Int64(volume.content.count - 512) / size, using: &generator)
            guard !truth.overlaps(cluster * size..<(cluster + 1) * size) else { continue }
            lies += 1
            let place = try #require(Self.place(ofBit: Int(cluster), in: bitmap))
            volume.content[place.byte] ^= place.mask
            #expect(SpaceLies.use(volume, "ntfs") == nil, "seed \(seed), cluster \(cluster)")
            volume.content[place.byte] ^= place.mask
        }
        #expect(SpaceLies.use(volume, "ntfs")?.free == truth)
    }

    @Test func noticesRecordsThatAreHidden() throws {
        let (file, _) = try image(Variant(arguments: [], megabytes: 24), many: 60)
        var volume = try MemoryVolume(file: file)
        let table = try Self.data(0, of: file)
        let marks = try Self.data(0, of: file, "0xb0")
        var generator = SeededGenerator(seed: 5)
        let records = table.flatMap { stride(from: $0.lowerBound, to: $0.upperBound, by: 1024) }
        let used = records.indices.filter { volume.content[records[$0] + 22] & 1 == 1 && $0 > 24 }
        #expect(used.count > 100)
        for index in used.shuffled(using: &generator).prefix(30) {
            // In use by its flag, but not marked.
            let place = try #require(Self.place(ofBit: index, in: marks))
            volume.content[place.byte] ^= place.mask
            #expect(SpaceLies.use(volume, "ntfs") == nil, "record \(index)")
            volume.content[place.byte] ^= place.mask
        }
        // What is marked but says that it is not in use is held against the bitmap nevertheless.
        let file7 = try #require(try FileSystemKind.open(volume, type: "ntfs")?.locate("sizes/70001"))
        let record = records[Int(file7.number & 0xffff_ffff)]
        volume.content[record + 22] &= 0xfe
        #expect(SpaceLies.use(volume, "ntfs") != nil)
        let cluster = try #require(try Self.data(Int(file7.number & 0xffff_ffff), of: file).first).lowerBound / 4096
        let place = try #require(Self.place(ofBit: cluster, in: try Self.data(6, of: file)))
        volume.content[place.byte] ^= place.mask
        #expect(SpaceLies.use(volume, "ntfs") == nil)
    }

    @Test func damageIsNoFreeSpace() throws {
        let (file, _) = try image(Variant(arguments: [], megabytes: 16), many: 60)
        let volume = try MemoryVolume(file: file)
        let records = Damage.metadata(volume.content, blockSize: 1024) { $0.starts(with: Array("FILE".utf8)) }
        let own = try Self.data(0, of: file)[0]
        let special = [0..<90, own.lowerBound..<own.lowerBound + 512, own.lowerBound + 6144..<own.lowerBound + 6656]
        let bitmaps = try Self.data(6, of: file) + Self.data(0, of: file, "0xb0")
        for (ranges, seed) in [(records, 1), (special, 2), (bitmaps, 3)] as [([Range<Int>], UInt64)] {
            try SpaceLies.flip(volume.content, in: ranges, count: 200, seed: seed, type: "ntfs")
        }
        try SpaceLies.truncate(volume.content, type: "ntfs")
    }

    @Test func stopsWhenAsked() throws {
        let (file, _) = try image(Variant(arguments: [], megabytes: 16), many: 3)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        #expect { try reader.spaceUse(SpaceOptions(goesOn: { false })) } throws: {
            ($0 as? FileSystemError)?.cause == .stopped
        }
    }

    @Test func tellsWhereFilesLie() throws {
        let (file, _) = try image(Variant(arguments: [], megabytes: 24), many: 60)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        let found = try reader.ranges(ofFiles: [
            "/AGED/Fragmented", "none", "etc", "etc/os-release", "sizes/70001", "sizes/70001",
        ])
        var expected: [Range<Int>] = []
        for path in ["aged/fragmented", "sizes/70001"] {
            let id = try #require(try reader.locate(path))
            expected += try Self.data(Int(id.number & 0xffff_ffff), of: file)
        }
        var merged = FreeRuns()
        for range in expected.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            merged.append(Int64(range.lowerBound)..<Int64(range.upperBound))
        }
        #expect(found.ranges == merged.ranges && found.totalLength > 1_200_000)
        let free = try reader.spaceUse(SpaceOptions()).free
        #expect(!free.ranges.contains { found.overlaps($0) })
        #expect(try reader.ranges(ofFiles: ["pagefile.sys"]).ranges.isEmpty)
    }
}
