// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import SystemPackage
internal import TestSupport
internal import Testing

/// Disks on which several things claim to be: one owner each, and nothing told twice.
struct StorageLayoutTests {
    private static let length: Int64 = 64 << 20

    /// An MBR whose partitions are given by type, first sector and sectors.
    private static func table(_ partitions: [(type: UInt8, first: UInt32, count: UInt32)]) -> [UInt8] {
        var sector = [UInt8](repeating: 0, count: 512)
        for (index, partition) in partitions.enumerated() {
            sector[446 + index * 16 + 4] = partition.type
            ForgedSuperblock.put(partition.first, 446 + index * 16 + 8, &sector)
            ForgedSuperblock.put(partition.count, 446 + index * 16 + 12, &sector)
        }
        (sector[510], sector[511]) = (0x55, 0xaa)
        return sector
    }

    /// An ext2 superblock, as much of it as libblkid asks for.
    private static func ext2() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1024)
        ForgedSuperblock.put(UInt32(1000), 4, &bytes)
        ForgedSuperblock.put(UInt16(0xef53), 56, &bytes)
        ForgedSuperblock.put(UInt32(1), 76, &bytes)
        bytes[104] = 7
        return bytes
    }

    private static func read(_ disk: any BlockSource) throws -> StorageLayout.DiskVolume {
        try #require(try StorageLayout.read([disk]).disks.first)
    }

    private static let whole = table([(0x83, 2048, 100_000)])

    /// A member whose superblock stands where it does on the whole disk.
    private static func member(_ version: MDSuperblock.Version) -> (offset: Int64, bytes: [UInt8]) {
        switch version {
        case .v0_90: return (length - 65_536, ForgedSuperblock.version0())
        case .v1_0: return (length - 8192, ForgedSuperblock.version1(place: UInt64(length - 8192)))
        case .v1_1: return (0, ForgedSuperblock.version1(place: 0))
        case .v1_2: return (4096, ForgedSuperblock.version1(place: 4096))
        }
    }

    @Test func aTableOnAnArrayIsTheArrays() throws {
        // Two members of a mirror, seen whole: the table within is not theirs.
        let other: (Int64, [UInt8]) = {
            var bytes = ForgedSuperblock.version0()
            // Member 0: the number and role in its own descriptor, and the checksum, lower by both.
            ForgedSuperblock.put(UInt32(0), 3968, &bytes)
            ForgedSuperblock.put(UInt32(0), 3968 + 12, &bytes)
            let sum = Fields32.sum(bytes)
            ForgedSuperblock.put(sum, 152, &bytes)
            return (Self.length - 65_536, bytes)
        }()
        let content: [(Int64, [UInt8])] = [(0, Self.whole), (1 << 20 + 1024, Self.ext2())]
        let disks = [
            Named("a", TestDisk(length: Self.length, content + [other])),
            Named("b", TestDisk(length: Self.length, content + [Self.member(.v0_90)])),
        ]
        let layout = try StorageLayout.read(disks)
        for disk in layout.disks {
            #expect(disk.volume.table == nil && disk.partitions.isEmpty && disk.volume.problems.count == 1)
            #expect(disk.volume.content.type == "linux_raid_member")
        }
        let array = try #require(layout.arrays.first)
        #expect(layout.arrays.count == 1 && array.array.state == .complete && array.array.active.count == 2)
        #expect(array.volume?.table?.kind == .mbr)
        #expect(array.partitions.map(\.volume.content.type) == ["ext2"])
    }

    @Test(arguments: [MDSuperblock.Version.v0_90, .v1_0])
    func aSuperblockAtTheEndOfAPartitionIsThePartitions(version: MDSuperblock.Version) throws {
        // To the last sector: the disk's own end is the partition's.
        let all = Self.table([(0xfd, 2048, UInt32(Self.length / 512) - 2048)])
        let place = Self.length - (1 << 20) - (version == .v0_90 ? 65_536 : 8192)
        let bytes =
            version == .v0_90 ? ForgedSuperblock.version0() : ForgedSuperblock.version1(place: UInt64(place))
        let layout = try StorageLayout.read([TestDisk(length: Self.length, [(0, all), (place + 1 << 20, bytes)])])
        let disk = try #require(layout.disks.first)
        #expect(disk.partitions.count == 1 && disk.volume.problems == [] && disk.volume.content.isEmpty)
        #expect(layout.arrays.count == 1)
        let members = layout.arrays.flatMap { $0.array.active + $0.array.others }
        #expect(members.map(\.device) == ["diskp1"] || members.map(\.device) == ["disk1"], "\(members)")
    }

    @Test(arguments: MDSuperblock.Version.allCases)
    func oldSuperblocksDoNotHidePartitions(version: MDSuperblock.Version) throws {
        guard version != .v1_1 else { return }  // Where the table is now.
        let member = Self.member(version)
        let used = TestDisk(length: Self.length, [(0, Self.whole), (1 << 20 + 1024, Self.ext2()), member])
        let layout = try StorageLayout.read([used])
        let disk = try #require(layout.disks.first)
        if version == .v1_2 {
            #expect(disk.volume.table != nil && disk.partitions.map(\.volume.content.type) == ["ext2"])
            #expect(disk.volume.problems.count == 1 && layout.arrays.isEmpty)
            // With nothing in the partition it is the table that is old.
            let unused = try Self.read(TestDisk(length: Self.length, [(0, Self.whole), member]))
            #expect(unused.volume.table == nil && unused.partitions.isEmpty && unused.volume.problems.count == 1)
        } else {
            // Nothing tells that the table was not the array's.
            #expect(disk.volume.table == nil && layout.arrays.count == 1)
        }
    }

    @Test func twoSuperblocksOnOneDeviceAreNotTwoMembers() throws {
        var late = ForgedSuperblock.version1(place: 4096, events: 7)
        late.replaceSubrange(16..<32, with: ForgedSuperblock.arrayUUID.reversed())
        // Without its checksum corrected, the second is a damaged one.
        let disk = TestDisk(length: Self.length, [Self.member(.v1_0), (4096, late)])
        let layout = try StorageLayout.read([disk])
        #expect(layout.arrays.count == 1 && layout.arrays[0].array.version == .v1_0)
        #expect(layout.disks[0].volume.problems == ["a second md superblock, 1.2, is taken for a left-over"])
    }

    @Test func unreadableDisksStopNothing() throws {
        let good = TestDisk(length: Self.length, [(0, Self.whole), (1 << 20 + 1024, Self.ext2())])
        func broken(_ range: Range<Int64>) -> FaultySource {
            FaultySource(good, FaultPlan(.init(.read, in: range, .fail(.ioError))))
        }
        let (dead, noStart) = (broken(0..<Self.length), broken(0..<512))
        let noEnd = broken(Self.length - 65_536..<Self.length)
        let names = ["dead", "start", "end", "good"]
        let sources: [any BlockSource] = [dead, noStart, noEnd, good]
        let layout = try StorageLayout.read(zip(names, sources).map { Named($0, $1) })
        #expect(layout.disks.map(\.volume.name) == names)
        #expect(layout.disks.map { $0.volume.problems.isEmpty } == [false, false, false, true])
        #expect(layout.disks[2].partitions.map(\.volume.content.type) == ["ext2"])
        #expect(layout.disks[3].partitions.map(\.volume.content.type) == ["ext2"])
        #expect(layout.volumes.count == 6)
        #expect(try StorageLayout.read([]).volumes.isEmpty)
    }

    @Test func namesWhatPoolsDisks() throws {
        func technology(_ partitions: [(UInt8, UInt32, UInt32)], _ more: [(Int64, [UInt8])] = []) throws
            -> PoolTechnology?
        {
            try Self.read(TestDisk(length: Self.length, [(0, Self.table(partitions))] + more)).volume.technology
        }
        #expect(try technology([(0x42, 63, 100_000)]) == .ldm)
        #expect(try technology([(7, 63, 100_000)], [(6 * 512, Array("PRIVHEAD".utf8))]) == .ldm)
        #expect(try technology([(7, 63, 100_000)]) == nil)
    }

    @Test(.enabled(if: Tool.isInstalled("sgdisk"), "gdisk is not installed"))
    func namesPoolsByTheirPartitions() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "64M", path])
        let spaces = "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D"
        try Tool.output(
            "sgdisk",
            ["-n1:0:+1M", "-t1:5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", "-n2:0:+8M", "-t2:\(spaces)", "-n3:0:+8M", path])
        let disk = try Self.read(FileSource(path))
        #expect(disk.partitions.map(\.volume.technology) == [.ldm, .storageSpaces, nil])
        #expect(disk.volume.technology == .ldm)
    }

    /// What the kernel itself reads of a device, its read-ahead counted in.
    @Test(
        .enabled(if: LoopDevice.areAvailable && Tool.isInstalled("sgdisk", "mkfs.ext4"), "needs loop devices"),
        arguments: [512, 4096])
    func makesTheKernelReadLittle(sectorSize: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "1G", path])
        let loop = try LoopDevice(path, sectorSize: sectorSize)
        try Tool.output("sgdisk", ["-n1:0:+200M", "-n2:0:+200M", "-n3:0:+200M", "-n4:0:0", loop.path])
        try Tool.output("mkfs.ext4", ["-q", "-F", "-E", "offset=1048576", loop.path, "200M"])
        try Tool.output("blockdev", ["--flushbufs", loop.path])
        let statistics = "/sys/block/\(loop.path.dropFirst(5))/stat"
        func sectorsRead() throws -> Int {
            let fields = try SmallFile.text(statistics, limit: 4096).split(separator: " ")
            return try #require(Int(fields[2]))
        }
        let before = try sectorsRead()
        let layout = try StorageLayout.read([FileSource(loop.path)])
        let bytes = try (sectorsRead() - before) * 512
        #expect(layout.disks[0].partitions.map(\.volume.content.type) == ["ext4", nil, nil, nil])
        #expect(bytes > 100_000 && bytes < 4 << 20, "\(bytes) bytes")
    }

    /// Four partitions each: less than 2 MiB is read of a disk, and no more of one among 64.
    @Test(.enabled(if: Tool.isInstalled("sgdisk", "mkfs.ext4"), "a tool is not installed"))
    func readsLittle() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "1G", path])
        try Tool.output("sgdisk", ["-n1:0:+200M", "-n2:0:+200M", "-n3:0:+200M", "-n4:0:0", path])
        try Tool.output("mkfs.ext4", ["-q", "-F", "-E", "offset=1048576", path, "200M"])
        let counting = CountingSource(try FileSource(path))
        let disk = try Self.read(counting)
        #expect(disk.partitions.map(\.volume.content.type) == ["ext4", nil, nil, nil])
        #expect(counting.bytesRead < 2 << 20, "\(counting.bytesRead) bytes")

        let sources = try (0..<64).map { number in
            let copy = folder.file("disk\(number)")
            try Tool.output("cp", ["--sparse=always", path, copy])
            return CountingSource(try FileSource(copy))
        }
        let layout = try StorageLayout.read(sources)
        #expect(layout.volumes.count == 64 * 5)
        #expect(sources.allSatisfy { $0.bytesRead < 2 << 20 }, "\(sources.map(\.bytesRead))")
    }
}

/// A disk under another name.
struct Named: SourceWrapper {
    let name: String
    let base: any BlockSource

    init(_ name: String, _ base: any BlockSource) {
        self.name = name
        self.base = base
    }
}

/// The checksum of a 0.90 superblock.
private enum Fields32 {
    static func sum(_ bytes: [UInt8]) -> UInt32 {
        var sum: UInt64 = 0
        for offset in stride(from: 0, to: 4096, by: 4) where offset != 152 {
            for byte in 0..<4 { sum += UInt64(bytes[offset + byte]) << UInt64(8 * byte) }
        }
        return UInt32(truncatingIfNeeded: sum % (1 << 32) + sum / (1 << 32))
    }
}
