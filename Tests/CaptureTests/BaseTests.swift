// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// A second pass: what an earlier clone has is not stored again, and what the image reads as is the disk all the same.
@Suite(.enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
struct BaseTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        var base: CaptureOptions
        var next: CaptureOptions
        var testDescription: String {
            "\(next.compression) \(next.clusterSize) over \(base.format) \(base.compression) \(base.clusterSize)"
        }
    }

    static let variants: [Variant] = [
        Variant(base: CaptureOptions(), next: CaptureOptions()),
        Variant(base: CaptureOptions(format: .raw), next: CaptureOptions(clusterSize: 4096)),
        Variant(base: CaptureOptions(clusterSize: 512), next: CaptureOptions(compression: .zlib)),
        Variant(
            base: CaptureOptions(compression: .zstd), next: CaptureOptions(compression: .zstd, clusterSize: 2 << 20)),
        Variant(
            base: CaptureOptions(compression: .zlib, clusterSize: 2 << 20), next: CaptureOptions(clusterSize: 1 << 20)),
        Variant(base: CaptureOptions(), next: CaptureOptions(clusterSize: 2 << 20)),
        Variant(base: CaptureOptions(), next: CaptureOptions(clusterSize: 512)),
    ]

    /// Expects that `clone` reads as the disk does, in the eyes of QEMU, of our verification and of its digest.
    private func expectSame(_ run: BaseRun, _ clone: CloneCapture.Outcome) throws {
        let format = clone.first.image.format
        if format == "qcow2" { try Tool.output("qemu-img", ["check", "-f", "qcow2", clone.image]) }
        try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", format, run.disk, clone.image])
        let content = try SmallFile.read(run.disk, limit: 1 << 30)
        #expect(clone.first.contentDigest == CaptureRun.contentDigest(of: content))
        let report = try CloneVerification(folder: clone.folder).run()
        #expect(report.verdict == .verified, "\(report.problems.prefix(3))")
    }

    @Test(arguments: variants)
    func overlaysReadAsTheirDisk(_ variant: Variant) throws {
        let run = try BaseRun(SampleContent.bytes(.mixed, length: 13 << 20 | 5 << 9, seed: 5))
        let base = try run.capture(variant.base)
        // Within a chunk, over a boundary, the disk's end; content where zeros were, and the other way round.
        try run.change(at: 3 << 20 | 1000, SampleContent.bytes(.random, length: 3000, seed: 8))
        try run.change(at: 6 << 20 - 700, SampleContent.bytes(.random, length: 1400, seed: 9))
        try run.change(at: 13 << 20 | 4 << 9, SampleContent.bytes(.random, length: 512, seed: 10))
        try run.punch(at: 8 << 20 - 100_000, 1 << 20 + 200_000)
        let next = try run.capture(variant.next, base: base.folder)
        try expectSame(run, next)
        #expect(next.manifest.base?.cloneId == base.manifest.cloneId && next.manifest.base?.depth == 1)
        let equal = try #require(next.first.base).equalBytes
        #expect(equal > 4 << 20 && equal < 10 << 20)
        let info = try Tool.output("qemu-img", ["info", "--backing-chain", next.image])
        #expect(info.contains("backing file: ../\(base.manifest.cloneId)/\(base.first.image.file)"))
        #expect(info.contains("backing file format: \(variant.base.format.rawValue)"))

        // A third on the second, and flattened by QEMU: the same once more.
        try run.change(at: 5 << 20, SampleContent.bytes(.random, length: 70_000, seed: 11))
        try run.punch(at: 3 << 20, 1 << 20)
        let third = try run.capture(variant.next, base: next.folder)
        try expectSame(run, third)
        #expect(third.manifest.base?.depth == 2)
        #expect(
            try CloneVerification(folder: third.folder).run().dependsOn.map(\.cloneId)
                == [next.manifest.cloneId, base.manifest.cloneId])
        let flat = run.folder.file("flat.qcow2")
        try Tool.output("cp", [third.image, flat])
        try Tool.output("qemu-img", ["rebase", "-u", "-F", "qcow2", "-b", next.image, flat])
        try Tool.output("qemu-img", ["rebase", "-b", "", flat])
        try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", run.disk, flat])
    }

    /// What the new map leaves out must be zeros, also where the base has content.
    @Test(arguments: [64 << 10, 2 << 20])
    func freeSpaceCoversTheBase(clusterSize: Int) throws {
        let length = 40 << 20
        let run = try BaseRun(SampleContent.bytes(.random, length: length, seed: 3))
        let base = try run.capture()
        let gaps: [Range<Int64>] = [1100 << 10..<5 << 20, 9 << 20 | 4096..<9 << 20 | 8192, 20 << 20..<39 << 20]
        let options = CaptureOptions(clusterSize: clusterSize)
        let source = GappedSource(base: try FileSource(run.disk), gaps: gaps)
        let next = try run.capture(options, base: base.folder, source: source)
        #expect(next.first.bytes.read == Int64(length) - gaps.reduce(0) { $0 + $1.upperBound - $1.lowerBound })
        let plain = try run.capture(options, source: source)
        for gap in gaps { try run.punch(at: Int(gap.lowerBound), Int(gap.upperBound - gap.lowerBound)) }
        try expectSame(run, next)
        #expect(plain.first.contentDigest == next.first.contentDigest)
        try Tool.output("qemu-img", ["compare", "-f", "qcow2", "-F", "qcow2", plain.image, next.image])
    }

    /// A source that is not read in `gaps`, whatever stands there.
    private struct GappedSource: BlockSource {
        let base: FileSource
        let gaps: [Range<Int64>]
        var name: String { base.name }
        var lengthInBytes: Int64 { base.lengthInBytes }
        var logicalSectorSize: Int { 512 }
        var physicalSectorSize: Int { 512 }

        func extent(at offset: Int64) -> Extent {
            if let gap = gaps.first(where: { $0.contains(offset) }) {
                return Extent(offset: offset, length: gap.upperBound - offset, kind: .hole)
            }
            let end = gaps.first { $0.lowerBound > offset }?.lowerBound ?? lengthInBytes
            return Extent(offset: offset, length: end - offset, kind: .data)
        }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            #expect(!gaps.contains { $0.overlaps(offset..<offset + Int64(buffer.count)) })
            try base.read(into: buffer, at: offset)
        }
    }

    @Test func anUnchangedDiskStoresNothing() throws {
        let run = try BaseRun(SampleContent.bytes(.random, length: 24 << 20))
        let base = try run.capture()
        let next = try run.capture(base: base.folder)
        try expectSame(run, next)
        #expect(next.first.image.lengthInBytes < 1 << 20)
        #expect(next.first.base?.equalBytes == 24 << 20 && next.first.bytes.read == 24 << 20)
    }

    @Test(arguments: [CaptureOptions(format: .raw), CaptureOptions(), CaptureOptions(compression: .zstd)])
    func copiesStandAlone(_ options: CaptureOptions) throws {
        let run = try BaseRun(SampleContent.bytes(.mixed, length: 13 << 20 | 5 << 9, seed: 6), in: "/var/tmp")
        let first = try run.capture(options)
        try run.change(at: 4 << 20, SampleContent.bytes(.random, length: 3000, seed: 8))
        let overlay = try run.capture(base: first.folder)
        try run.change(at: 9 << 20, SampleContent.bytes(.random, length: 3000, seed: 9))
        let copy = try run.capture(options, base: overlay.folder, kind: .copy)
        #expect(copy.manifest.base?.depth == 0 && copy.manifest.base?.kind == .copy)
        for clone in [first.folder, overlay.folder] { try Tool.output("rm", ["-r", clone]) }
        try expectSame(run, copy)
        #expect(try CloneVerification(folder: copy.folder).run().dependsOn.isEmpty)
    }

    /// A chunk that the base could not read is stored, whatever its digest says.
    @Test func lossIsNotInherited() throws {
        let run = try BaseRun(SampleContent.bytes(.random, length: 8 << 20))
        let plan = FaultPlan(.init(.read, in: 2 << 20 | 512..<2 << 20 | 1024, .fail(.ioError)))
        let base = try run.capture(source: FaultySource(try FileSource(run.disk), plan))
        #expect(base.manifest.state == .degraded)
        let next = try run.capture(base: base.folder)
        #expect(next.manifest.state == .complete)
        try expectSame(run, next)
        // And the other way round: what cannot be read now is not taken from the base.
        let lost = FaultPlan(.init(.read, in: 5 << 20 | 512..<5 << 20 | 1024, .fail(.ioError)))
        let third = try run.capture(base: next.folder, source: FaultySource(try FileSource(run.disk), lost))
        #expect(third.manifest.state == .degraded && third.first.bytes.unreadable == 512)
        #expect(try CloneVerification(folder: third.folder).run().verdict == .degraded)
    }

    @Test func chainsEnd() throws {
        let run = try BaseRun(SampleContent.bytes(.random, length: 2 << 20))
        var clone = try run.capture()
        for depth in 1..<BaseRecord.maximumDepth {
            try run.change(at: depth << 16, [UInt8](repeating: UInt8(depth), count: 1000))
            clone = try run.capture(base: clone.folder)
            #expect(clone.manifest.base?.depth == depth)
        }
        try expectSame(run, clone)
        let error = #expect(throws: CaptureError.self) { _ = try run.capture(base: clone.folder) }
        #expect(error?.description.contains("none is made deeper") == true)
        try expectSame(run, run.capture(base: clone.folder, kind: .copy))
    }
}
