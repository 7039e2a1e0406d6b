// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport
internal import Testing

/// Images with one entry forged: reading names the place, and no forgery costs more than its own size.
struct Qcow2ForgeryTests {
    private static let clusterSize = ForgedImage.clusterSize
    private static let compressed: UInt64 = 1 << 62

    @Test(arguments: [
        // An L2 entry: behind the file's end, the header, unaligned, reserved bits.
        UInt64(1 << 40), 1 << 55, 512, 1 << 56, 2,
        // A compressed one: behind the file's end, in the header, in the zeros of the tables.
        compressed | 1 << 40, compressed | 0x03ff_ffff_ffff_ffff, compressed | 8,
    ])
    func namesAForgedL2Entry(entry: UInt64) throws {
        var image = try ForgedImage()
        image.set(entry, at: image.l2 + 8)
        let reader = try DiskImage.open(MemorySource(image.bytes), format: .qcow2)
        let error = #expect(throws: BlockError.self) { try reader.bytes(at: 4096, count: 4096) }
        #expect(error?.offset == 4096 && error?.length == 4096)
        guard case .invalid(let reason)? = error?.cause else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("byte "))
        // The rest is as it was.
        #expect(try reader.bytes(at: 0, count: 4096).firstDifference(from: image.content[..<4096]) == nil)
        #expect(try !image.problems().isEmpty)
    }

    @Test(arguments: [UInt64(1 << 40), 512, 1 << 57, 8, 1 << 55])
    func namesAForgedL1Entry(entry: UInt64) throws {
        var image = try ForgedImage()
        image.set(entry, at: image.l1)
        let reader = try DiskImage.open(MemorySource(image.bytes), format: .qcow2)
        let error = #expect(throws: BlockError.self) { try reader.bytes(at: 8192, count: 4096) }
        #expect(error?.offset == 8192)
        #expect(throws: BlockError.self) { try reader.extent(at: 0) }
        #expect(try !image.problems().isEmpty)
    }

    @Test func refusesRequestsBehindTheEnd() throws {
        let image = try ForgedImage()
        let reader = try DiskImage.open(MemorySource(image.bytes), format: .qcow2)
        for offset in [reader.lengthInBytes, 1 << 60, .max, -1] {
            #expect(throws: BlockError.self) { try reader.extent(at: offset) }
            #expect(throws: BlockError.self) { try reader.clusterOffset(of: offset) }
            #expect(throws: BlockError.self) { try reader.bytes(at: offset, count: 1) }
        }
    }

    @Test(arguments: [(UInt64(1) << 63, UInt32(0)), (4096, 0), (1 << 63, 1), (1 << 40, 1)])
    func refusesARefcountTableThatCannotBe(offset: UInt64, clusters: UInt32) throws {
        var image = try ForgedImage()
        image.set(offset, at: 48)
        image.set(clusters, at: 56)
        #expect(throws: ImageError.self) { try DiskImage.open(MemorySource(image.bytes), format: .qcow2) }
    }

    @Test(arguments: [UInt32(0xffff_ffff), 0x7fff_fff8, 4096])
    func refusesAnExtensionThatRunsOver(length: UInt32) throws {
        var image = try ForgedImage()
        image.set(UInt32(0x1234_5678), at: 112)
        image.set(length, at: 116)
        #expect(throws: ImageError.self) { try DiskImage.open(MemorySource(image.bytes), format: .qcow2) }
    }

    // MARK: Zstandard frames

    /// A frame of one raw block that asks for a window of 2^`windowLog` bytes.
    ///
    /// RFC 8878, 3.1.1.
    private func frame(_ content: [UInt8], windowLog: UInt8) -> [UInt8] {
        let block = UInt32(content.count) << 3 | 1
        let header: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3]
        return header + (0..<3).map { UInt8(truncatingIfNeeded: block >> ($0 * 8)) } + content
    }

    /// Returns what guest bytes 4096 to 8191 read when `data` is stored as their compressed cluster.
    private func decompress(_ data: [UInt8]) throws -> [UInt8] {
        var image = try ForgedImage(compression: .zstd)
        let place = image.append(data)
        image.set(Self.compressed | 8 << 58 | UInt64(place), at: image.l2 + 8)
        return try DiskImage.open(MemorySource(image.bytes), format: .qcow2).bytes(at: 4096, count: 4096)
    }

    /// A streaming decoder would allocate these windows, or refuse them.
    @Test(arguments: [UInt8(20), 27, 31]) func needsNoWindow(windowLog: UInt8) throws {
        let content = SampleContent.bytes(.random, length: 4096, seed: 3)
        #expect(try decompress(frame(content, windowLog: windowLog)).firstDifference(from: content) == nil)
    }

    @Test func joinsFrames() throws {
        let content = SampleContent.bytes(.random, length: 4096, seed: 4)
        let frames = frame(Array(content[..<1000]), windowLog: 17) + frame(Array(content[1000...]), windowLog: 17)
        #expect(try decompress(frames + [1, 2, 3]).firstDifference(from: content) == nil)
    }

    @Test(arguments: [0, 1, 4095, 4097]) func refusesFramesOfAnotherLength(length: Int) throws {
        let content = [UInt8](repeating: 7, count: length)
        #expect(throws: BlockError.self) { try decompress(frame(content, windowLog: 17)) }
    }

    // MARK: Work

    @Test func walksASharedL2TableOnce() throws {
        // A disk of 32 Gi bytes, each L1 entry with the table that holds 64 clusters.
        var image = try ForgedImage()
        let entries = 32 << 30 / (Self.clusterSize * Self.clusterSize / 8)
        var l1: [UInt8] = []
        for _ in 0..<entries { l1 += image.bytes[image.l1..<image.l1 + 8] }
        let place = image.append(l1)
        image.set(UInt64(place), at: 40)
        image.set(UInt32(entries), at: 36)
        image.set(UInt64(32 << 30), at: 24)
        var (repeated, hasOverlap) = (0, false)
        let source = CountingSource(MemorySource(image.bytes))
        try DiskImage.open(source, format: .qcow2).checkStructure { problem in
            if problem.reason.contains("another one has") { repeated += 1 }
            if problem.reason.contains("overlap: \(entries) uses") { hasOverlap = true }
            return true
        }
        #expect(repeated == entries - 1 && hasOverlap)
        #expect(source.bytesRead < 4 * source.lengthInBytes, "\(source.bytesRead) of \(source.lengthInBytes) bytes")
    }

    @Test(.enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
    func readsASharedRefcountBlockOnce() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("image")
        try Tool.output("qemu-img", ["create", "-f", "qcow2", "-o", "cluster_size=2M,refcount_bits=1", path, "1G"])
        var bytes = try SmallFile.read(path, limit: 64 << 20)
        let table = Int(bytes[48..<56].reduce(0) { $0 << 8 | UInt64($1) })
        let block = Array(bytes[table..<table + 8])
        // 2 MiB of entries, each a block of 16 Mi refcounts.
        for index in 0..<(2 << 20) / 8 { bytes.replaceSubrange(table + index * 8..<table + index * 8 + 8, with: block) }
        var problems = 0
        let source = CountingSource(MemorySource(bytes))
        try DiskImage.open(source, format: .qcow2).checkStructure { _ in
            problems += 1
            return true
        }
        #expect(problems >= (2 << 20) / 8 - 1)
        #expect(source.bytesRead < 4 * source.lengthInBytes, "\(source.bytesRead) of \(source.lengthInBytes) bytes")
    }

    @Test func refusesToCheckAFileOfImplausibleSize() throws {
        let image = try ForgedImage()
        var reasons: [String] = []
        let source = StretchedSource(base: MemorySource(image.bytes), lengthInBytes: .max)
        try DiskImage.open(source, format: .qcow2).checkStructure { problem in
            reasons.append(problem.reason)
            return true
        }
        #expect(reasons == ["a file of \(Int64.max) bytes is implausible"])
    }

    /// A file with a hole behind its content.
    private struct StretchedSource: BlockSource {
        let base: MemorySource
        let lengthInBytes: Int64
        var name: String { base.name }
        var logicalSectorSize: Int { 512 }
        var physicalSectorSize: Int { 512 }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            buffer.clear()
            let count = Int(min(Int64(buffer.count), max(base.lengthInBytes - offset, 0)))
            if count > 0 { try base.read(into: buffer.part(0, count), at: offset) }
        }
    }
}
