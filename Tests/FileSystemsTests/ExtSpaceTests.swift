// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Synchronization
internal import TestSupport
internal import Testing

/// Free space of ext2, ext3 and ext4, with dumpe2fs(8), e2fsck(8) and the kernel as oracles.
@Suite(.enabled(if: Tool.isInstalled("mkfs.ext4", "dumpe2fs", "e2fsck", "debugfs", "resize2fs", "setfattr")))
struct ExtSpaceTests {
    typealias Variant = ExtSpaceImages.Variant

    private let images: ExtSpaceImages

    init() throws { images = try ExtSpaceImages() }

    static let variants = [
        Variant(arguments: "-t ext2 -b 1024 -O ^sparse_super,^resize_inode"),
        Variant(arguments: "-t ext2 -b 4096 -r 0", megabytes: 140),
        Variant(arguments: "-t ext3 -b 2048 -I 128"),
        Variant(arguments: "-t ext3 -b 1024 -g 2048"),
        Variant(arguments: "-t ext4 -b 4096", megabytes: 140),
        Variant(arguments: "-t ext4 -b 1024 -I 512 -O metadata_csum_seed"),
        Variant(arguments: "-t ext4 -b 1024 -O ^flex_bg,uninit_bg,^metadata_csum,^64bit"),
        Variant(arguments: "-t ext4 -b 1024 -g 1024 -G 4 -O uninit_bg,^metadata_csum,64bit"),
        Variant(arguments: "-t ext4 -b 1024 -O ^64bit,^uninit_bg,^metadata_csum"),
        Variant(arguments: "-t ext4 -b 2048 -O ^64bit,metadata_csum", extended: "packed_meta_blocks=1"),
        Variant(arguments: "-t ext4 -b 4096 -O bigalloc -C 65536 -N 4000", megabytes: 96),
        Variant(arguments: "-t ext4 -b 1024 -O bigalloc,^resize_inode -C 8192", megabytes: 70),
        Variant(arguments: "-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode"),
        Variant(arguments: "-t ext4 -b 1024 -g 256 -O ^64bit,meta_bg,^resize_inode,^flex_bg,^has_journal -N 3000"),
        Variant(arguments: "-t ext4 -b 1024 -O sparse_super2"),
        Variant(arguments: "-t ext4 -b 1024 -O sparse_super2", extended: "num_backup_sb=1"),
        Variant(arguments: "-t ext4 -b 4096 -O quota,project,orphan_file,inline_data,fast_commit"),
        Variant(
            arguments: "-t ext4 -b 4096 -O mmp,orphan_file,ea_inode,large_dir",
            extended: "mmp_update_interval=1"),
        Variant(arguments: "-t ext4 -b 4096 -O casefold,encrypt,verity,stable_inodes,^has_journal"),
        Variant(arguments: "-t ext4 -b 8192 -O ^has_journal"),
        Variant(arguments: "-t ext4 -b 65536", megabytes: 128),
        Variant(arguments: "-t ext4 -b 1024 -g 1024", grown: 40),
    ]

    @Test(arguments: variants) func freeSpaceIsWhatTheToolsSay(_ variant: Variant) throws {
        let file = try images.image(variant)
        let copy = images.folder.file("copy")
        let use = try Skipping.copy(file, to: copy)
        let expected = try images.oracle(file)
        #expect(use.free.ranges.count > (variant.arguments.contains("-C 65536") ? 0 : 2))
        #expect(use.free.totalLength == expected.free.totalLength)
        #expect(use.free.ranges == expected.free.ranges)
        #expect((use.checkedExtents ?? 0) > (variant.arguments.contains("inline_data") ? 60 : 240))
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        let unchecked = try reader.spaceUse(SpaceOptions(isChecked: false))
        #expect(unchecked.free == use.free && unchecked.checkedExtents == nil)

        let check = try Tool.run("e2fsck", ["-f", "-n", copy])
        #expect(check.status == 0, "\(check.output)")
        let original = try Trees.ofReader(reader)
        let found = try Trees.ofReader(try #require(try FileSystemKind.open(FileSource(copy))))
        #expect(original.count > 200)
        #expect(Trees.differences(original, found) == [])
        guard variant.isForKernel, LoopDevice.areAvailable, Mount.isPossible else { return }
        #expect(Trees.differences(try seenMounted(file), try seenMounted(copy)) == [])
    }

    private func seenMounted(_ file: String) throws -> [String: String] {
        let folder = try TemporaryFolder()
        let loop = try LoopDevice(file)
        guard let mount = try? Mount(["-o", "ro", loop.path], at: folder.path, keeping: loop) else { return [:] }
        return try Trees.ofKernel(mount.folder)
    }

    static let plain = [
        Variant(arguments: "-t ext2 -b 1024 -g 1024", megabytes: 16),
        Variant(arguments: "-t ext4 -b 1024 -g 1024 -J size=1", megabytes: 16),
        Variant(arguments: "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -J size=1", megabytes: 16),
        Variant(arguments: "-t ext4 -b 1024 -g 512 -O bigalloc,^resize_inode -C 4096 -N 2000", megabytes: 16),
    ]

    /// A used block is called free, with right checksums and counts: a free one of the same group is called used.
    @Test(arguments: plain) func aLieIsFound(_ variant: Variant) throws {
        let file = try images.image(variant, many: 150)
        let (free, blockSize, groups) = try images.oracle(file)
        var generator = SeededGenerator(seed: 31)
        var used: [Range<Int64>] = []
        var position = blockSize == 1024 && !variant.arguments.contains("bigalloc") ? blockSize : 0
        for gap in free.ranges {
            if position < gap.lowerBound { used.append(position..<gap.lowerBound) }
            position = gap.upperBound
        }
        var stages: [String: Int] = [:]
        var undo: [String] = []
        for round in 0..<40 {
            // Half of them anywhere, half at an end of a run of used blocks.
            let run = try #require(used.randomElement(using: &generator))
            let byte = round % 2 == 0 ? run.lowerBound : Int64.random(in: run, using: &generator)
            let lie = byte / blockSize
            guard let group = groups.first(where: { $0.contains(lie) }),
                let other = free.ranges.map({ ($0.upperBound - 1) / blockSize }).first(where: { group.contains($0) })
            else { continue }
            try images.debug(file, undo + ["freeb \(lie)", "setb \(other)"])
            undo = ["setb \(lie)", "freeb \(other)"]
            // Without the walk, all but lies about structures hold.
            let reader = try #require(try FileSystemKind.open(FileSource(file)))
            if (try? reader.spaceUse(SpaceOptions(isChecked: false))) != nil { stages["walk", default: 0] += 1 }
            #expect("block \(lie)") { try reader.spaceUse(SpaceOptions()) } throws: { error in
                guard case .damaged(let text)? = (error as? FileSystemError)?.cause else { return false }
                return text.contains("called free")
            }
            stages["all", default: 0] += 1
        }
        #expect(stages["all", default: 0] > 20 && stages["walk", default: 0] > 5, "\(stages)")
        try images.debug(file, undo)
        _ = try #require(try FileSystemKind.open(FileSource(file))).spaceUse(SpaceOptions())
    }

    @Test(arguments: plain) func everyBlockOfAFileIsHeldAgainstTheBitmap(_ variant: Variant) throws {
        let file = try images.image(variant, many: 150)
        let (free, blockSize, groups) = try images.oracle(file)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        var paths = ["/sizes/1300007", "/sizes/sparse", "/links/longest", "/many150", "/lost+found", "/"]
        if try reader.locate("aged/holes") != nil { paths += ["/aged/holes", "/aged/reserved", "/aged/5"] }
        var tried = 0
        for path in paths {
            // Its blocks, those of its tree included.
            let list = try Tool.output("debugfs", ["-R", "blocks \(path)", file])
            let blocks = list.split { $0 == " " || $0 == "\n" }.compactMap { Int64($0) }
            for lie in Set(blocks.prefix(1) + blocks.suffix(1) + blocks.dropFirst(12).prefix(1)) {
                guard let group = groups.first(where: { $0.contains(lie) }),
                    let other = free.ranges.map({ $0.lowerBound / blockSize }).first(where: { group.contains($0) })
                else { continue }
                try images.debug(file, ["freeb \(lie)", "setb \(other)"])
                tried += 1
                let lied = try #require(try FileSystemKind.open(FileSource(file)))
                #expect(throws: FileSystemError.self, "\(path), block \(lie)") { try lied.spaceUse(SpaceOptions()) }
                try images.debug(file, ["setb \(lie)", "freeb \(other)"])
            }
        }
        #expect(tried > 5)
    }

    @Test func aLieAboutAnInodeIsFound() throws {
        let file = try images.image(Variant(arguments: "-t ext4 -b 1024"), many: 60)
        for commands in [
            ["freei /sizes/1300007", "seti <1900>"], ["sif /sizes/1300007 links_count 0"],
            ["freei <8>", "seti <1900>"], ["sif <8> links_count 0", "sif <8> block[0] 0", "sif <8> blocks 0"],
            ["sif /sizes/1300007 mode 0010644"], ["sif /sizes/1300007 flags 0"],
            ["ssv free_inodes_count 12"], ["ssv free_blocks_count 12"], ["set_bg 0 free_blocks_count 12"],
            ["set_bg 0 free_blocks_count 12", "set_bg 0 checksum calc"],
            ["set_bg 0 itable_unused 2040", "set_bg 0 checksum calc"], ["set_bg 1 checksum 1"],
            ["set_bg 0 flags 2", "set_bg 0 checksum calc"], ["set_bg 0 flags 1", "set_bg 0 checksum calc"],
            ["set_bg 1 block_bitmap 400", "set_bg 1 checksum calc"], ["ssv inodes_count 100"],
            ["set_bg 0 used_dirs_count 1", "set_bg 0 checksum calc"], ["feature FEATURE_C27"], ["feature FEATURE_R30"],
        ] {
            let copy = images.folder.file("lying")
            try Tool.output("cp", ["--sparse=always", file, copy])
            try images.debug(copy, commands)
            #expect(throws: FileSystemError.self, "\(commands)") {
                _ = try (try #require(try FileSystemKind.open(FileSource(copy)))).spaceUse(SpaceOptions())
            }
        }
    }

    @Test func stopsWhenTold() throws {
        let file = try images.image(Variant(arguments: "-t ext4 -b 1024"), many: 60)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        let calls = Counter()
        _ = try reader.spaceUse(SpaceOptions { calls.next() < .max })
        let all = calls.next() - 1
        #expect(all > 5)
        for limit in 0..<all {
            let calls = Counter()
            #expect(throws: FileSystemError(file, .stopped), "\(limit)") {
                try reader.spaceUse(SpaceOptions { calls.next() < limit })
            }
        }
    }

    private final class Counter: Sendable {
        private let value = Mutex(0)

        func next() -> Int {
            value.withLock {
                $0 += 1
                return $0 - 1
            }
        }
    }
}

/// Free space of ext2, ext3 and ext4 that are damaged, or not clean.
@Suite(.enabled(if: Tool.isInstalled("mkfs.ext4", "dumpe2fs", "e2fsck", "debugfs", "setfattr")))
struct ExtSpaceDamageTests {
    private let images: ExtSpaceImages

    init() throws { images = try ExtSpaceImages() }

    /// Whatever is called free in a damaged file system was free in the sound one.
    @Test(arguments: ExtSpaceTests.plain) func damageIsAnErrorAtMost(_ variant: ExtSpaceImages.Variant) throws {
        let file = try images.image(variant, many: 60, isOnGarbage: false)
        let content = try MemoryVolume(file: file).content
        let sound = try #require(try FileSystemKind.open(FileSource(file))).spaceUse(SpaceOptions()).free
        let text = try Tool.output("dumpe2fs", [file])
        // Superblock, descriptors, bitmaps and inode tables; then anything that is in use.
        let metadata = Damage.metadata(content, blockSize: 1024) { block in
            block.withUnsafeBytes { !$0.isAllZero } && block.filter { $0 == 0 }.count > 300
        }
        #expect(metadata.count > 20, "\(text)")
        var generator = SeededGenerator(seed: 12)
        var volume = MemoryVolume(content)
        var (caught, passed) = (0, 0)
        for round in 0..<150 {
            let range =
                round % 3 == 0 ? 1024..<2048 : round % 3 == 1 ? 2048..<8192 : metadata.randomElement(using: &generator)
            let place = Int.random(in: range ?? 1024..<2048, using: &generator)
            let value = volume.content[place]
            volume.content[place] ^= 1 << UInt8(generator.next() % 8)
            defer { volume.content[place] = value }
            do {
                guard let reader = try FileSystemKind.open(volume, type: "ext4") else { continue }
                let use = try reader.spaceUse(SpaceOptions())
                #expect(isPart(use.free, of: sound), "byte \(place)")
                passed += 1
            } catch { caught += 1 }
        }
        #expect(caught > 20 && passed > 5, "\(caught) caught, \(passed) passed")
        for length in stride(from: 0, to: content.count, by: content.count / 40) {
            let short = MemoryVolume(Array(content.prefix(length)))
            #expect(throws: (any Error).self, "\(length)") {
                try #require(try FileSystemKind.open(short, type: "ext4")).spaceUse(SpaceOptions())
            }
        }
    }

    private func isPart(_ runs: FreeRuns, of others: FreeRuns) -> Bool {
        runs.ranges.allSatisfy { run in
            others.ranges.contains { $0.contains(run.lowerBound) && $0.upperBound >= run.upperBound }
        }
    }

    @Test func whatIsNotCleanHasNoFreeSpace() throws {
        let file = try images.image(
            ExtSpaceImages.Variant(arguments: "-t ext4 -b 1024 -O orphan_file -J size=1"), many: 3)
        func state(_ change: (String) throws -> Void) throws -> FileSystemState? {
            let copy = images.folder.file("unclean")
            try Tool.output("cp", ["--sparse=always", file, copy])
            try change(copy)
            let reader = try FileSystemKind.open(FileSource(copy))
            if let reader, reader.state != .clean {
                #expect(throws: FileSystemError(copy, .damaged("it is not clean"))) {
                    try reader.spaceUse(SpaceOptions())
                }
            }
            return reader?.state
        }
        func change(_ commands: String...) throws -> FileSystemState? {
            try state { try images.debug($0, commands) }
        }
        #expect(try change() == .clean)
        #expect(try change("ssv state 0") == .dirty)
        #expect(try change("ssv state 3") == .dirty)
        #expect(try change("ssv error_count 1") == .dirty)
        #expect(try change("feature needs_recovery") == .needsRecovery)
        #expect(try change("feature orphan_present") == .needsRecovery)
        #expect(try change("ssv last_orphan 20") == .needsRecovery)
        // The log begins somewhere, or was given up: bytes 28 and 32 of the journal's superblock, big-endian.
        let journal = try Tool.output("debugfs", ["-R", "bmap <8> 0", file])
        let place = try #require(Int64(journal.filter { $0.isNumber })) * 1024
        #expect(try state { try FileDamage.flip($0, at: place + 31) } == .needsRecovery)
        #expect(try state { try FileDamage.flip($0, at: place + 35) } == .dirty)
        #expect(try state { try FileDamage.flip($0, at: place) } == .unknown("its journal cannot be read"))
    }

    /// Mounted elsewhere, as multiple mount protection has it: the tools wait for it to go away.
    @Test func whatAnotherMachineMountedIsNotClean() throws {
        let file = images.folder.file("image")
        try Tool.output("truncate", ["-s", "16M", file])
        try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "mmp", file])
        let text = try Tool.output("dumpe2fs", ["-h", file])
        let line = text.split(separator: "\n").first { $0.hasPrefix("MMP block number:") }
        let place = try #require(Int64(line?.filter { $0.isNumber } ?? "")) * 1024
        #expect(try FileSystemKind.open(FileSource(file))?.state == .clean)
        for byte in [0, 3, 4, 7] {
            try FileDamage.flip(file, at: place + Int64(byte))
            #expect(try FileSystemKind.open(FileSource(file))?.state == .dirty, "\(byte)")
            try FileDamage.flip(file, at: place + Int64(byte))
        }
    }

    @Test(.enabled(if: LoopDevice.areAvailable && Mount.isPossible), arguments: ["ext2", "ext3", "ext4"])
    func aMountedFileSystemHasNoFreeSpace(_ type: String) throws {
        let file = try images.image(ExtSpaceImages.Variant(arguments: "-t \(type) -b 1024"), many: 3)
        let loop = try LoopDevice(file)
        let mount = try Mount([loop.path], at: try images.folder.folder("mnt"), keeping: loop)
        try Trees.write("new", to: "\(mount.folder)/new")
        try Tool.output("sync", ["-f", mount.folder])
        let reader = try #require(try FileSystemKind.open(FileSource(loop.path)))
        #expect(reader.state == (type == "ext2" ? .dirty : .needsRecovery))
        #expect(throws: FileSystemError.self) { try reader.spaceUse(SpaceOptions()) }
    }

    @Test func anExternalJournalIsNotKnown() throws {
        let (journal, file) = (images.folder.file("journal"), images.folder.file("image"))
        try Tool.output("truncate", ["-s", "16M", journal, file])
        try Tool.output("mke2fs", ["-q", "-F", "-O", "journal_dev", "-b", "1024", journal])
        let loop = try LoopDevice(journal)
        try Tool.output("mke2fs", ["-q", "-F", "-b", "1024", "-J", "device=\(loop.path)", file])
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        #expect(throws: FileSystemError(file, .unsupported("the free space beside an external journal"))) {
            try reader.spaceUse(SpaceOptions())
        }
    }
}
