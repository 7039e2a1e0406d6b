// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import ISCSI
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing

/// A disk that a real target daemon serves, and what it must read as.
struct ServedDisk {
    static let name = "iqn.2026-11.org.example:disk"
    let folder: TemporaryFolder
    let server: ISCSIServer
    let content: [UInt8]
    let file: String

    init(_ content: [UInt8], blockSize: Int = 512, _ parameters: [String] = []) throws {
        folder = try TemporaryFolder()
        server = try ISCSIServer()
        self.content = content
        file = try SampleContent.write(content, to: folder.file("disk"))
        try serve(blockSize: blockSize, parameters)
    }

    func serve(blockSize: Int = 512, _ parameters: [String] = []) throws {
        try server.addTarget(1, Self.name)
        try server.addUnit(1, 1, file, blockSize: blockSize, ["scsi_sn=DISK1"] + parameters)
    }

    func open(
        port: UInt16? = nil, connections: Int = 1, patience: Double = 300, silence: Double = 10,
        cancellation: CancellationFlag? = nil, onEvent: @escaping @Sendable (String) -> Void = { _ in }
    ) throws -> ISCSISource {
        var options = ISCSISource.Options(
            session: ISCSIOptions(initiator: try #require(ISCSIName("iqn.2026-11.org.example:us")), timeout: 60),
            connections: connections, patience: patience, cancellation: cancellation, onEvent: onEvent)
        options.silence = silence
        return try ISCSISource(ISCSIURL("iscsi://127.0.0.1:\(port ?? server.port)/\(Self.name)/1"), options)
    }

    /// Reads everything in pieces of 1 MiB by 8 threads, and returns what is wrong.
    func problems(reading source: ISCSISource) throws -> [String] {
        let problems = Mutex<[String]>([])
        let next = Atomic<Int>(0)
        let size = 1 << 20
        let content = content
        try ParallelWork.run(threads: 8) { _ in
            let buffer = AlignedBuffer(count: size)
            while true {
                let start = next.add(1, ordering: .relaxed).oldValue * size
                guard start < content.count else { return }
                let part = buffer.prefix(min(size, content.count - start))
                do throws(BlockError) {
                    try source.read(into: part, at: Int64(start))
                    let isRight = content.withUnsafeBytes { $0.part(start, part.count).elementsEqual(part) }
                    if !isRight { problems.withLock { $0.append("wrong content at \(start)") } }
                } catch {
                    problems.withLock { $0.append(error.description) }
                }
            }
        }
        return problems.withLock { $0 }
    }
}

/// `ISCSISource` against a real target daemon.
@Suite(.enabled(if: ISCSIServer.isAvailable, "needs tgtd, and root"))
struct SourceTests {
    private static let mixed = SampleContent.bytes(.mixed, length: 2 << 20, seed: 5)
    private static let large = SampleContent.bytes(.random, length: 24 << 20, seed: 6)

    @Test(arguments: [512, 4096], [1, 3])
    func doesWhatSourcesMust(blockSize: Int, connections: Int) throws {
        let disk = try ServedDisk(Self.mixed, blockSize: blockSize)
        let source = try disk.open(connections: connections)
        for aspect in SourceAspect.allCases {
            let violations = try aspect.violations(of: source, content: disk.content, sectorSize: blockSize)
            #expect(violations.isEmpty, "\(aspect): \(violations)")
        }
        #expect(source.unit.identity.serial == "DISK1")
        #expect(source.name == "iscsi://127.0.0.1:\(disk.server.port)/\(ServedDisk.name)/1")
    }

    @Test func knowsTheHolesOfThinUnits() throws {
        let disk = try ServedDisk(Self.mixed, ["thin_provisioning=1"])
        let source = try disk.open()
        #expect(source.unit.capacity?.unmappedReadsAsZeros == true)
        let violations = try SourceAspect.extents.violations(of: source, content: disk.content, sectorSize: 512)
        #expect(violations.isEmpty, "\(violations)")
        // As the file below has them.
        let file = try FileSource(disk.file)
        func holes(_ source: any BlockSource) throws -> [ClosedRange<Int64>] {
            var found: [ClosedRange<Int64>] = []
            var position: Int64 = 0
            while position < source.lengthInBytes {
                let extent = try source.extent(at: position)
                position = extent.end
                guard extent.kind == .hole else { continue }
                if let last = found.last, last.upperBound == extent.offset {
                    found[found.count - 1] = last.lowerBound...extent.end
                } else {
                    found.append(extent.offset...extent.end)
                }
            }
            return found
        }
        #expect(try holes(source) == holes(file))
        #expect(try !holes(source).isEmpty)
    }

    /// What goes over the wire: only commands that read, and the unit may be read-only.
    @Test func neverWrites() throws {
        let disk = try ServedDisk(Self.mixed, ["readonly=1", "thin_provisioning=1"])
        let before = try Tool.output("sha256sum", [disk.file])
        let proxy = try TCPProxy(to: disk.server.port)
        do {
            let source = try disk.open(port: proxy.port, connections: 2)
            #expect(try disk.problems(reading: source).isEmpty)
            _ = try source.extent(at: 0)
        }
        var operations: Set<UInt8> = []
        for stream in proxy.sent {
            var position = 0
            while position + 48 <= stream.count {
                let header = stream[position..<position + 48]
                // SCSI Command, without data of its own; Data-Out does not occur. RFC 7143, 11.2.
                let length =
                    Int(header[position + 5]) << 16 | Int(header[position + 6]) << 8 | Int(header[position + 7])
                let opcode = header[position] & 0x3f
                #expect(opcode != 0x05)
                if opcode == 0x01 {
                    operations.insert(header[position + 32])
                    #expect(length == 0 && header[position + 1] & 0x20 == 0)
                }
                position += 48 + (length + 3) / 4 * 4
            }
            #expect(position == stream.count)
        }
        #expect(operations.contains(0x88))
        #expect(operations.isSubset(of: [0x12, 0x25, 0x88, 0x9e]), "\(operations)")
        #expect(try Tool.output("sha256sum", [disk.file]) == before)
    }

    @Test(
        arguments: [
            (.close, 3_000_000, 1), (.close, 2_500_000, 3), (.reset, 3_000_001, 1), (.close, 2_000_048, 2),
        ] as [(TCPProxy.Fault.Kind, Int, Int)])
    func resumesWhenTheConnectionBreaks(kind: TCPProxy.Fault.Kind, bytes: Int, connections: Int) throws {
        let disk = try ServedDisk(Self.large)
        // Every connection there is breaks after some MiB.
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: bytes, kind)], repeats: true)
        let events = Mutex<[String]>([])
        let shared = Box(events)
        let source = try disk.open(port: proxy.port, connections: connections) { event in
            shared.events.withLock { $0.append(event) }
        }
        #expect(try disk.problems(reading: source).isEmpty)
        #expect(proxy.connections >= 5)
        #expect(shared.events.withLock { $0.contains { $0.contains("was lost: reconnecting") } })
        #expect(shared.events.withLock { $0.contains { $0.contains("stands again") } })
    }

    /// A cable pulled far away: nobody sees an end.
    @Test func resumesWhenTheConnectionFallsSilent() throws {
        let disk = try ServedDisk(Self.large)
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: 3_000_000, .stall)])
        let source = try disk.open(port: proxy.port, silence: 0.5)
        #expect(try disk.problems(reading: source).isEmpty)
        #expect(proxy.connections >= 2)
    }

    @Test func givesUpOnATargetThatStaysAway() throws {
        let disk = try ServedDisk(Self.large)
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: 3_000_000, .close)])
        let again = try Event()
        let source = try disk.open(port: proxy.port, patience: 1.5) {
            if $0.contains("stands again") { again.signal() }
        }
        proxy.refuse(true)
        let clock = ContinuousClock()
        let start = clock.now
        let problems = try disk.problems(reading: source)
        #expect(clock.now - start < .seconds(8))
        #expect(problems.contains { $0.contains("cannot read iscsi://127.0.0.1") && $0.contains("no answer for 1 s") })
        // Reads fail at once from then on, until the target is back: not each after the patience of its own.
        let atOnce = clock.now
        for _ in 0..<20 { #expect(throws: BlockError.self) { try source.bytes(at: 20 << 20, count: 512) } }
        #expect(clock.now - atOnce < .seconds(1))
        proxy.refuse(false)
        #expect(again.wait())
        #expect(try disk.problems(reading: source).isEmpty)
    }

    @Test func isSilentForGoodWhenAnswersStayOut() throws {
        let disk = try ServedDisk(Self.large)
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: 3_000_000, .stall)], repeats: true)
        // The target lets itself be reached, and then never says anything.
        for _ in 0..<3 { proxy.add(.init(after: 0, .stall)) }
        let source = try disk.open(port: proxy.port, patience: 2, silence: 0.3)
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try !disk.problems(reading: source).isEmpty)
        #expect(clock.now - start < .seconds(10))
        #expect(proxy.connections > 1)
    }

    @Test func refusesAnotherUnitInThePlaceOfTheFirst() throws {
        let disk = try ServedDisk(Self.large)
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: 3_000_000, .close)])
        let again = try Event()
        let source = try disk.open(port: proxy.port, patience: 8) { if $0.contains("stands again") { again.signal() } }
        try disk.server.removeUnit(1, 1)
        try disk.server.addUnit(1, 1, disk.file, ["scsi_sn=DISK2"])
        let problems = try disk.problems(reading: source)
        #expect(problems.contains { $0.contains("another LUN now") }, "\(problems)")
        #expect(proxy.connections >= 2)
        // Until the first is back.
        try disk.server.removeUnit(1, 1)
        try disk.server.addUnit(1, 1, disk.file, ["scsi_sn=DISK1"])
        #expect(again.wait())
        #expect(try disk.problems(reading: source).isEmpty)
    }

    @Test func survivesARestartOfTheTarget() throws {
        let disk = try ServedDisk(Self.large)
        let source = try disk.open(connections: 2)
        #expect(try disk.problems(reading: source).isEmpty)
        try disk.server.stop()
        try disk.server.start()
        try disk.serve()
        #expect(try disk.problems(reading: source).isEmpty)
    }

    @Test func canBeCancelled() throws {
        let disk = try ServedDisk(Self.large)
        let proxy = try TCPProxy(to: disk.server.port, faults: [.init(after: 3_000_000, .stall)])
        let flag = CancellationFlag()
        let source = try disk.open(port: proxy.port, patience: 300, silence: 300, cancellation: flag)
        let clock = ContinuousClock()
        let start = clock.now
        try ParallelWork.run(threads: 2) { thread in
            if thread == 0 {
                _ = try? disk.problems(reading: source)
            } else {
                _ = proxy.waitForStrike()
                flag.cancel()
            }
        }
        #expect(clock.now - start < .seconds(5))
        #expect(proxy.connections == 1)
    }

    @Test func saysWhatIsNoDisk() throws {
        let disk = try ServedDisk(Self.mixed)
        let options = ISCSISource.Options(
            session: ISCSIOptions(initiator: try #require(ISCSIName("iqn.2026-11.org.example:us")), timeout: 60))
        let base = "iscsi://127.0.0.1:\(disk.server.port)/\(ServedDisk.name)"
        let controller = #expect(throws: ISCSIError.self) { try ISCSISource(ISCSIURL("\(base)/0"), options) }
        #expect(controller?.description.contains("not a disk's") == true)
        let none = #expect(throws: ISCSIError.self) { try ISCSISource(ISCSIURL("\(base)/9"), options) }
        #expect(none?.hint?.contains("coldclone iscsi luns") == true, "\(String(describing: none))")
    }
}

/// A lock that closures can share.
private final class Box: Sendable {
    let events: Mutex<[String]>
    init(_ events: consuming sending Mutex<[String]>) { self.events = events }
}
