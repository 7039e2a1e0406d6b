// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import DiskImage
import SystemPackage
import TestSupport
import Testing

@testable import Verification

/// Images on a medium that fails.
@Suite struct ReadFaultTests {
    @Test func aRangeThatCannotBeReadIsAProblemAndTheRestIsChecked() throws {
        let clone = try CloneFolder([mixedDisk("sda")])
        let disk = try #require(clone.manifest.disks.first)
        let plan = FaultPlan(FaultPlan.Fault(.read, in: (2 << 20) + 4096..<(2 << 20) + 8192, .fail(.ioError)))
        let file = FaultySource(try FileSource("\(clone.path)/sda.raw"), plan)
        let chunkFile = try FileSource("\(clone.path)/sda.chunks")
        let header = try ChunkFileHeader(
            decoding: clone.bytes("sda.chunks"), fileLength: chunkFile.lengthInBytes, file: "sda.chunks")
        let log = ProblemLog()
        let check = ImageCheck(
            image: RawImageReader(file), disk: disk, chunkFile: (chunkFile, header), log: log,
            progress: VerificationProgress(), cancellation: CancellationFlag())
        let result = try check.run(threads: 3)
        #expect(result.checkedChunks == 3)
        #expect(result.zeroChunks == 3)
        #expect(result.contentDigest == nil)
        let problem = try #require(log.collected.problems.first)
        #expect(log.count == 1)
        #expect(problem.kind == .unreadable)
        #expect(problem.chunk == 2 && problem.offset == 2 << 20 && problem.length == 1 << 20)
        #expect(problem.message.contains("Input/output error"))
    }
}
