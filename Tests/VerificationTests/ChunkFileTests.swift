// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import TestSupport
import Testing
import Verification

/// Whatever happens to a chunk file is found, and named as such.
@Suite struct ChunkFileTests {
    @Test func everyFlippedByteIsNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda"), smallDisk("sdb")])
        let length = try clone.bytes("sda.chunks").count
        for offset in 0..<length {
            let mask = UInt8(1) << (offset % 8)
            try clone.flip("sda.chunks", at: Int64(offset), mask: mask)
            let report = try verify(clone)
            #expect(report.verdict == .failed)
            let first = try #require(report.problems.first)
            #expect(first.kind == .chunkFile && first.disk == "sda" && first.file == "sda.chunks", "byte \(offset)")
            try clone.flip("sda.chunks", at: Int64(offset), mask: mask)
        }
        #expect(try verify(clone).verdict == .verified)
    }

    @Test func everyTruncationIsNamed() throws {
        let clone = try CloneFolder([smallDisk("sda"), smallDisk("sdb")])
        let bytes = try clone.bytes("sda.chunks")
        for length in bytes.indices {
            try clone.replace("sda.chunks", with: Array(bytes[..<length]))
            let report = try verify(clone)
            #expect(report.verdict == .failed)
            #expect(report.problems.allSatisfy { $0.disk == "sda" && $0.file == "sda.chunks" }, "\(length) bytes")
            #expect(report.problems.contains { $0.kind == .wrongLength })
        }
        try clone.replace("sda.chunks", with: bytes + [0])
        #expect(try verify(clone).problems.contains { $0.kind == .wrongLength && $0.disk == "sda" })
    }

    @Test func everyFlipIsRefusedEvenWhenTheManifestAgrees() throws {
        // As if the manifest's author had sealed a damaged file: the format alone must hold, and nothing may trap.
        let clone = try CloneFolder([smallDisk("sda")])
        let bytes = try clone.bytes("sda.chunks")
        for offset in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[offset] ^= 1 << bit
                try clone.replace("sda.chunks", with: damaged)
                try clone.reseal { $0.disks[0].chunks.digest = Digest(of: damaged) }
                #expect(try verify(clone).verdict == .failed, "byte \(offset), bit \(bit)")
            }
        }
    }

    @Test func aMissingChunkFileIsNamed() throws {
        let clone = try CloneFolder([mixedDisk("sda"), smallDisk("sdb")])
        try clone.remove("sda.chunks")
        let report = try verify(clone)
        #expect(report.problems.map(\.kind) == [.missingFile])
        #expect(report.problems.first?.disk == "sda")
        #expect(report.problems.first?.file == "sda.chunks")
    }

    @Test func theChunkFileOfAnotherCloneIsNamed() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let other = try CloneFolder([smallDisk("sda")], uuid: "00000000-0000-4000-8000-000000000001")
        let bytes = try other.bytes("sda.chunks")
        try clone.replace("sda.chunks", with: bytes)
        try clone.reseal { $0.disks[0].chunks.digest = Digest(of: bytes) }
        let report = try verify(clone)
        #expect(report.problems.map(\.kind) == [.chunkFile])
        #expect(report.problems.first?.message.contains("it belongs to another clone") == true)
    }

    @Test func theChunkFileOfAnotherDiskIsNamed() throws {
        let clone = try CloneFolder([smallDisk("sda"), mixedDisk("sdb")])
        let bytes = try clone.bytes("sdb.chunks")
        try clone.replace("sda.chunks", with: bytes)
        try clone.reseal {
            $0.disks[0].chunks = $0.disks[1].chunks
            $0.disks[0].chunks.file = "sda.chunks"
        }
        let problems = try verify(clone).problems
        #expect(problems.contains { $0.kind == .chunkFile && $0.message.contains("does not belong here") })
        #expect(problems.allSatisfy { $0.disk == "sda" })
    }

    @Test func aNewerVersionIsRefusedByNameAndNumber() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        var bytes = try clone.bytes("sda.chunks")
        bytes[8] = 2
        bytes.replaceSubrange(124..<128, with: crc32(bytes[0..<124]))
        try clone.replace("sda.chunks", with: bytes)
        try clone.reseal { $0.disks[0].chunks.digest = Digest(of: bytes) }
        let message = try #require(try verify(clone).problems.first?.message)
        #expect(message == "sda.chunks has format version 2.0; this release reads up to 1.0")
    }

    @Test func chunksSwappedInImageAndChunkFileAreFoundByTheRoot() throws {
        let clone = try CloneFolder([mixedDisk("sda")])
        var image = try clone.bytes("sda.raw")
        for index in 0..<Chunk.size { image.swapAt(index, 2 * Chunk.size + index) }
        try clone.replace("sda.raw", with: image)
        var chunks = try clone.bytes("sda.chunks")
        let digests = ChunkFileHeader.byteCount + 2
        for index in 0..<32 { chunks.swapAt(digests + index, digests + 32 + index) }
        try clone.replace("sda.chunks", with: chunks)
        try clone.reseal { $0.disks[0].chunks.digest = Digest(of: chunks) }
        let report = try verify(clone)
        #expect(report.problems.map(\.kind) == [.digestMismatch])
        #expect(report.problems.first?.message.contains("content digest") == true)
    }

    private func crc32(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return withUnsafeBytes(of: (~crc).littleEndian) { Array($0) }
    }
}
