// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import Glibc
import Receiver
import TestSupport
import Testing
import Verification

@Suite struct CloneReceiverTests {
    private let program = Program(name: "coldclone-receiver", version: "9.9")

    private func disk(_ name: String, lost: Set<Int> = []) -> CloneDisk {
        let zeros = [UInt8](repeating: 0, count: Chunk.size)
        let content =
            SampleContent.bytes(.random, length: Chunk.size, seed: 3) + zeros
            + SampleContent.bytes(.random, length: Chunk.size, seed: 4) + zeros
        return CloneDisk(name: name, content: content, writtenZeros: [3], lost: lost)
    }

    private func receive(
        _ clone: CloneFolder, _ options: CloneReceiver.Options = CloneReceiver.Options()
    ) async throws -> CloneReceiver.Reception {
        try await CloneReceiver(program: program, options: options).receive(clone.path)
    }

    @Test func theReceiptSaysAllThatWasFound() async throws {
        let clone = try CloneFolder([disk("sda"), disk("sdb")])
        let reception = try await receive(clone)
        #expect(reception.receiptError == nil)
        let receipt = reception.receipt
        #expect(receipt.verdict == .verified)
        #expect(receipt.problems == [])
        #expect(receipt.warnings == [])
        #expect(receipt.cloneId == clone.manifest.cloneId)
        #expect(receipt.cloneUuid == clone.manifest.cloneUuid)
        #expect(receipt.receiver == program)
        #expect(receipt.disks.map(\.contentDigest) == clone.manifest.disks.map(\.contentDigest))
        let written: Receipt = try JSONText.decode(clone.bytes(Receipt.fileName), file: "")
        #expect(written == receipt)
        // A second look replaces the receipt, and does not find it strange.
        #expect(try await receive(clone).receipt.warnings == [])
    }

    @Test func fileDigestsAreThoseOfTheUsualTools() async throws {
        let clone = try CloneFolder([disk("sda"), disk("sdb")])
        let files = try await receive(clone).receipt.files
        #expect(files.map(\.file) == ["sda.raw", "sda.chunks", "sdb.raw", "sdb.chunks", Manifest.fileName])
        for file in files {
            let path = "\(clone.path)/\(file.file)"
            #expect(file.sha256.map { "\($0)  \(path)\n" } == (try Tool.output("sha256sum", [path])))
            #expect(file.sha512.map { "\($0)  \(path)\n" } == (try Tool.output("sha512sum", [path])))
            #expect(file.lengthInBytes == Int64(try clone.bytes(file.file).count))
        }
    }

    @Test func digestsAreLeftOutOnRequest() async throws {
        let clone = try CloneFolder([disk("sda")])
        let receipt = try await receive(clone, CloneReceiver.Options(fileDigests: .never)).receipt
        #expect(receipt.verdict == .verified)
        #expect(receipt.files.count == 3)
        #expect(receipt.files.allSatisfy { $0.sha256 == nil && $0.sha512 == nil })
        #expect(receipt.warnings == ["file digests were left out, as asked"])
    }

    @Test func aBadCloneGetsItsReceiptToo() async throws {
        let clone = try CloneFolder([disk("sda")])
        try clone.flip("sda.raw", at: 5)
        let receipt = try await receive(clone).receipt
        #expect(receipt.verdict == .failed)
        #expect(receipt.problems.map(\.kind) == [.digestMismatch])
        let written: Receipt = try JSONText.decode(clone.bytes(Receipt.fileName), file: "")
        #expect(written == receipt)

        try clone.remove(Manifest.fileName)
        let without = try await receive(clone).receipt
        #expect(without.verdict == .failed)
        #expect(without.cloneId == nil && without.files.isEmpty && without.manifestDigest == nil)
        // The old receipt stands, for a folder without manifest and journal is no clone to leave anything in.
        #expect(try JSONText.decode(clone.bytes(Receipt.fileName), file: "") == receipt)
        try clone.replace("journal", with: [])
        let unfinished = try await receive(clone).receipt
        #expect(try JSONText.decode(clone.bytes(Receipt.fileName), file: "") == unfinished)
    }

    @Test func lossIsDegraded() async throws {
        let clone = try CloneFolder([disk("sda", lost: [0])])
        #expect(try await receive(clone).receipt.verdict == .degraded)
    }

    @Test func noReceiptIsWrittenOnRequest() async throws {
        let clone = try CloneFolder([disk("sda")])
        let reception = try await receive(clone, CloneReceiver.Options(writesReceipt: false))
        #expect(reception.receipt.verdict == .verified)
        #expect(!Folder.exists("\(clone.path)/\(Receipt.fileName)"))
    }

    @Test func aReceiptThatCannotBeWrittenLeavesTheVerdict() async throws {
        let clone = try CloneFolder([disk("sda")])
        // Stands in the way of the temporary file, whoever runs the test: root may write to read-only folders.
        try Folder.create("\(clone.path)/.\(Receipt.fileName).tmp")
        defer { rmdir("\(clone.path)/.\(Receipt.fileName).tmp") }
        let reception = try await receive(clone)
        #expect(reception.receipt.verdict == .verified)
        #expect(reception.receiptError?.path.contains(Receipt.fileName) == true)
    }

    @Test func manyHolesAreNotHashed() async throws {
        let clone = try CloneFolder(emptyDisk: "sda", length: 8 << 40)
        let receipt = try await receive(clone).receipt
        #expect(receipt.verdict == .verified)
        #expect(receipt.files.map { $0.sha512 == nil } == [true, false, false])
        #expect(receipt.warnings.count == 1)
        #expect(receipt.warnings.first?.hasPrefix("sda.raw: file digests were left out") == true)
    }

    @Test func aCancelledReceptionHasNoVerdict() async throws {
        let clone = try CloneFolder([disk("sda")])
        let flag = CancellationFlag()
        flag.cancel()
        await #expect(throws: ReceiverError.verification(.cancelled(folder: clone.path))) {
            try await CloneReceiver(program: program).receive(clone.path, cancellation: flag)
        }
        #expect(!Folder.exists("\(clone.path)/\(Receipt.fileName)"))
    }

    @Test func aFolderThatIsNotThereIsAnError() async {
        await #expect(throws: ReceiverError.self) { try await CloneReceiver(program: program).receive("/nonexistent") }
    }
}
