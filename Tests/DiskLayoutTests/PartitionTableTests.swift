// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Tables made by sgdisk and sfdisk, read by us and by `sfdisk --json`.
@Suite(.enabled(if: Tool.isInstalled("sgdisk", "sfdisk"), "gdisk or fdisk is not installed"))
struct PartitionTableTests {
    private static let length: Int64 = 64 << 20

    /// Makes an image whose table `sfdisk` makes of `script`.
    private static func image(_ script: String, sectorSize: Int = 512) throws -> (TestDisk, [[String: String]]) {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "\(length)", path])
        try SampleContent.write(Array(script.utf8), to: folder.file("script"))
        // Only a loop device makes sfdisk believe in other sectors than those of 512 bytes.
        let loop = try sectorSize == 512 ? nil : Tool.output("losetup", ["-f", "--show", "-b", "\(sectorSize)", path])
        let node = loop.map { String($0.prefix { $0 != "\n" }) } ?? path
        defer { if loop != nil { _ = try? Tool.run("losetup", ["-d", node]) } }
        try Tool.output("sh", ["-c", "sfdisk -q --no-reread --no-tell-kernel \(node) < \(folder.file("script"))"])
        let places = try FileSource(path)
        var extents: [Int64] = []
        // Extended boot records lie anywhere: every piece that is not a hole is taken.
        var position: Int64 = 0
        while position < length {
            let extent = try places.extent(at: position)
            if extent.kind == .data { extents.append(extent.offset) }
            position = extent.end
        }
        let json = try Tool.output("sfdisk", ["--json", node])
        return (try TestDisk(image: path, sectorSize: sectorSize, places: extents), objects(json))
    }

    /// Returns the innermost objects of sfdisk's JSON, a partition each, as text.
    private static func objects(_ json: String) -> [[String: String]] {
        json.split(separator: "{").dropFirst(2).map { text in
            var fields: [String: String] = [:]
            for match in text.matches(of: /"(\w+)":\s*(?:"([^"]*)"|(\w+))/) {
                fields[String(match.output.1)] = String(match.output.2 ?? match.output.3 ?? "")
            }
            return fields
        }
    }

    /// Holds each partition against what sfdisk says of it.
    private static func compare(_ table: PartitionTable, _ oracle: [[String: String]]) {
        #expect(table.partitions.count == oracle.count)
        for (ours, theirs) in zip(table.partitions, oracle) {
            #expect(ours.firstByte == Int64(theirs["start"] ?? "").map { $0 * Int64(table.logicalSectorSize) })
            #expect(ours.lengthInBytes == Int64(theirs["size"] ?? "").map { $0 * Int64(table.logicalSectorSize) })
            #expect(ours.type.description == theirs["type"])
            #expect(theirs["node"]?.hasSuffix("\(ours.number)") == true)
            if let uuid = theirs["uuid"] { #expect(ours.identifier == uuid) }
            #expect(ours.name == theirs["name"] ?? "")
            if theirs["bootable"] == "true" { #expect(ours.flags == 0x80) }
        }
    }

    private static let gptScript = """
        label: gpt
        size=4MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI System"
        size=8MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="Wurzel äöü 根", attrs="LegacyBIOSBootable"
        size=8MiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F

        """
    private static let mbrScript = """
        label: dos
        label-id: 0x1b2c3d4e
        size=4MiB, type=83, bootable
        size=40MiB, type=f
        size=4MiB, type=7
        size=4MiB, type=82
        size=8MiB, type=8e
        size=4MiB, type=fd

        """

    @Test(arguments: [512, 4096]) func readsGPTAsSfdiskDoes(sectorSize: Int) throws {
        let (disk, oracle) = try Self.image(Self.gptScript, sectorSize: sectorSize)
        let table = try PartitionTable(reading: disk)
        #expect(table.kind == .gpt && table.primaryCopy == .good && table.backupCopy == .good)
        #expect(table.findings == [] && table.isTrustworthy)
        #expect(table.partitions.count == 3 && table.partitions.map(\.flags) == [0, 4, 0])
        Self.compare(table, oracle)
    }

    @Test(arguments: [512, 4096]) func readsMBRAsSfdiskDoes(sectorSize: Int) throws {
        let (disk, oracle) = try Self.image(Self.mbrScript, sectorSize: sectorSize)
        let table = try PartitionTable(reading: disk)
        #expect(table.kind == .mbr && table.identifier == "0x1b2c3d4e")
        #expect(table.findings == [] && table.isTrustworthy)
        #expect(table.partitions.map(\.number) == [1, 2, 3, 4, 5, 6])
        #expect(table.partitions.last?.identifier == "1b2c3d4e-06")
        Self.compare(table, oracle)
    }

    @Test func aDamagedOrMissingCopyIsReportedAndTheOtherUsed() throws {
        let (disk, oracle) = try Self.image(Self.gptScript)
        let last = Self.length - 512
        for (place, bytes) in [(Int64(512 + 60), [UInt8(0xff)]), (1024 + 3, [0xff]), (512, [0])] {
            let table = try PartitionTable(reading: disk.with(bytes, at: place))
            #expect(table.primaryCopy != .good && table.backupCopy == .good && table.isTrustworthy)
            #expect(table.findings.count == 1)
            Self.compare(table, oracle)
        }
        for (place, bytes) in [(last + 60, [UInt8(0xff)]), (last - 32 * 512 + 3, [0xff]), (last, [0])] {
            let table = try PartitionTable(reading: disk.with(bytes, at: place))
            #expect(table.primaryCopy == .good && table.backupCopy != .good)
            Self.compare(table, oracle)
        }
        let grown = try PartitionTable(reading: disk.resized(to: Self.length * 2))
        #expect(grown.primaryCopy == .good && grown.backupCopy == .good && grown.isTrustworthy)
        #expect(grown.findings.count == 1)
        let cut = try PartitionTable(reading: disk.resized(to: 16 << 20))
        #expect(cut.backupCopy == .missing && !cut.isTrustworthy)
        #expect(cut.findings.contains { $0.hasPrefix("partition 3 ends at byte") })
        let neither = try PartitionTable(reading: disk.with([0], at: 512 + 70).with([0xff], at: last + 70))
        #expect(neither.kind == .gpt && !neither.isTrustworthy && neither.partitions.isEmpty)
    }

    @Test func theOtherSectorSizeIsNamed() throws {
        var (disk, _) = try Self.image(Self.gptScript, sectorSize: 4096)
        disk.logicalSectorSize = 512
        let table = try PartitionTable(reading: disk)
        #expect(table.findings.contains("a GPT for sectors of 4096 bytes is on this disk of 512"))
        #expect(!table.isTrustworthy)
    }

    @Test func readsAHybridMadeBySgdisk() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "\(Self.length)", path])
        try Tool.output("sgdisk", ["-n1:0:+4M", "-n2:0:+8M", "-c2:zwei", "-t2:8e00", path])
        try Tool.output("sgdisk", ["-h1:2", path])
        let disk = try TestDisk(image: path, sectorSize: 512)
        let table = try PartitionTable(reading: disk)
        #expect(table.kind == .hybrid && table.isTrustworthy, "\(table.findings)")
        #expect(table.partitions.map(\.name).last == "zwei")
        #expect(table.hybridPartitions.map(\.firstByte) == table.partitions.map(\.firstByte))
        let moved = try PartitionTable(reading: disk.with([9], at: 446 + 16 + 8))
        #expect(!moved.isTrustworthy)
    }

    @Test func aChainOfLogicalPartitionsEnds() throws {
        let (disk, _) = try Self.image(Self.mbrScript)
        let table = try PartitionTable(reading: disk)
        let extended = try #require(table.partitions.first { $0.type.isExtended })
        // The first record's link leads to itself; then beyond the extended partition.
        for link in [UInt32(0), 0xffff_0000] {
            let bytes = withUnsafeBytes(of: link.littleEndian, Array.init)
            let looped = try PartitionTable(reading: disk.with(bytes, at: extended.firstByte + 462 + 8))
            #expect(!looped.isTrustworthy && looped.partitions.map(\.number) == [1, 2, 3, 4, 5])
        }
    }

    @Test func emptyDisksHaveNoTable() throws {
        for length in [Int64(0), 1, 511, 512, 1024, 1 << 20] {
            let table = try PartitionTable(reading: TestDisk(length: length))
            #expect(table.kind == .none && table.isTrustworthy && table.partitions.isEmpty)
        }
    }

    @Test func survivesTruncationAnywhere() throws {
        for script in [Self.gptScript, Self.mbrScript] {
            let (disk, _) = try Self.image(script)
            let original = try PartitionTable(reading: disk)
            for length in Array(0..<Int64(34 * 512)) + Array(Self.length - 34 * 512..<Self.length) {
                let table = try PartitionTable(reading: disk.resized(to: length))
                // Without its end a disk is not as its table says.
                #expect(original.kind == .mbr || table.kind == .none || !table.isTrustworthy, "\(length)")
            }
        }
    }

    @Test func survivesFlippedBytes() throws {
        var generator = SeededGenerator(seed: 20_261_123)
        for script in [Self.gptScript, Self.mbrScript] {
            let (disk, _) = try Self.image(script)
            let original = try PartitionTable(reading: disk)
            for _ in 0..<3000 {
                let ranges = [440..<620, 1024..<1500, Int(Self.length) - 34 * 512..<Int(Self.length), 512..<604]
                var damaged = disk
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let range = ranges[Int.random(in: 0..<4, using: &generator)]
                    let place = Int64(Int.random(in: range, using: &generator))
                    damaged = damaged.with([UInt8.random(in: 0...255, using: &generator)], at: place)
                }
                let table = try PartitionTable(reading: damaged)
                #expect(table.findings.count <= 100)
                // A GPT is guarded by its checksums: what is trusted is what was there.
                if original.kind == .gpt, table.isTrustworthy, table.kind == .gpt {
                    #expect(table.partitions == original.partitions)
                }
            }
        }
    }
}
