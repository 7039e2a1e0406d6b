// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import Capture
import CloneFormat
import DiskImage
import Receiver
import TestSupport
import Testing

/// The second opinion of qemu-img.
@Suite(.enabled(if: Tool.isInstalled("qemu-img"), "needs qemu-img"))
struct QemuImgTests {
    private let scratch: TemporaryFolder
    private let folder: String

    init() throws {
        scratch = try TemporaryFolder()
        let content = SampleContent.bytes(.mixed, length: 3 << 20)
        let source = try FileSource(SampleContent.write(content, to: scratch.file("disk.img")))
        // A path that qemu-img would take for options and a protocol.
        let outcome = try CloneCapture(
            disks: [CaptureDisk(name: "sda", source: source)], target: scratch.folder("nbd:a,b=c,,d"),
            machine: MachineIdentity(name: "test"), agent: Program(name: "test", version: "0"),
            options: CaptureOptions(format: .qcow2, compression: .none, clusterSize: 64 << 10, memoryLimit: 64 << 20)
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        folder = outcome.folder
    }

    private func receive() async throws -> Receipt {
        try await CloneReceiver(program: Program(name: "test", version: "0")).receive(folder).receipt
    }

    @Test func aGoodImageIsClean() async throws {
        let receipt = try await receive()
        #expect(receipt.problems == [])
        #expect(receipt.verdict == .verified)
        #expect(receipt.disks.map(\.qemuImgCheck) == ["clean"])
    }

    @Test func whatItFindsIsAProblemInItsWords() async throws {
        // The refcount block stands where the refcount table, named at byte 48 of the header, points to.
        let bytes = try SmallFile.read("\(folder)/sda.qcow2", limit: 1 << 30)
        let block = bytes.withUnsafeBytes { file -> Int64 in
            let table: UInt64 = file.bigEndian(at: 48) ?? 0
            return Int64(file.bigEndian(at: Int(table), as: UInt64.self) ?? 0)
        }
        try FileDamage.flip("\(folder)/sda.qcow2", at: block + 1, mask: 1)
        let receipt = try await receive()
        #expect(receipt.verdict == .failed)
        #expect(receipt.disks.map(\.qemuImgCheck) == ["failed"])
        let problem = try #require(receipt.problems.last)
        #expect(problem.kind == .qemuImgCheck && problem.disk == "sda")
        #expect(problem.message.contains("1 corruptions"))
        #expect(receipt.problems.contains { $0.kind == .structure })
    }

    @Test func anImageThatOurReaderRefusesIsNotHandedOn() async throws {
        try FileDamage.flip("\(folder)/sda.qcow2", at: 0)
        let receipt = try await receive()
        #expect(receipt.verdict == .failed)
        #expect(receipt.disks.map(\.qemuImgCheck) == [nil])
    }
}
