// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

@testable internal import ISCSI

/// What units answer, cut off at every length and with every byte changed: read or left, but never trapped on.
struct WireTests {
    /// A page of identification with one designator of each kind, those of ports and targets among them.
    private static let names: [UInt8] = {
        var content: [UInt8] = []
        func add(_ set: UInt8, _ type: UInt8, _ bytes: [UInt8]) {
            content += [set, type, 0, UInt8(bytes.count)] + bytes
        }
        add(2, 1, Array("FAKE    Disk 1  ".utf8))
        add(1, 2, [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77])
        add(1, 3, [0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        add(1, 0x13, [0x50, 9, 9, 9, 9, 9, 9, 9])
        add(1, 0x14, [0, 0, 0, 1])
        add(3, 8, Array("naa.5000000000000001".utf8))
        return [0, 0x83, UInt8(content.count >> 8), UInt8(content.count & 0xff)] + content
    }()

    @Test func namesAreTheKernels() {
        let names = Self.names.withUnsafeBytes { SCSIAnswer.names($0) }
        #expect(
            names == [
                "naa.5000000000000001", "naa.6001405a0102030405060708090a0b0c", "eui.0011223344556677",
                "t10.FAKE    Disk 1",
            ])
        let identity = LogicalUnit.Identity(serial: nil, wwids: names)
        #expect(identity.isAmong(["t10.FAKE    Disk 1  "]) && !identity.isAmong(["naa.5009090909090909"]))
        for (name, isUnique) in [
            ("naa.6001405a", true), ("naa.60000000000000000e00000000010001", false), ("naa.3000000100000001", false),
            ("eui.0011223344556677", true), ("t10.IET", false),
        ] {
            #expect(LogicalUnit.Identity(serial: nil, wwids: [name]).isUniqueInTheWorld == isUnique, "\(name)")
        }
    }

    @Test func numbersOfUnits() throws {
        let entries: [[UInt8]] = [
            [0, 5, 0, 0, 0, 0, 0, 0], [0x41, 0, 0, 0, 0, 0, 0, 0], [0x40, 7, 0, 0, 0, 0, 0, 0],
            // The well-known unit, a second level, another bus: none of them a disk of ours.
            [0xc1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 2, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0, 0, 0],
        ]
        let answer: [UInt8] = [0, 0, 0, UInt8(entries.count * 8), 0, 0, 0, 0] + entries.flatMap(\.self)
        #expect(answer.withUnsafeBytes { SCSIAnswer.logicalUnits($0) }.map(\.rawValue) == [5, 7, 256])
        #expect(try #require(LogicalUnitNumber(255)).wireValue == 255)
        #expect(try #require(LogicalUnitNumber(256)).wireValue == 0x4100)
    }

    @Test func capacities() throws {
        var answer: [UInt8] =
            [0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 2, 0, 0, 3, 0xc0, 0] + [UInt8](repeating: 0, count: 16)
        func read(_ bytes: [UInt8]) throws -> LogicalUnit.Capacity {
            try bytes.withUnsafeBytes { bytes in
                Result { () throws(ISCSIError) in try LogicalUnit.Capacity(bytes, action: "test") }
            }.get()
        }
        let capacity = try read(answer)
        #expect(capacity.lengthInBytes == 2 << 20 && capacity.blockSize == 512 && capacity.physicalBlockSize == 4096)
        #expect(capacity.unmappedReadsAsZeros)
        answer[14] = 0x80
        #expect(try !read(answer).unmappedReadsAsZeros)
        #expect(try read([0, 0, 0x0f, 0xff, 0, 0, 0x10, 0]).lengthInBytes == 16 << 20)
        for bad in [[], [0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 2, 1], [0, 0, 0, 1, 0, 0, 1, 0]] as [[UInt8]] {
            #expect(throws: ISCSIError.self) { try read(bad) }
        }
        #expect(throws: ISCSIError.self) { try read([UInt8](repeating: 0xff, count: 8) + [0, 0, 2, 0]) }
    }

    @Test func statuses() {
        func descriptor(_ block: UInt8, _ count: UInt8, _ status: UInt8) -> [UInt8] {
            [0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, count, status, 0, 0, 0]
        }
        func read(_ descriptors: [[UInt8]], from block: UInt64 = 4, end: UInt64 = 100) -> [String] {
            let answer: [UInt8] =
                [0, 0, 0, UInt8(descriptors.count * 16 + 4), 0, 0, 0, 0] + descriptors.flatMap(\.self)
            return answer.withUnsafeBytes { SCSIAnswer.statuses($0, from: block, end: end) }
                .map { "\($0.blocks)\($0.isUnmapped ? " hole" : "")" }
        }
        #expect(
            read([descriptor(0, 8, 0), descriptor(8, 8, 1), descriptor(16, 8, 2)]) == [
                "4..<8", "8..<16 hole", "16..<24",
            ])
        #expect(read([descriptor(4, 200, 1)]) == ["4..<100 hole"])
        // Behind a gap, before the beginning, of no length: what is not told is not known.
        #expect(read([descriptor(4, 4, 1), descriptor(9, 1, 1)]) == ["4..<8 hole"])
        #expect(read([descriptor(5, 4, 1)]).isEmpty && read([descriptor(0, 4, 1)]).isEmpty)
        #expect(read([descriptor(4, 0, 1)]).isEmpty && read([]).isEmpty)
    }

    @Test func senseData() throws {
        func read(_ bytes: [UInt8]) -> SCSISense? { bytes.withUnsafeBytes { SCSISense($0) } }
        let fixed = try #require(read([0xf0, 0, 3, 0, 0, 1, 0, 10, 0, 0, 0, 0, 0x11, 4]))
        #expect(fixed.key == .mediumError && fixed.code == 0x1104 && fixed.block == 256)
        let information: [UInt8] = [0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2]
        let other: [UInt8] = [2, 6, 0, 0, 0, 0, 0, 0]
        let described = try #require(read([0x72, 4, 0x44, 0, 0, 0, 0, 20] + other + information))
        #expect(described.key == .hardwareError && described.code == 0x4400 && described.block == 1 << 32 | 2)
        #expect(read([0x70, 0, 12])?.key == .unknown(12))
        #expect(read([]) == nil && read([0x70]) == nil && read([0x7f, 1, 2, 3]) == nil)
        #expect("\(fixed)" == "medium error (sense code 0x1104)")
    }

    /// Every reader on every prefix, and with bytes changed.
    @Test func nothingTraps() {
        let samples: [[UInt8]] = [
            Self.names, [0xf0, 0, 3, 0, 0, 1, 0, 10, 0, 0, 0, 0, 0x11, 4, 0, 0, 0, 0],
            [0x72, 4, 0x44, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2],
            [0, 0, 0, 36, 0, 0, 0, 0] + [UInt8](repeating: 1, count: 32), [UInt8](repeating: 0xff, count: 64),
            [0, 0xb0, 0, 0x3c] + [UInt8](repeating: 0xff, count: 60), [0, 0x80, 0xff, 0xff] + Array("SERIAL".utf8),
        ]
        func readAll(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { bytes in
                _ = SCSIAnswer.names(bytes)
                _ = SCSIAnswer.serial(bytes)
                _ = SCSIAnswer.logicalUnits(bytes)
                _ = SCSIAnswer.product(bytes)
                _ = SCSIAnswer.maximumTransferBlocks(bytes)
                _ = SCSISense(bytes).map { $0.description }
                _ = try? LogicalUnit.Capacity(bytes, action: "test").lengthInBytes
                for (block, end) in [(0, 100), (.max - 1, .max), (50, 51)] as [(UInt64, UInt64)] {
                    for range in SCSIAnswer.statuses(bytes, from: block, end: end) {
                        #expect(range.blocks.lowerBound >= block && range.blocks.upperBound <= end)
                    }
                }
            }
        }
        for sample in samples {
            for length in 0...sample.count { readAll(Array(sample[..<length])) }
            for place in sample.indices {
                for value in [0, 1, 0x7f, 0x80, 0xff, sample[place] ^ 1] as [UInt8] {
                    var bent = sample
                    bent[place] = value
                    readAll(bent)
                }
            }
        }
    }
}
