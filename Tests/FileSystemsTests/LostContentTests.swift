// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import SystemPackage
internal import TestSupport
internal import Testing

/// What lies where something cannot be read, held against what the file systems' own tools say.
@Suite struct LostContentTests {
    /// Returns what is told of `count` bytes at `offset` of the image `file`.
    private static func content(_ offset: Int64, _ count: Int64, _ file: String, _ type: String) throws -> [LostContent]
    {
        let source = try FileSource(file)
        return try #require(
            LostContent.find(
                in: [offset..<offset + count], of: FaultySource(source, bad(offset, count)), type: type))
    }

    /// The place itself cannot be read either.
    private static func bad(_ offset: Int64, _ count: Int64) -> FaultPlan {
        FaultPlan(.init(.read, in: offset..<offset + count, .fail(.ioError)))
    }

    /// Returns numbers of units, below `count`, three quarters of which are in use.
    private static func places(
        _ number: Int, unit: Int64, count: Int64, of file: String, _ generator: inout SeededGenerator
    ) throws -> [Int64] {
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        let free = try reader.spaceUse(SpaceOptions(isChecked: false)).free
        var found: [Int64] = []
        while found.count < number {
            let place = 1 + Int64(generator.next() % UInt64(count - 1))
            let isFree = free.overlaps(place * unit..<(place + 1) * unit)
            if isFree == (found.count % 4 == 0) { found.append(place) }
        }
        return found
    }

    private static func isNamed(_ content: [LostContent], _ paths: [String]) -> Bool {
        content.count == 1 && content[0].path.map(paths.contains) == true
    }

    // MARK: ext2, ext3, ext4

    static let variants: [ExtSpaceImages.Variant] = [
        .init(arguments: "-t ext4"), .init(arguments: "-t ext4 -b 1024 -O ^metadata_csum", megabytes: 40),
        .init(arguments: "-t ext3 -b 1024"), .init(arguments: "-t ext2 -b 2048 -O ^dir_index"),
        .init(arguments: "-t ext4 -O bigalloc,^resize_inode -C 16384", megabytes: 64),
        .init(arguments: "-t ext4 -O meta_bg,^resize_inode,64bit -b 1024", megabytes: 40),
    ]

    /// debugfs(8): `icheck` gives the inode of a block, `ncheck` its names.
    @Test(
        .enabled(if: Tool.isInstalled("mke2fs", "debugfs", "dumpe2fs") && Mount.isPossible && LoopDevice.areAvailable),
        arguments: variants)
    func extOwnersAreThoseOfDebugfs(variant: ExtSpaceImages.Variant) throws {
        let images = try ExtSpaceImages()
        let file = try images.image(variant, many: 60)
        let header = try Tool.output("dumpe2fs", ["-h", file])
        func number(_ name: String) throws -> Int64 {
            let line = try #require(header.split(separator: "\n").first { $0.hasPrefix("\(name):") })
            return try #require(line.split(separator: " ").last.flatMap { Int64($0) })
        }
        let (size, count) = (try number("Block size"), try number("Block count"))
        var generator = SeededGenerator(seed: 11)
        let blocks = try Self.places(60, unit: size, count: count, of: file, &generator)
        let asked = blocks.map(String.init).joined(separator: " ")
        var inodes: [Int64: Int] = [:]
        for line in try Tool.output("debugfs", ["-R", "icheck \(asked)", file]).split(separator: "\n").dropFirst() {
            let words = line.split(separator: "\t")
            if words.count == 2, let block = Int64(words[0]), let inode = Int(words[1]) { inodes[block] = inode }
        }
        #expect(inodes.count > 10)
        var names: [Int: [String]] = [:]
        let list = Set(inodes.values).map(String.init).joined(separator: " ")
        for line in try Tool.output("debugfs", ["-R", "ncheck \(list)", file]).split(separator: "\n").dropFirst() {
            let words = line.split(separator: "\t", maxSplits: 1)
            if words.count == 2, let inode = Int(words[0]) { names[inode, default: []].append(String(words[1])) }
        }
        let kind = try #require(try FileSystemKind.open(FileSource(file))).kind.rawValue
        for block in blocks {
            let content = try Self.content(block * size, size, file, kind)
            let story = Comment(rawValue: "block \(block), inode \(inodes[block] ?? 0): \(content)")
            #expect(content.reduce(0) { $0 + $1.lengthInBytes } == size, story)
            if let inode = inodes[block], inode == 2 || inode > 10 {
                let paths =
                    inode == 2 ? ["/"] : (names[inode] ?? []).map { $0.hasPrefix("//") ? String($0.dropFirst()) : $0 }
                #expect(Self.isNamed(content, paths), story)
            } else if inodes[block] != nil {
                #expect(content.allSatisfy { $0.kind == .metadata && $0.detail != nil }, story)
            } else if !variant.arguments.contains("bigalloc") {
                // Of a cluster, debugfs names the block that an extent has; nobody has the others.
                let isFree = try Tool.output("debugfs", ["-R", "testb \(block)", file]).contains("not in use")
                #expect(content.map(\.kind) == [isFree ? .free : .metadata], story)
            }
        }
    }

    /// dumpe2fs(8) says where the structures of a group are.
    @Test(.enabled(if: Tool.isInstalled("mke2fs", "debugfs")))
    func namesStructuresOfExt() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("image")
        try Tool.output("truncate", ["-s", "200M", file])
        try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^flex_bg", "-N", "4096", file])
        func bytes(_ path: String) throws -> Int64 {
            let words = try Tool.output("debugfs", ["-R", "stat \(path)", file])
            return try #require(words.contains("Inode") ? 1 : nil)
        }
        _ = try bytes("<2>")
        func place(_ field: String) throws -> Int64 {
            let text = try Tool.output("debugfs", ["-R", "stats", file])
            let line = try #require(text.split(separator: "\n").first { $0.contains("Group  0:") })
            let words = line.split { " ,".contains($0) }
            let index = try #require(
                words.indices.first { words[$0...].joined(separator: " ").hasPrefix("\(field) at") })
            let parts = field.split(separator: " ").count
            return try #require(Int64(words[index + parts + 1])) * 4096
        }
        for (offset, detail) in [
            (try place("block bitmap"), "block bitmap of group 0"),
            (try place("inode bitmap"), "inode bitmap of group 0"),
            (try place("inode table"), "inode table of group 0"), (4096, "group descriptors"),
            (32768 * 4096, "copy of the superblock in group 1"), (1024, "superblock"), (0, "boot area"),
        ] {
            let content = try Self.content(offset, 512, file, "ext4")
            let expected = [LostContent(kind: .metadata, detail: detail, lengthInBytes: 512)]
            #expect(content == expected, "at \(offset)")
        }
    }

    // MARK: XFS

    static let xfsArguments = [
        [], ["-m", "rmapbt=1,reflink=1"], ["-b", "size=1024"], ["-d", "agcount=2", "-n", "size=8192"],
    ]

    /// xfs_db(8): `blockget` walks everything, `blockuse -n` tells what a block is, and whose.
    @Test(.enabled(if: XFSVolume.isPossible), arguments: xfsArguments)
    func xfsOwnersAreThoseOfItsDebugger(arguments: [String]) throws {
        let volume = try XFSVolume(in: try XFSVolume.folder(), arguments)
        try volume.mounted { folder in try Trees.make(in: folder, many: 700) }
        let text = try volume.database(["sb 0", "p blocksize agblocks agblklog dblocks"])
        let numbers = text.split(separator: "\n").compactMap { $0.split(separator: " ").last.flatMap { Int64($0) } }
        try #require(numbers.count == 4)
        let (size, perGroup, log, count) = (numbers[0], numbers[1], numbers[2], numbers[3])
        var generator = SeededGenerator(seed: 5)
        let blocks = try Self.places(50, unit: size, count: count, of: volume.file, &generator)
        let commands = blocks.flatMap { ["fsblock \(($0 / perGroup) << log | $0 % perGroup)", "blockuse -n"] }
        let lines = try volume.database(["blockget -n"] + commands).split(separator: "\n").filter {
            $0.hasPrefix("block ")
        }
        try #require(lines.count == blocks.count)
        var seen: Set<String> = []
        for (block, line) in zip(blocks, lines) {
            let words = line.split(separator: " ").map(String.init)
            let type = words[4]
            seen.insert(type)
            let content = try Self.content(block * size, size, volume.file, "xfs")
            let story = Comment(rawValue: "\(line): \(content)")
            switch type {
            case "data", "dir", "attr", "symlink":
                let name = words.count > 7 ? "/" + words[7...].joined(separator: " ") : "/"
                #expect(content.count == 1 && content[0].path == name, story)
                #expect(content.first?.kind == (type == "dir" ? .directory : type == "attr" ? .metadata : .file), story)
            case "free1", "free2": #expect(content.map(\.kind) == [.free], story)
            default: #expect(content.allSatisfy { $0.kind == .metadata && $0.path == nil }, story)
            }
        }
        #expect(seen.count > 1 && seen.contains("data"), "\(seen)")
        let header = try Self.content(512, 512, volume.file, "xfs")
        #expect(header.map(\.detail) == ["header of free space of group 0"])
    }

    // MARK: NTFS

    /// ntfscluster(8) names the attributes that use a cluster.
    @Test(
        .enabled(
            if: Tool.isInstalled("mkntfs", "ntfs-3g", "ntfscluster") && LoopDevice.areAvailable && Mount.isPossible),
        arguments: ["4096", "512"])
    func ntfsOwnersAreThoseOfNtfscluster(clusterSize: String) throws {
        let folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk))
        let file = folder.file("image")
        try Tool.output("truncate", ["-s", "40M", file])
        do {
            let loop = try LoopDevice(file)
            try Tool.output("mkntfs", ["-q", "-F", "-f", "-c", clusterSize, loop.path])
            let mount = try Mount(["-t", "ntfs-3g", loop.path], at: try folder.folder("mnt"), keeping: loop)
            try withExtendedLifetime(mount) { try Trees.make(in: mount.folder, many: 700, isForWindows: true) }
        }
        let size = try #require(Int64(clusterSize))
        var generator = SeededGenerator(seed: 3)
        var named = 0
        for cluster in try Self.places(40, unit: size, count: (40 << 20) / size - 1, of: file, &generator) {
            let text = try Tool.run("ntfscluster", ["-f", "-c", "\(cluster)-\(cluster)", file]).output
            let owner = text.split(separator: "\n").first { $0.hasPrefix("Inode ") }
            let content = try Self.content(cluster * size, size, file, "ntfs")
            let story = Comment(rawValue: "\(cluster): \(owner ?? ""): \(content)")
            guard let owner else {
                #expect(content.map(\.kind) == [.free], story)
                continue
            }
            let path = owner.split(separator: " ", maxSplits: 2)[2]
            if path.hasPrefix("/$") {
                #expect(content.allSatisfy { $0.kind == .metadata }, story)
            } else {
                named += 1
                // The attribute's name stands behind the file's.
                let name = path[..<(path.firstRange(of: "/$")?.lowerBound ?? path.endIndex)]
                #expect(content.count == 1 && content[0].path == (name.isEmpty ? "/" : String(name)), story)
            }
        }
        #expect(named > 3)
    }

    // MARK: What is hostile

    @Test(.enabled(if: Tool.isInstalled("mke2fs")))
    func whatLeadsThereIsLostAsWell() throws {
        let folder = try TemporaryFolder()
        let file = folder.file("image")
        let tree = try folder.folder("tree")
        try SampleContent.write(SampleContent.bytes(.random, length: 3 << 20), to: "\(tree)/file")
        try Tool.output("truncate", ["-s", "20M", file])
        try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, file])
        // The inode table cannot be read, nor the file's content.
        let bad: [Range<Int64>] = [0..<20 << 20]
        let plan = FaultPlan(.init(.read, in: 8192..<20 << 20, .fail(.ioError)))
        let source = FaultySource(try FileSource(file), plan)
        let content = try #require(LostContent.find(in: bad, of: source, type: "ext4"))
        #expect(content.last?.kind == .unknown && content.contains { $0.detail == "inode table of group 0" })
        #expect(content.reduce(0) { $0 + $1.lengthInBytes } == 20 << 20, "\(content)")
        // Nothing at all can be read.
        let gone = FaultySource(try FileSource(file), FaultPlan(.init(.read, .fail(.ioError))))
        for type in ["ext4", "xfs", "ntfs"] {
            let content = try #require(LostContent.find(in: bad, of: gone, type: type))
            #expect(content.last?.kind == .unknown)
        }
        #expect(LostContent.find(in: bad, of: source, type: "vfat") == nil)
    }

    @Test(.enabled(if: Tool.isInstalled("mke2fs", "mkfs.xfs", "mkntfs")), arguments: ["ext4", "xfs", "ntfs"])
    func damageEndsTheSearch(type: String) throws {
        let folder = try TemporaryFolder()
        let file = folder.file("image")
        try Tool.output("truncate", ["-s", "\(type == "xfs" ? 300 : 24)M", file])
        switch type {
        case "ext4": try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", file])
        case "xfs": try Tool.output("mkfs.xfs", ["-q", "-f", file])
        default: try Tool.output("mkntfs", ["-q", "-F", file])
        }
        let length = Int64(try FileSource(file).lengthInBytes)
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<60 {
            // A bit of the first megabytes, and where groups begin, is another one.
            let faults = (0..<4).map { _ in
                let place = Int64(generator.next() % (2 << 20))
                return FaultPlan.Fault(.read, in: place..<place + 1, .flipBit)
            }
            let source = FaultySource(try FileSource(file), FaultPlan(faults))
            let start = Int64(generator.next() % UInt64(length - 65536)) / 512 * 512
            guard let content = LostContent.find(in: [start..<start + 65536], of: source, type: type) else { continue }
            #expect(content.count <= LostContent.maximumCount + 2)
            #expect(content.reduce(0) { $0 + $1.lengthInBytes } >= 65536)
        }
    }
}
