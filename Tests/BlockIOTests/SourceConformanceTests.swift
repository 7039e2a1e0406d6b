// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import Synchronization
internal import TestSupport
internal import Testing

/// What every source must do, held against every source there is.
struct SourceConformanceTests {
    @Test(arguments: [SourceKind.file, .faultless, .raw], Aspect.allCases)
    func files(_ kind: SourceKind, _ aspect: Aspect) throws { try aspect.check(Sample(kind)) }

    @Test(
        .enabled(if: TemporaryFolder.parentOnDisk != nil, "needs a file system on a disk"), arguments: Aspect.allCases)
    func directFile(_ aspect: Aspect) throws { try aspect.check(Sample(.directFile)) }

    @Test(
        .enabled(if: LoopDevice.areAvailable, "needs loop devices"), arguments: [SourceKind.loop512, .loop4096],
        Aspect.allCases)
    func loopDevices(_ kind: SourceKind, _ aspect: Aspect) throws { try aspect.check(Sample(kind)) }

    @Test(.enabled(if: Tool.isInstalled("qemu-img"), "needs qemu-img"), arguments: Aspect.allCases)
    func qcow2(_ aspect: Aspect) throws { try aspect.check(Sample(.qcow2)) }
}

/// The sources under test.
enum SourceKind: String, Sendable {
    case file, directFile, loop512, loop4096, faultless, raw, qcow2
}

/// A source and what it must read as, with what keeps it alive.
struct Sample {
    let source: any BlockSource
    let content: [UInt8]
    let sectorSize: Int
    private let folder: TemporaryFolder
    private let device: LoopDevice?

    private static let longest = SampleContent.bytes(.mixed, length: 2 << 20, seed: 5) + [1, 2, 3]

    init(_ kind: SourceKind) throws {
        folder = try TemporaryFolder(in: kind == .directFile ? TemporaryFolder.parentOnDisk ?? "/tmp" : "/tmp")
        // The last sector is short where a source can have such a one.
        switch kind {
        case .loop4096: content = Array(Self.longest.prefix(2 << 20))
        case .loop512, .qcow2: content = Array(Self.longest.prefix(2 << 20 - 512))
        default: content = Self.longest
        }
        sectorSize = kind == .loop4096 ? 4096 : 512
        let path = try SampleContent.write(content, to: folder.file("disk"))
        device = kind == .loop512 || kind == .loop4096 ? try LoopDevice(path, sectorSize: sectorSize) : nil
        switch kind {
        case .file: source = try FileSource(path, direct: .never)
        case .directFile:
            try Tool.output("sync", [path])
            let direct = try FileSource(path, direct: .always)
            #expect(direct.isDirect)
            source = direct
        case .loop512, .loop4096: source = try FileSource(device?.path ?? "")
        case .faultless: source = FaultySource(try FileSource(path), FaultPlan())
        case .raw: source = try DiskImage.open(FileSource(path), format: .raw)
        case .qcow2:
            let image = folder.file("disk.qcow2")
            try Tool.output("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-c", path, image])
            source = try DiskImage.open(FileSource(image), format: .qcow2)
        }
    }

    var length: Int64 { Int64(content.count) }

    /// Returns whether `count` bytes at `offset` read as they should, into memory that is aligned or just not.
    func readsRight(_ offset: Int, _ count: Int, misaligned: Bool = false) throws -> Bool {
        let buffer = AlignedBuffer(count: count + 8)
        let part = buffer.bytes.part(misaligned ? 1 : 0, count)
        try source.read(into: part, at: Int64(offset))
        return content.withUnsafeBytes { $0.part(offset, count).elementsEqual(part) }
    }
}

/// The demands of `BlockSource`, one by one.
enum Aspect: String, Sendable, CaseIterable {
    case properties, sectors, oddRanges, end, beyondEnd, nothing, threads, extents

    func check(_ sample: Sample) throws {
        switch self {
        case .properties: try checkProperties(sample)
        case .sectors:
            for offset in [0, 4096, 1 << 20] {
                for count in [512, 4096, 65536, 1 << 19] { #expect(try sample.readsRight(offset, count)) }
            }
        case .oddRanges:
            var generator = SeededGenerator(seed: 7)
            for offset in [0, 1, 511, 512, 513, 4095, 4097, 65535, 1_048_575] {
                for count in [1, 2, 511, 512, 513, 4097, 70_001] {
                    #expect(try sample.readsRight(offset, count), "\(count) bytes at \(offset)")
                }
            }
            for round in 0..<40 {
                let offset = Int.random(in: 0..<sample.content.count - 100_000, using: &generator)
                let count = Int.random(in: 1...100_000, using: &generator)
                #expect(
                    try sample.readsRight(offset, count, misaligned: round % 2 == 0), "\(count) bytes at \(offset)")
            }
        case .end:
            for count in [1, 3, 511, 512, 515, 4096, 4099, 131_072] {
                #expect(try sample.readsRight(sample.content.count - count, count), "the last \(count) bytes")
            }
        case .beyondEnd: checkBeyondEnd(sample)
        case .nothing:
            let buffer = AlignedBuffer(count: 1)
            for offset in [0, 1, sample.length - 1, sample.length] {
                try sample.source.read(into: buffer.prefix(0), at: offset)
                #expect(try sample.source.bytes(at: offset, count: 0).isEmpty)
            }
        case .threads:
            let failures = Mutex(0)
            try ParallelWork.run(threads: 8) { thread in
                var generator = SeededGenerator(seed: UInt64(thread))
                for _ in 0..<20 {
                    let offset = Int.random(in: 0..<sample.content.count, using: &generator)
                    let count = Int.random(in: 1...min(100_000, sample.content.count - offset), using: &generator)
                    if (try? sample.readsRight(offset, count)) != true { failures.withLock { $0 += 1 } }
                }
            }
            #expect(failures.withLock { $0 } == 0)
        case .extents: try checkExtents(sample)
        }
    }

    private func checkProperties(_ sample: Sample) throws {
        #expect(sample.source.lengthInBytes == sample.length)
        #expect(sample.source.logicalSectorSize == sample.sectorSize)
        #expect(sample.source.physicalSectorSize >= sample.sectorSize)
        #expect(!sample.source.name.isEmpty)
    }

    private func checkBeyondEnd(_ sample: Sample) {
        let length = sample.length
        let ranges: [(Int64, Int)] = [
            (length, 1), (length - 1, 2), (length - 511, 512), (length + 1, 0), (length + 4096, 512), (-1, 1), (-1, 0),
            (.min, 1), (.max, 1), (.max, 512), (0, Int(length) + 1),
        ]
        let buffer = AlignedBuffer(count: Int(length) + 1)
        for (offset, count) in ranges {
            let error = #expect(throws: BlockError.self, "\(count) bytes at \(offset)") {
                try sample.source.read(into: buffer.prefix(count), at: offset)
            }
            #expect(error?.cause == .unexpectedEnd && error?.offset == offset && error?.length == count)
        }
    }

    private func checkExtents(_ sample: Sample) throws {
        var position: Int64 = 0
        while position < sample.length {
            let extent = try sample.source.extent(at: position)
            #expect(extent.offset == position)
            try #require(extent.length > 0 && extent.end <= sample.length)
            #expect(extent.kind != .unreadable)
            if extent.kind == .hole {
                let isZero = sample.content.withUnsafeBytes { $0.part(Int(position), Int(extent.length)).isAllZero }
                #expect(isZero, "\(extent)")
            }
            position = extent.end
        }
        // In the middle of things, an extent begins where it is asked for.
        for offset in [1, 511, 513, 100_001, sample.length - 1] {
            let extent = try sample.source.extent(at: offset)
            #expect(extent.offset == offset && extent.length > 0 && extent.end <= sample.length)
        }
    }
}
