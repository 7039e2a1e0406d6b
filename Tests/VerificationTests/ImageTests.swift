// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import TestSupport
import Testing
import Verification

/// What is wrong with an image is found, and named by disk, chunk and range.
@Suite struct ImageTests {
    @Test(arguments: [1, 2, 5], [CloneVerification.Freshness.direct, .cached])
    func aGoodCloneVerifies(jobs: Int, freshness: CloneVerification.Freshness) throws {
        let clone = try CloneFolder([mixedDisk("sda"), mixedDisk("sdb", seed: 2), smallDisk("sdc")])
        let progress = VerificationProgress()
        let report = try CloneVerification(
            folder: clone.path, options: CloneVerification.Options(freshness: freshness, jobs: jobs)
        ).run(progress: progress)
        #expect(report.problems == [])
        #expect(report.verdict == .verified)
        #expect(report.warnings == [])
        #expect(report.manifest == (try Manifest(opening: clone.bytes(Manifest.fileName), file: "")))
        #expect(report.manifestDigest == Digest(of: try clone.bytes(Manifest.fileName)))
        #expect(report.disks.map(\.contentDigest) == clone.manifest.disks.map(\.contentDigest))
        #expect(report.disks.map(\.checkedChunks) == [4, 4, 1])
        #expect(report.disks.map(\.zeroChunks) == [3, 3, 0])
        #expect(progress.bytesDone == progress.bytesTotal)
        #expect(progress.bytesTotal == clone.manifest.disks.reduce(0) { $0 + $1.lengthInBytes })
        // The holes, two in each of the first disks, are not read.
        #expect(progress.bytesTotal - progress.bytesRead == 4 << 20)
    }

    @Test(arguments: [0, 1, 511, 512, 1 << 20, (1 << 20) + 1, (4 << 20) - 512, 9 << 20])
    func everyLengthVerifies(length: Int) throws {
        for content in [SampleContent.bytes(.random, length: length, seed: 7), [UInt8](repeating: 0, count: length)] {
            let clone = try CloneFolder([CloneDisk(name: "sda", content: content)])
            let report = try verify(clone)
            #expect(report.problems == [])
            #expect(report.verdict == .verified)
            let disk = try #require(report.disks.first)
            #expect(disk.checkedChunks + disk.zeroChunks == Chunk.count(length: Int64(length)))
        }
    }

    @Test(arguments: [(0, 0), (0, 1_048_575), (2, 2_097_152), (4, 4_500_000), (6, 6_291_456), (6, 6_292_991)])
    func aFlippedBitIsNamed(chunk: Int, offset: Int64) throws {
        let clone = try CloneFolder([smallDisk("sda"), mixedDisk("sdb")])
        try clone.flip("sdb.raw", at: offset, mask: 0x10)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        let problem = try #require(report.problems.first)
        #expect(report.problemCount == 1)
        #expect(problem.kind == .digestMismatch)
        #expect(problem.disk == "sdb")
        #expect(problem.file == "sdb.raw")
        #expect(problem.chunk == chunk)
        #expect(problem.offset == Int64(chunk) << 20)
        #expect(problem.length == (chunk == 6 ? 1536 : 1 << 20))
        #expect(report.disks.map { $0.contentDigest == nil } == [false, true])
    }

    @Test(arguments: [(1, 1_048_576), (3, 3_145_728), (3, 4_194_303), (5, 6_000_000)])
    func aBitWhereZerosShouldBeIsNamed(chunk: Int, offset: Int64) throws {
        let clone = try CloneFolder([mixedDisk("sda"), smallDisk("sdb")])
        try clone.flip("sda.raw", at: offset, mask: 0x80)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problemCount == 1)
        let problem = try #require(report.problems.first)
        #expect(problem.kind == .notZero)
        #expect(problem.disk == "sda")
        #expect(problem.chunk == chunk)
        #expect(problem.offset == offset)
        #expect(problem.length == 1)
        #expect(report.disks.first?.zeroChunks == 2)
        #expect(report.disks.first?.contentDigest == nil)
    }

    @Test(arguments: [0, 1, 4096, 1 << 20, 6_292_991])
    func aShortImageIsNamed(length: Int64) throws {
        let clone = try CloneFolder([mixedDisk("sda"), smallDisk("sdb")])
        try clone.setLength("sda.raw", to: length)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.contains { $0.kind == .wrongLength && $0.disk == "sda" && $0.file == "sda.raw" })
        #expect(report.problems.allSatisfy { $0.disk == "sda" })
        #expect(report.disks.first?.contentDigest == nil)
        #expect(report.disks.last?.contentDigest != nil)
    }

    @Test func aLongImageIsNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda")])
        try clone.setLength("sda.raw", to: 6_293_504)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.allSatisfy { $0.kind == .wrongLength && $0.disk == "sda" })
    }

    @Test func aMissingImageIsNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda"), smallDisk("sdb")])
        try clone.remove("sda.raw")
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.map(\.kind) == [.missingFile])
        #expect(report.problems.first?.disk == "sda")
        #expect(report.problems.first?.file == "sda.raw")
        #expect(report.disks.map { $0.contentDigest == nil } == [true, false])
    }

    @Test func theImageOfAnotherDiskIsNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda"), mixedDisk("sdb", seed: 2)])
        let (first, second) = (try clone.bytes("sda.raw"), try clone.bytes("sdb.raw"))
        try clone.replace("sda.raw", with: second)
        try clone.replace("sdb.raw", with: first)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.map(\.kind) == Array(repeating: .digestMismatch, count: 8))
        #expect(report.problems.map(\.chunk) == [0, 2, 4, 6, 0, 2, 4, 6])
        #expect(report.problems.map(\.disk) == ["sda", "sda", "sda", "sda", "sdb", "sdb", "sdb", "sdb"])
    }

    @Test func twoSwappedChunksAreNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda")])
        var bytes = try clone.bytes("sda.raw")
        for index in 0..<Chunk.size { bytes.swapAt(index, 4 * Chunk.size + index) }
        try clone.replace("sda.raw", with: bytes)
        let report = try verify(clone)
        #expect(report.problems.map(\.chunk) == [0, 4])
        #expect(report.problems.allSatisfy { $0.kind == .digestMismatch })
    }

    @Test func lostChunksMakeAClonesVerdictDegraded() throws {
        let clone = try CloneFolder([mixedDisk("sda", lost: [1, 2])])
        let report = try verify(clone)
        #expect(report.problems == [])
        #expect(report.verdict == .degraded)
        #expect(report.disks.first?.checkedChunks == 5)
        #expect(report.disks.first?.contentDigest == clone.manifest.disks.first?.contentDigest)
        // What stands in place of lost content is checked like content.
        try clone.flip("sda.raw", at: 2 << 20)
        #expect(try verify(clone).problems.map(\.chunk) == [2])
        #expect(try verify(clone).verdict == .failed)
    }

    @Test func problemsAreBoundedAndCounted() throws {
        let count = Receipt.maximumProblems + 20
        var content = [UInt8](repeating: 0, count: count * Chunk.size)
        for chunk in 0..<count { content[chunk * Chunk.size] = 1 }
        let clone = try CloneFolder([CloneDisk(name: "sda", content: content)])
        content = []
        try clone.remove("sda.raw")
        try clone.replace("sda.raw", with: [])
        try clone.setLength("sda.raw", to: Int64(count * Chunk.size))
        let report = try verify(clone)
        #expect(report.problems.count == Receipt.maximumProblems)
        #expect(report.problemCount == count)
    }

    @Test func anEmptyDiskOfEightTebibytesIsNotRead() throws {
        let length: Int64 = 8 << 40
        let clone = try CloneFolder(emptyDisk: "sda", length: length)
        let progress = VerificationProgress()
        let report = try CloneVerification(folder: clone.path).run(progress: progress)
        #expect(report.problems == [])
        #expect(report.verdict == .verified)
        #expect(report.disks.first?.zeroChunks == 8 << 20)
        // Work, not time, is what a busy machine does not change.
        #expect(progress.bytesRead == 0)
        #expect(progress.bytesDone == length)
        // One byte in all that emptiness.
        try clone.setLength("sda.raw", to: 3 << 40)
        try clone.setLength("sda.raw", to: length)
        let offset: Int64 = (5 << 40) + 77
        try clone.flip("sda.raw", at: offset)
        let problems = try verify(clone).problems
        #expect(problems.map(\.kind) == [.notZero])
        #expect(problems.first?.offset == offset)
    }

    @Test func aCancelledVerificationHasNoVerdict() throws {
        let clone = try CloneFolder([mixedDisk("sda")])
        let flag = CancellationFlag()
        flag.cancel()
        #expect(throws: VerificationError.cancelled(folder: clone.path)) {
            try CloneVerification(folder: clone.path).run(cancellation: flag)
        }
    }

    @Test func aFolderThatIsNotThereIsAnError() throws {
        let error = #expect(throws: VerificationError.self) {
            try CloneVerification(folder: "/nonexistent/clone").run()
        }
        #expect(error?.description.contains("/nonexistent/clone") == true)
        #expect(error?.hint == "check the path")
    }
}
