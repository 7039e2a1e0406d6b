// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import SystemPackage
internal import TestSupport
internal import Testing

/// What libblkid finds through us, against blkid(8), for files, slices, devices and sources that are no files.
struct ContentProbeTests {
    /// A program that makes content in a file, its arguments before the file's name, and the file's MiB.
    struct Maker: Sendable, CustomTestStringConvertible {
        var program: String
        var arguments: [String]
        var mebibytes = 64
        var testDescription: String { "\(program) \(arguments.joined(separator: " "))" }

        static let all = [
            Maker(program: "mkfs.ext4", arguments: ["-q", "-F", "-L", "wurzel"]),
            Maker(program: "mkfs.ext2", arguments: ["-q", "-F", "-b", "1024"], mebibytes: 3),
            Maker(program: "mkfs.xfs", arguments: ["-q", "-L", "daten"], mebibytes: 320),
            Maker(program: "mkfs.btrfs", arguments: ["-q", "-L", "apfel"], mebibytes: 128),
            Maker(program: "mkfs.vfat", arguments: ["-F", "32", "-n", "ESP"]),
            Maker(program: "mkfs.vfat", arguments: ["-F", "16", "-n", "KLEIN"]),
            Maker(program: "mkfs.vfat", arguments: ["-F", "12", "-S", "4096"], mebibytes: 4),
            Maker(program: "mkfs.exfat", arguments: ["-L", "karte"]),
            Maker(program: "mkfs.ntfs", arguments: ["-q", "-F", "-f", "-L", "Windows"]),
            Maker(program: "mkfs.ntfs", arguments: ["-q", "-F", "-f", "-c", "65536"]),
            Maker(program: "mkswap", arguments: ["-L", "tausch"]),
            Maker(program: "mkswap", arguments: ["-p", "65536"]),
        ]

        func make(_ path: String) throws {
            try Tool.output("truncate", ["-s", "\(mebibytes)M", path])
            try Tool.output(program, arguments + [path])
        }
    }

    /// Returns what `blkid -p` says of a file, by its keys; the type `ambivalent` for an ambivalent one.
    static func blkid(_ path: String, _ arguments: [String] = []) throws -> [String: String] {
        let usages = "filesystem,raid,crypto,other"
        let result = try Tool.run("blkid", ["-p", "-o", "export", "-u", usages] + arguments + [path])
        guard result.status == 0 else { return result.status == 8 ? ["TYPE": "ambivalent"] : [:] }
        var values: [String: String] = [:]
        for line in result.output.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[String(line[..<equals])] = line[line.index(after: equals)...].filter { $0 != "\\" }
        }
        return values
    }

    static func compare(_ ours: DetectedContent, _ theirs: [String: String]) {
        #expect(ours.type == theirs["TYPE"])
        #expect(ours.usage == theirs["USAGE"])
        #expect(ours.version == theirs["VERSION"])
        #expect(ours.uuid == theirs["UUID"])
        #expect(ours.label == theirs["LABEL"])
        #expect(ours.ambivalent == [])
    }

    @Test(
        .enabled(
            if: Tool.isInstalled(
                "blkid", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat", "mkfs.exfat", "mkfs.ntfs", "mkswap"),
            "a mkfs program is not installed"), arguments: Maker.all)
    func findsWhatBlkidFinds(maker: Maker) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("volume")
        try maker.make(path)
        let theirs = try Self.blkid(path)
        #expect(theirs["TYPE"] != nil)
        let file = try FileSource(path)
        Self.compare(try ContentProbe.read(file, isWholeDisk: true), theirs)
        // The copy in memory must hold all that libblkid wants to see.
        let plain = CountingSource(file)
        Self.compare(try ContentProbe.read(plain, isWholeDisk: true), theirs)
        #expect(plain.bytesRead < 512 << 10)
        Self.compare(try ContentProbe.read(plain, isWholeDisk: false), theirs)
    }

    @Test(.enabled(if: Tool.isInstalled("blkid", "mkfs.ext4"), "a mkfs program is not installed"))
    func findsWhatLiesInAPartition() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        let maker = Maker.all[0]
        try maker.make(folder.file("volume"))
        try Tool.output("truncate", ["-s", "100M", path])
        let volume = folder.file("volume")
        try Tool.output("dd", ["if=\(volume)", "of=\(path)", "bs=1M", "seek=3", "conv=notrunc", "status=none"])
        let theirs = try Self.blkid(path, ["--offset", "\(3 << 20)", "--size", "\(64 << 20)"])
        #expect(theirs["LABEL"] == "wurzel")
        let file = try FileSource(path)
        let outer = SliceSource(file, name: "outer", firstByte: 1 << 20, length: 90 << 20)
        let slice = SliceSource(outer, name: "part", firstByte: 2 << 20, length: 64 << 20)
        Self.compare(try ContentProbe.read(slice, isWholeDisk: false), theirs)
        let counted = SliceSource(CountingSource(file), name: "part", firstByte: 3 << 20, length: 64 << 20)
        Self.compare(try ContentProbe.read(counted, isWholeDisk: false), theirs)
        #expect(try ContentProbe.read(file, isWholeDisk: true).isEmpty)
    }

    @Test(
        .enabled(if: Tool.isInstalled("mkfs.xfs") && LoopDevice.areAvailable, "needs loop devices and mkfs.xfs"),
        arguments: [512, 4096])
    func readsDevices(sectorSize: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "320M", path])
        let loop = try LoopDevice(path, sectorSize: sectorSize)
        try Tool.output("mkfs.xfs", ["-q", "-L", "sektor", loop.path])
        let theirs = try Self.blkid(loop.path)
        #expect(theirs["LABEL"] == "sektor")
        Self.compare(try ContentProbe.read(FileSource(loop.path), isWholeDisk: true), theirs)
    }

    @Test(.enabled(if: Tool.isInstalled("mkfs.ext4", "mkfs.xfs"), "a mkfs program is not installed"))
    func contradictionsAreReportedNotGuessed() throws {
        let folder = try TemporaryFolder()
        let (ext, xfs) = (folder.file("ext"), folder.file("xfs"))
        try Maker(program: "mkfs.ext4", arguments: ["-q", "-F"], mebibytes: 320).make(ext)
        try Maker(program: "mkfs.xfs", arguments: ["-q"], mebibytes: 320).make(xfs)
        // XFS keeps its superblock in the first sector, ext4 in bytes 1024 to 2047.
        var both = try FileSource(xfs).bytes(at: 0, count: 4096)
        both.replaceSubrange(1024..<2048, with: try FileSource(ext).bytes(at: 1024, count: 1024))
        let content = try ContentProbe.read(TestDisk(length: 320 << 20, [(0, both)]), isWholeDisk: true)
        #expect(content.type == nil && content.usage == nil && Set(content.ambivalent) == ["ext4", "xfs"])
        #expect(!content.isEmpty)
    }

    @Test(.enabled(if: Tool.isInstalled("mkfs.ext4"), "mkfs.ext4 is not installed"))
    func labelsKeepTheirLetters() throws {
        let folder = try TemporaryFolder()
        try Maker(program: "mkfs.ext4", arguments: ["-q", "-F", "-L", "Äpfel 根"]).make(folder.file("volume"))
        #expect(try ContentProbe.read(FileSource(folder.file("volume")), isWholeDisk: true).label == "Äpfel 根")
    }

    /// A signature whose lengths would have libblkid copy what lies behind its stack.
    @Test(arguments: [264, 512 + 112]) func isNotLedAstrayByOCFS(place: Int) throws {
        let disk = TestDisk(length: 16 << 20, [(8192, Array("OracleCFS".utf8)), (8192 + Int64(place), [0xff, 0xff])])
        for isWholeDisk in [true, false] {
            #expect(try ContentProbe.read(disk, isWholeDisk: isWholeDisk).isEmpty)
        }
    }

    @Test func nothingIsNothing() throws {
        for length in [Int64(0), 1, 511, 512, 4096, 65_536, 1 << 20, 1 << 50] {
            #expect(try ContentProbe.read(TestDisk(length: length), isWholeDisk: true).isEmpty)
        }
        let faulty = FaultySource(TestDisk(length: 1 << 20), FaultPlan(.init(.read, in: 4096..<4097, .fail(.ioError))))
        #expect(throws: BlockError.self) { try ContentProbe.read(faulty, isWholeDisk: true) }
    }

    /// Labels as the format's specification has them: four copies, each with a name list and root blocks.
    @Test func findsZFSByItsLabels() throws {
        let length: Int64 = 70 << 20
        var label = [UInt8](repeating: 0, count: 256 << 10)
        label.replaceSubrange(16 << 10..<16 << 10 + 4, with: [1, 1, 0, 0])
        for place in stride(from: 128 << 10, to: 256 << 10, by: 1024) {
            label.replaceSubrange(place..<place + 8, with: [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0])
            label[place + 8] = 28
        }
        let labels: [Int64] = [0, 256 << 10, length - 512 << 10, length - 256 << 10]
        let disk = TestDisk(length: length, labels.map { ($0, label) })
        #expect(try ContentProbe.read(disk, isWholeDisk: false).type == "zfs_member")
        let plain = CountingSource(TestDisk(length: length))
        #expect(try ContentProbe.read(plain, isWholeDisk: false).isEmpty)
        #expect(plain.bytesRead < 300 << 10)
    }

    @Test(.enabled(if: Tool.isInstalled("mkfs.ntfs", "mkfs.vfat", "mkfs.exfat"), "a mkfs program is not installed"))
    func survivesFlippedBytes() throws {
        let folder = try TemporaryFolder()
        var generator = SeededGenerator(seed: 20_261_123)
        for maker in Maker.all where ["mkfs.ntfs", "mkfs.vfat", "mkfs.exfat"].contains(maker.program) {
            let path = folder.file("volume-\(generator.next())")
            try maker.make(path)
            let file = try FileSource(path)
            let start = try file.bytes(at: 0, count: 72 << 10)
            for round in 0..<150 {
                var damaged = start
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let value = round % 3 == 0 ? 0xff : UInt8.random(in: 0...255, using: &generator)
                    damaged[Int.random(in: 0..<128, using: &generator)] = value
                }
                _ = try ContentProbe.read(TestDisk(length: file.lengthInBytes, [(0, damaged)]), isWholeDisk: true)
                let cut = Int64.random(in: 0..<200_000, using: &generator)
                _ = try ContentProbe.read(TestDisk(length: cut, [(0, damaged)]), isWholeDisk: true)
            }
        }
    }
}
