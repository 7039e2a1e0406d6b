// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import SystemPackage
internal import TestSupport
internal import Testing

/// The faults that other tests rely on.
struct FaultPlanTests {
    private let folder: TemporaryFolder
    private let source: FileSource

    init() throws {
        folder = try TemporaryFolder()
        source = try FileSource(SampleContent.write([UInt8](repeating: 0xaa, count: 65536), to: folder.file("disk")))
    }

    private func outcome(_ source: FaultySource, _ offset: Int64, _ count: Int = 512) -> String {
        do throws(BlockError) {
            return try source.bytes(at: offset, count: count).allSatisfy { $0 == 0xaa } ? "good" : "flipped"
        } catch {
            return "\(error.cause == .unexpectedEnd ? "short" : "failed") at \(error.offset ?? -1)"
        }
    }

    @Test func strikesAfterSkippingAndSoManyTimes() {
        for _ in 0..<3 {
            let faulty = FaultySource(source, FaultPlan(.init(.read, skipping: 2, times: 2, .fail(.ioError))))
            let outcomes = (0..<6).map { _ in outcome(faulty, 0) }
            #expect(outcomes == ["good", "good", "failed at 0", "failed at 0", "good", "good"])
        }
    }

    @Test func strikesItsRangeOnly() {
        let faulty = FaultySource(source, FaultPlan(.init(.read, in: 4096..<4608, .fail(.ioError))))
        #expect(outcome(faulty, 0, 4096) == "good")
        #expect(outcome(faulty, 4608) == "good")
        #expect(outcome(faulty, 0, 4097) == "failed at 4096")
        #expect(outcome(faulty, 4607, 1) == "failed at 4607")
        #expect(outcome(faulty, 0, 65536) == "failed at 4096")
    }

    @Test func otherEffects() throws {
        let faulty = FaultySource(
            source,
            FaultPlan(.init(.read, in: 0..<512, .short), .init(.read, in: 1000..<1001, times: 1, .flipBit)))
        #expect(outcome(faulty, 0) == "short at 0")
        let bytes = try faulty.bytes(at: 512, count: 1024)
        #expect(bytes.indices.filter { bytes[$0] != 0xaa } == [1000 - 512])
        #expect(outcome(faulty, 512, 1024) == "good")
        #expect(throws: BlockError.self) { try faulty.bytes(at: 65536, count: 1) }
    }

    @Test func sinksFailWhereTheyAreTold() throws {
        let base = try FileSink(creating: folder.file("image"))
        let faulty = FaultySink(
            base,
            FaultPlan(
                .init(.write, in: 100..<200, times: 1, .fail(.noSpace)), .init(.write, in: 300..<301, .flipBit),
                .init(.setLength, times: 1, .fail(.ioError)), .init(.synchronize, skipping: 1, .fail(.ioError)),
                .init(.close, .fail(.staleNFSFileHandle))))
        let bytes = [UInt8](repeating: 0xaa, count: 50)
        try faulty.write(bytes, at: 0)
        let error = #expect(throws: BlockError.self) { try faulty.write(bytes, at: 90) }
        #expect(error?.cause == .system(.noSpace) && error?.offset == 100)
        try faulty.write(bytes, at: 90)
        try faulty.write(bytes, at: 290)
        #expect(throws: BlockError.self) { try faulty.setLength(1000) }
        try faulty.setLength(1000)
        try faulty.synchronize()
        #expect(throws: BlockError.self) { try faulty.synchronize() }
        let close = #expect(throws: BlockError.self) { try faulty.close() }
        #expect(close?.hint == "the NFS export went away: mount it again")
        let written = try SmallFile.read(folder.file("image"), limit: 2000)
        #expect(written.count == 1000 && written[300] == 0xab && written[100] == 0xaa && written[310] == 0xaa)
    }
}
