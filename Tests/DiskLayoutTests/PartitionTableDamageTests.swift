// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Tables that contradict themselves, written byte by byte: nothing of them is trusted, and what is readable is read.
struct PartitionTableDamageTests {
    private static let length: Int64 = 64 << 20
    private static let sectors = UInt32(length / 512)

    // MARK: MBR

    /// A sector with an MBR's signature and entries of a type, a first sector and a count.
    private static func record(_ entries: [(type: UInt8, first: UInt32, count: UInt32)]) -> [UInt8] {
        var sector = [UInt8](repeating: 0, count: 512)
        for (index, entry) in entries.enumerated() {
            sector[446 + index * 16 + 4] = entry.type
            ForgedSuperblock.put(entry.first, 446 + index * 16 + 8, &sector)
            ForgedSuperblock.put(entry.count, 446 + index * 16 + 12, &sector)
        }
        (sector[510], sector[511]) = (0x55, 0xaa)
        return sector
    }

    /// A disk of one extended partition from sector 2048, with `count` logical ones of 64 sectors, 128 apart.
    ///
    /// - Parameter link: gives the place of the record behind record `number`, counted from the extended partition.
    private static func chain(_ count: Int, link: (Int) -> UInt32? = { UInt32($0 + 1) * 128 }) -> TestDisk {
        var pieces: [(Int64, [UInt8])] = [(0, record([(0x05, 2048, sectors - 2048)]))]
        for number in 0..<count {
            var entries: [(UInt8, UInt32, UInt32)] = [(0x83, 64, 64)]
            if number + 1 < count, let next = link(number) { entries.append((0x05, next, 128)) }
            pieces.append((Int64(2048 + number * 128) * 512, record(entries)))
        }
        return TestDisk(length: length, pieces)
    }

    private static func read(_ entries: [(UInt8, UInt32, UInt32)]) throws -> PartitionTable {
        try PartitionTable(reading: TestDisk(length: length, [(0, record(entries))]))
    }

    @Test func overlappingPartitionsAreNamed() throws {
        let apart = try Self.read([(0x83, 2048, 1000), (0x83, 3048, 1000)])
        #expect(apart.isTrustworthy && apart.findings == [])
        let overlaps: [[(UInt8, UInt32, UInt32)]] = [
            [(0x83, 2048, 1001), (0x83, 3048, 1000)], [(0x83, 3048, 1000), (0x83, 2048, 1001)],
            [(0x83, 2048, 9000), (0x83, 3048, 10)], [(0x83, 2048, 1000), (0x83, 2048, 1000)],
        ]
        for entries in overlaps {
            let table = try Self.read(entries)
            #expect(!table.isTrustworthy && table.partitions.count == 2)
            #expect(table.findings.count == 1 && table.findings[0].hasSuffix("overlap"))
        }
        // A short one between does not hide that the long one before it reaches further.
        let three = try Self.read([(0x83, 2048, 5000), (0x83, 3000, 10), (0x83, 6000, 10)])
        #expect(three.findings == ["partitions 1 and 2 overlap", "partitions 1 and 3 overlap"])
        // A logical one may lie in its extended one, but not in a primary.
        let good = Self.chain(2)
        #expect(try PartitionTable(reading: good).isTrustworthy)
        let bad = good.with(Self.record([(0x05, 2048, Self.sectors - 2048), (0x83, 2100, 100)]), at: 0)
        #expect(try !PartitionTable(reading: bad).isTrustworthy)
    }

    @Test(arguments: [1, 5, 12, 60, 256]) func followsLongChains(count: Int) throws {
        let table = try PartitionTable(reading: Self.chain(count))
        #expect(table.isTrustworthy && table.findings == [])
        #expect(table.partitions.map(\.number) == [1] + Array(5..<5 + count))
        for (index, partition) in table.partitions.dropFirst().enumerated() {
            #expect(partition.firstByte == Int64(2048 + index * 128 + 64) * 512 && partition.isLogical)
            #expect(partition.lengthInBytes == 64 * 512)
        }
    }

    @Test func chainsEnd() throws {
        let tooMany = try PartitionTable(reading: Self.chain(300))
        #expect(!tooMany.isTrustworthy && tooMany.partitions.count == 257)
        // Back to itself, to the first, to the one before; beyond the end; into nothing.
        for target in [UInt32(6), 0, 5] {
            let table = try PartitionTable(reading: Self.chain(9) { $0 == 6 ? target * 128 : UInt32($0 + 1) * 128 })
            #expect(!table.isTrustworthy && table.partitions.map(\.number) == [1] + Array(5..<12), "\(target)")
            #expect(table.findings.contains { $0.contains("leads back") })
        }
        for target in [UInt32.max, Self.sectors, 100_000] {
            let table = try PartitionTable(reading: Self.chain(9) { $0 == 6 ? target : UInt32($0 + 1) * 128 })
            #expect(!table.isTrustworthy && table.partitions.map(\.number) == [1] + Array(5..<12), "\(target)")
        }
    }

    @Test(.enabled(if: Tool.isInstalled("sfdisk"), "fdisk is not installed"))
    func readsAChainAsSfdiskDoes() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk")
        try Tool.output("truncate", ["-s", "\(Self.length)", path])
        let logical = (0..<9).map { "size=\(1 + $0 % 3)MiB, type=\(["83", "82", "8e"][$0 % 3])\n" }.joined()
        try SampleContent.write(
            Array("label: dos\nsize=2MiB, type=83\nsize=50MiB, type=5\n\(logical)".utf8), to: folder.file("script"))
        try Tool.output("sh", ["-c", "sfdisk -q --no-reread --no-tell-kernel \(path) <\(folder.file("script"))"])
        let table = try PartitionTable(reading: FileSource(path))
        let dump = try Tool.output("sfdisk", ["--dump", path])
        let theirs = dump.matches(of: /start= *(\d+), size= *(\d+), type=(\w+)/)
        #expect(theirs.count == 11 && table.isTrustworthy)
        #expect(table.partitions.map { "\($0.firstByte / 512)" } == theirs.map { String($0.1) })
        #expect(table.partitions.map { "\($0.lengthInBytes / 512)" } == theirs.map { String($0.2) })
        #expect(table.partitions.map(\.type.description) == theirs.map { String($0.3) })
    }

    @Test func aDiskThatEndsBeforeItsTableIsNotTrusted() throws {
        let disk = Self.chain(6)
        for sector in Int64(1)..<4096 {
            let table = try PartitionTable(reading: disk.resized(to: sector * 512 - (sector % 2) * 100))
            #expect(!table.isTrustworthy || table.kind == .none, "\(sector)")
        }
        // One byte less than the last partition needs.
        let cut = try PartitionTable(reading: disk.resized(to: Self.length - 1))
        #expect(!cut.isTrustworthy && cut.partitions.count == 7)
    }

    // MARK: GPT

    /// A disk with a GPT of our own: partitions of 1 MiB by first sector, each with its name's UTF-16 units.
    private static func gpt(
        disk: UInt8 = 1, _ partitions: [(first: UInt64, name: [UInt16])]
    ) -> (primary: [(Int64, [UInt8])], backup: [(Int64, [UInt8])]) {
        var entries = [UInt8](repeating: 0, count: 128 * 128)
        for (index, partition) in partitions.enumerated() {
            let start = index * 128
            for place in 0..<16 { entries[start + place] = 0xa0 + UInt8(place) }
            entries[start + 16] = UInt8(index + 1)
            ForgedSuperblock.put(partition.first, start + 32, &entries)
            ForgedSuperblock.put(partition.first + 2047, start + 40, &entries)
            for (place, unit) in partition.name.prefix(36).enumerated() {
                ForgedSuperblock.put(unit, start + 56 + place * 2, &entries)
            }
        }
        let last = UInt64(sectors) - 1
        func header(own: UInt64, other: UInt64, entriesAt: UInt64) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: 512)
            bytes.replaceSubrange(0..<8, with: Array("EFI PART".utf8))
            ForgedSuperblock.put(UInt32(0x10000), 8, &bytes)
            ForgedSuperblock.put(UInt32(92), 12, &bytes)
            ForgedSuperblock.put(own, 24, &bytes)
            ForgedSuperblock.put(other, 32, &bytes)
            ForgedSuperblock.put(UInt64(34), 40, &bytes)
            ForgedSuperblock.put(last - 33, 48, &bytes)
            bytes[56] = disk
            ForgedSuperblock.put(entriesAt, 72, &bytes)
            ForgedSuperblock.put(UInt32(128), 80, &bytes)
            ForgedSuperblock.put(UInt32(128), 84, &bytes)
            ForgedSuperblock.put(crc(entries), 88, &bytes)
            ForgedSuperblock.put(crc(Array(bytes[..<92])), 16, &bytes)
            return bytes
        }
        return (
            [
                (0, record([(0xee, 1, sectors - 1)])), (512, header(own: 1, other: last, entriesAt: 2)),
                (1024, entries),
            ],
            [
                (Int64(last - 32) * 512, entries),
                (Int64(last) * 512, header(own: last, other: 1, entriesAt: last - 32)),
            ]
        )
    }

    /// CRC-32, bit by bit.
    private static func crc(_ bytes: [UInt8]) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        return ~crc
    }

    private static func read(
        _ primary: [(Int64, [UInt8])], _ backup: [(Int64, [UInt8])]
    ) throws -> PartitionTable {
        try PartitionTable(reading: TestDisk(length: length, primary + backup))
    }

    @Test func copiesThatDisagreeAreNotTrusted() throws {
        let one = Self.gpt([(2048, [0x61]), (8192, [0x62])])
        let agreed = try Self.read(one.primary, one.backup)
        #expect(agreed.isTrustworthy && agreed.findings == [] && agreed.partitions.map(\.name) == ["a", "b"])
        // Another disk's, one partition less, and a name: each whole by itself.
        let others = [
            Self.gpt(disk: 2, [(2048, [0x61]), (8192, [0x62])]), Self.gpt([(2048, [0x61])]),
            Self.gpt([(2048, [0x61]), (8192, [0x63])]),
        ]
        for other in others {
            let table = try Self.read(one.primary, other.backup)
            #expect(table.primaryCopy == .good && table.backupCopy == .good)
            #expect(!table.isTrustworthy && table.partitions == agreed.partitions)
            #expect(table.findings == ["the primary and the backup GPT disagree; the primary is used"])
            let turned = try Self.read(other.primary, one.backup)
            #expect(!turned.isTrustworthy && turned.findings.count == 1)
        }
        // With one of them damaged there is nothing to disagree with.
        let damaged = Self.gpt(disk: 2, [(2048, [0x61])]).primary.map {
            ($0.0, $0.0 == 512 ? [UInt8](repeating: 1, count: 512) : $0.1)
        }
        #expect(try Self.read(damaged, one.backup).partitions == agreed.partitions)
    }

    @Test func overlappingEntriesAreNamed() throws {
        let both = Self.gpt([(2048, [0x61]), (4095, [0x62])])
        let table = try Self.read(both.primary, both.backup)
        #expect(!table.isTrustworthy && table.findings == ["partitions 1 and 2 overlap"])
        let beside = Self.gpt([(2048, [0x61]), (4096, [0x62])])
        #expect(try Self.read(beside.primary, beside.backup).isTrustworthy)
    }

    @Test func namesOfHalfCharactersAreRepaired() throws {
        let names: [[UInt16]] = [
            [0xd800], [0xdc00, 0x61], [0x61, 0xd83d], [0xd83d, 0xde00, 0x62], [0xd800, 0xd800, 0xdc00],
            Array(repeating: 0xdfff, count: 36), Array(repeating: 0x7a, count: 36), [0xfffe, 0xffff],
        ]
        let both = Self.gpt(names.enumerated().map { (UInt64(2048 * ($0.offset + 1)), $0.element) })
        let table = try Self.read(both.primary, both.backup)
        #expect(table.isTrustworthy && table.partitions.count == names.count)
        #expect(
            table.partitions.map(\.name).prefix(5) == [
                "\u{fffd}", "\u{fffd}a", "a\u{fffd}", "\u{1f600}b", "\u{fffd}\u{10000}",
            ])
        #expect(table.partitions[6].name == String(repeating: "z", count: 36))
    }
}
