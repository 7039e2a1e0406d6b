// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import Capture
import CloneFormat
import DiskImage
import TestSupport
import Testing
import Verification

/// Clones in qcow2, as the capture makes them.
@Suite struct Qcow2ImageTests {
    /// A captured clone of one disk, and its image's reader to find places in it.
    private struct Captured {
        var scratch: TemporaryFolder
        var folder: String
        var manifest: Manifest

        var disk: DiskRecord { manifest.disks[0] }
        var image: String { "\(folder)/\(disk.image.file)" }

        func cluster(of offset: Int64) throws -> Int64 {
            let reader = try DiskImage.open(try FileSource(image), format: .qcow2)
            return try #require(try reader.clusterOffset(of: offset))
        }

        func verify() throws -> CloneReport { try CloneVerification(folder: folder).run() }
    }

    private func capture(
        _ content: [UInt8], _ compression: ImageCompression, clusterSize: Int = 64 << 10
    ) throws -> Captured {
        let scratch = try TemporaryFolder()
        let source = try FileSource(SampleContent.write(content, to: scratch.file("disk.img")))
        let outcome = try CloneCapture(
            disks: [CaptureDisk(name: "sda", source: source)], target: scratch.path,
            machine: MachineIdentity(name: "test"), agent: Program(name: "test", version: "0"),
            options: CaptureOptions(
                format: .qcow2, compression: compression, clusterSize: clusterSize, memoryLimit: 64 << 20)
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        return Captured(scratch: scratch, folder: outcome.folder, manifest: outcome.manifest)
    }

    @Test(arguments: ImageCompression.allCases, [512, 64 << 10, 2 << 20])
    func aGoodCloneVerifies(compression: ImageCompression, clusterSize: Int) throws {
        let content = SampleContent.bytes(.mixed, length: 7 << 20 + 1536, seed: 11)
        let clone = try capture(content, compression, clusterSize: clusterSize)
        let report = try clone.verify()
        #expect(report.problems == [])
        #expect(report.warnings == [])
        #expect(report.verdict == .verified)
        #expect(report.disks.first?.contentDigest == clone.disk.contentDigest)
    }

    @Test func formatsAgreeOnTheContentDigest() throws {
        let content = SampleContent.bytes(.mixed, length: 3 << 20, seed: 5)
        let raw = try CloneFolder([CloneDisk(name: "sda", content: content)])
        let qcow2 = try capture(content, .zstd)
        #expect(raw.manifest.disks.first?.contentDigest == qcow2.disk.contentDigest)
    }

    @Test func aFlippedBitOfContentNamesItsCluster() throws {
        let clone = try capture(SampleContent.bytes(.random, length: 4 << 20), .none)
        let place: Int64 = 3 << 20 + 70_000
        let cluster = try clone.cluster(of: place)
        try FileDamage.flip(clone.image, at: cluster + 5)
        let report = try clone.verify()
        #expect(report.problemCount == 1)
        let problem = try #require(report.problems.first)
        #expect(problem.kind == .digestMismatch)
        #expect(problem.disk == "sda" && problem.chunk == 3)
        #expect(problem.offset == 3 << 20 && problem.length == 1 << 20)
        #expect(problem.clusterOffset == (try clone.cluster(of: 3 << 20)))
    }

    @Test(arguments: [ImageCompression.zlib, .zstd])
    func aFlippedBitOfCompressedContentIsFound(compression: ImageCompression) throws {
        var content: [UInt8] = []
        for line in 0..<100_000 { content += Array("line \(line &* 7919) of text\n".utf8) }
        let clone = try capture(Array(content.prefix(2 << 20)), compression)
        let cluster = try clone.cluster(of: 1 << 20)
        for byte: Int64 in [0, 1, 100, 2000] {
            try FileDamage.flip(clone.image, at: cluster + byte)
            let report = try clone.verify()
            #expect(report.verdict == .failed)
            #expect(report.problems.contains { $0.disk == "sda" && $0.chunk == 1 && $0.clusterOffset == cluster })
            try FileDamage.flip(clone.image, at: cluster + byte)
        }
        #expect(try clone.verify().verdict == .verified)
    }

    @Test func swappedClustersAreNamed() throws {
        let clone = try capture(SampleContent.bytes(.random, length: 4 << 20), .none)
        try FileDamage.swap(
            clone.image, try clone.cluster(of: 100_000), try clone.cluster(of: 2 << 20), count: 64 << 10)
        let report = try clone.verify()
        #expect(report.problems.map(\.kind) == [.digestMismatch, .digestMismatch])
        #expect(report.problems.map(\.chunk) == [0, 2])
    }

    @Test func aTruncatedImageIsNamed() throws {
        let clone = try capture(SampleContent.bytes(.random, length: 2 << 20), .none)
        for length in [0, 100, 65_536, clone.disk.image.lengthInBytes - 1] {
            try FileDamage.truncate(clone.image, to: length)
            let report = try clone.verify()
            #expect(report.verdict == .failed)
            #expect(report.problems.contains { $0.kind == .wrongLength && $0.disk == "sda" })
            try FileDamage.truncate(clone.image, to: clone.disk.image.lengthInBytes)
        }
    }

    @Test func everyFlipInASmallImageIsFound() throws {
        // Header, tables, refcounts and content. The disk ends with a cluster: what is behind its end means nothing.
        let clone = try capture(SampleContent.bytes(.random, length: 79 * 512), .none, clusterSize: 512)
        for offset in stride(from: 0, to: clone.disk.image.lengthInBytes, by: 41) {
            let mask = UInt8(1) << UInt8(offset % 8)
            try FileDamage.flip(clone.image, at: offset, mask: mask)
            let report = try clone.verify()
            #expect(report.verdict == .failed, "byte \(offset), mask \(mask)")
            #expect(report.problems.allSatisfy { $0.disk == "sda" && $0.file == "sda.qcow2" })
            try FileDamage.flip(clone.image, at: offset, mask: mask)
        }
        #expect(try clone.verify().verdict == .verified)
    }

    @Test func anImageWithABackingFileIsRefused() throws {
        let clone = try capture(SampleContent.bytes(.empty, length: 2 << 20), .none)
        let other = clone.scratch.file("other.qcow2")
        try #require(Tool.isInstalled("qemu-img"))
        _ = try Tool.output(
            "qemu-img", ["create", "-q", "-f", "qcow2", "-b", "/dev/null", "-F", "raw", other, "2M"])
        _ = try Tool.output("mv", [other, clone.image])
        let report = try clone.verify()
        #expect(report.problems.contains { $0.kind == .image && $0.message.contains("backing") })
    }
}
