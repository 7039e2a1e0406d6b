// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import ISCSI
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing

/// Targets that send what no target should: an error or the right content comes of it, in bounded time.
struct HostileTargetTests {
    private static let seconds = 0.4

    /// Opens the target's disk and gives it to `body`; the target lives as long.
    private static func open(
        _ target: FakeTarget, timeout: Double = 60, patience: Double = seconds,
        _ body: (ISCSISource) throws -> Void = { _ in }
    ) throws {
        var options = ISCSISource.Options(
            session: ISCSIOptions(initiator: try #require(ISCSIName("iqn.2026-11.org.example:us")), timeout: timeout),
            patience: patience)
        options.silence = 0.2
        let source = try ISCSISource(ISCSIURL(target.url), options)
        try withExtendedLifetime(target) { try body(source) }
    }

    /// Reads blocks 100 to 163, and returns whether they are right.
    private static func readsRight(_ source: ISCSISource) throws -> Bool {
        let bytes = try source.bytes(at: 51200, count: 64 * 512)
        return bytes.indices.allSatisfy { bytes[$0] == UInt8(truncatingIfNeeded: 100 + $0 / 512) }
    }

    @Test func theFakeIsGoodUntilBent() throws {
        try Self.open(FakeTarget { $1 }, patience: 300) { source throws in
            #expect(try Self.readsRight(source))
            #expect(source.unit.identity.wwid == "naa.5001020304050607" && source.unit.identity.serial == "S123")
            #expect(source.lengthInBytes == 1 << 20)
        }
    }

    /// A way to answer wrongly, and which requests get it: a command's operation code, or 0x03 for logins.
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bend: FakeTarget.Bend

        init(_ name: String, _ bend: @escaping FakeTarget.Bend) {
            testDescription = name
            self.bend = bend
        }

        /// Bends the answers to logins only.
        static func login(_ name: String, _ bend: @escaping @Sendable ([UInt8]) -> [UInt8]?) -> Case {
            Case("login: \(name)") { $0.opcode == 0x03 ? bend($1) : $1 }
        }

        /// Bends the answers to one command only.
        static func command(
            _ operation: UInt8, _ name: String, _ bend: @escaping @Sendable (FakeTarget.Request, [UInt8]) -> [UInt8]?
        ) -> Case {
            Case("0x\(String(operation, radix: 16)): \(name)") { $0.operation == operation ? bend($0, $1) : $1 }
        }
    }

    static let opening: [Case] = [
        .login("hangs up") { _ in nil }, .login("says nothing") { _ in [] },
        .login("speaks HTTP") { _ in Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n0123456789".utf8) },
        .login("all ones") { _ in [UInt8](repeating: 0xff, count: 4096) },
        .login("all zeros") { _ in [UInt8](repeating: 0, count: 4096) },
        .login("half a header") { Array($0.prefix(20)) },
        .login("a data segment of 16 MiB") { Array($0[..<5]) + [0xff, 0xff, 0xff] + Array($0[8...]) },
        .login("a data segment that is not there") { Array($0[..<7]) + [200] + Array($0[8...]) },
        .login("additional headers") { Array($0[..<4]) + [9] + Array($0[5...]) },
        .login("text without an end") { FakeTarget.data($0, [UInt8](repeating: 0x41, count: 1000)) },
        .login("never comes to an end") { Array($0[..<1]) + [0] + Array($0[2...]) },
        .login("segments of no length") { FakeTarget.data($0, Array("MaxRecvDataSegmentLength=0\0".utf8)) },
        .login("segments of negative length") { FakeTarget.data($0, Array("MaxRecvDataSegmentLength=-5\0".utf8)) },
        .login("unknown status") { Array($0[..<36]) + [9, 9] + Array($0[38...]) },
        .login("moved to nowhere") {
            FakeTarget.data(Array($0[..<36]) + [1, 1] + Array($0[38...]), Array("TargetAddress=:::\0".utf8))
        },
        .login("moved without address") { Array($0[..<36]) + [1, 1] + Array($0[38...]) },
        .login("answers another request") { Array($0[..<16]) + [1, 2, 3, 4] + Array($0[20...]) },
        .command(0x12, "hangs up") { _, _ in nil }, .command(0x12, "says nothing") { _, _ in [] },
        .command(0x12, "no data") { request, _ in FakeTarget.dataIn(request, 9, []) },
        .command(0x9e, "no data") { request, _ in FakeTarget.dataIn(request, 9, []) },
        .command(0x9e, "blocks of 0 bytes") { request, _ in
            FakeTarget.dataIn(request, 9, [0, 0, 0, 0, 0, 0, 7, 0xff] + [UInt8](repeating: 0, count: 24))
        },
        .command(0x9e, "too many blocks") { request, _ in
            FakeTarget.dataIn(
                request, 9, [UInt8](repeating: 0xff, count: 8) + [0, 0, 2, 0] + [UInt8](repeating: 0, count: 20))
        },
        .command(0x12, "another opcode") { _, answer in [0x21] + Array(answer[1...]) },
        .command(0x12, "an R2T") { _, answer in [0x31, 0x80] + Array(answer[2..<48]) },
        .command(0x12, "sense without data") { request, _ in
            var header = FakeTarget.header(0x21, request, 9)
            header[3] = 2
            return header
        },
        .command(0x12, "sense of one byte") { request, _ in
            var header = FakeTarget.header(0x21, request, 9)
            header[3] = 2
            return FakeTarget.data(header, [7])
        },
        .command(0x12, "never ready") { request, _ in FakeTarget.sense(request, 9, key: 2, code: 0x0401) },
        .command(0x12, "always attention") { request, _ in FakeTarget.sense(request, 9, key: 6, code: 0x2900) },
        .command(0x12, "a reject") { request, answer in
            FakeTarget.data(FakeTarget.header(0x3f, request, 9), Array(request.bytes[..<48]))
        },
        .command(0x12, "a reject of nothing") { request, _ in FakeTarget.header(0x3f, request, 9) },
    ]

    @Test(arguments: opening)
    func openingFails(_ bent: Case) throws {
        let target = try FakeTarget(bent.bend)
        let clock = ContinuousClock()
        let start = clock.now
        let error = #expect(throws: ISCSIError.self) { try Self.open(target, timeout: Self.seconds) }
        #expect(clock.now - start < .seconds(10))
        #expect(error?.description.hasPrefix("cannot ") == true)
    }

    /// A proof that was never asked for, as the library takes it for one.
    @Test func aForgedProofIsNone() throws {
        let target = try FakeTarget { request, answer in
            guard request.opcode == 0x03 else { return answer }
            let proof = "CHAP_N=storage\0CHAP_R=0x\(String(repeating: "0", count: 32))\0HeaderDigest=None\0"
            return FakeTarget.data(Array(answer[..<48]), Array(proof.utf8))
        }
        let credentials = try CHAPCredentials(
            initiator: .init(user: "alice", password: Secret("opensesame12")),
            target: .init(user: "storage", password: Secret("targetsecret1")))
        let session = ISCSIOptions(
            initiator: try #require(ISCSIName("iqn.2026-11.org.example:us")), credentials: credentials, timeout: 60)
        let error = #expect(throws: ISCSIError.self) { try ISCSISource(ISCSIURL(target.url), .init(session: session)) }
        if case .notAuthenticated = error?.cause {} else { Issue.record("\(String(describing: error))") }
    }

    /// Identity pages that make no sense leave the unit nameless, no more.
    @Test(
        arguments: [
            [0, 0x83, 0xff, 0xff, 1, 3, 0, 255, 0x60], [0, 0x83, 0, 4, 1, 3, 0, 8], [0, 0x83], [0, 0x80, 0, 2, 1, 2],
            [0, 0x83, 0, 4, 1, 3, 0, 0],
        ] as [[UInt8]])
    func badNamesAreNoNames(_ page: [UInt8]) throws {
        let target = try FakeTarget { request, answer in
            request.operation == 0x12 && request.bytes[34] == 0x83 ? FakeTarget.dataIn(request, 9, page) : answer
        }
        try Self.open(target, patience: 300) { source throws in
            #expect(source.unit.identity.wwids.isEmpty)
            #expect(try Self.readsRight(source))
        }
    }

    static let reading: [Case] = [
        .command(0x88, "hangs up") { _, _ in nil }, .command(0x88, "says nothing") { _, _ in [] },
        .command(0x88, "garbage") { _, _ in [UInt8](repeating: 0xa5, count: 65536) },
        .command(0x88, "GOOD without data") { request, _ in FakeTarget.header(0x21, request, 9) },
        .command(0x88, "GOOD with half of it") { _, answer in
            Array(answer[..<5]) + [0, 0x40, 0] + Array(answer[8..<48 + 0x4000])
        },
        .command(0x88, "all but the last block") { request, answer in
            FakeTarget.data(Array(answer[..<48]), Array(answer[48..<answer.count - 512]))
        },
        .command(0x88, "underflow") { request, _ in
            var header = FakeTarget.header(0x21, request, 9)
            header[1] = 0x82
            header[46] = 2
            return header
        },
        .command(0x88, "more than asked for") { _, answer in
            FakeTarget.data(Array(answer[..<48]), Array(answer[48...]) + [UInt8](repeating: 1, count: 4096))
        },
        .command(0x88, "behind the buffer") { _, answer in
            Array(answer[..<40]) + [0, 0x10, 0, 0] + Array(answer[44...])
        },
        .command(0x88, "far behind the buffer") { _, answer in
            Array(answer[..<40]) + [0xff, 0xff, 0xff, 0xf0] + Array(answer[44...])
        },
        .command(0x88, "another request's tag") { _, answer in
            Array(answer[..<16]) + [9, 9, 9, 9] + Array(answer[20...])
        },
        .command(0x88, "unknown status") { request, _ in
            var header = FakeTarget.header(0x21, request, 9)
            header[3] = 0x99
            return header
        },
        .command(0x88, "busy for ever") { request, _ in
            var header = FakeTarget.header(0x21, request, 9)
            header[3] = 8
            return header
        },
        .command(0x88, "an R2T") { _, answer in [0x31, 0x80] + Array(answer[2..<44]) + [0, 1, 0, 0] },
        .command(0x88, "a login response") { _, answer in [0x23] + Array(answer[1..<48]) },
        .command(0x88, "target wants to end") { request, answer in
            var header = FakeTarget.header(0x32, request, 9)
            header.replaceSubrange(16..<20, with: [0xff, 0xff, 0xff, 0xff])
            header[36] = 2
            return header
        },
        .command(0x88, "the size has changed") { request, _ in FakeTarget.sense(request, 9, key: 6, code: 0x2a09) },
    ]

    @Test(arguments: reading)
    func readingFails(_ bent: Case) throws {
        try Self.open(FakeTarget(bent.bend)) { source throws in
            let clock = ContinuousClock()
            let start = clock.now
            let error = #expect(throws: BlockError.self) { try Self.readsRight(source) }
            #expect(clock.now - start < .seconds(10))
            #expect(error?.description.hasPrefix("cannot read iscsi://127.0.0.1") == true)
            #expect(error?.description.contains("Connection refused") == false)
        }
    }

    /// What passes by itself is waited for.
    @Test(arguments: [(6, 0x2900), (2, 0x0401), (0xb, 0x0000), (6, 0x2a09)] as [(UInt8, UInt16)])
    func passingTroublePasses(key: UInt8, code: UInt16) throws {
        let count = Counter()
        let target = try FakeTarget { request, answer in
            guard request.operation == 0x88, count.next() < 2 else { return answer }
            return FakeTarget.sense(request, 9, key: key, code: code)
        }
        try Self.open(target, patience: 300) { source throws in
            #expect(try Self.readsRight(source))
            #expect(count.value >= 3)
        }
    }

    @Test func aBadBlockIsNamed() throws {
        let target = try FakeTarget { request, answer in
            guard request.operation == 0x88, request.block <= 120, 120 < request.block + request.count else {
                return answer
            }
            return FakeTarget.sense(request, 9, key: 3, code: 0x1100, block: 120)
        }
        try Self.open(target, patience: 300) { source throws in
            let error = #expect(throws: BlockError.self) { try Self.readsRight(source) }
            #expect(error?.cause == .system(.ioError))
            #expect(error?.offset == 120 * 512 && error?.length == 44 * 512)
            // All around it can be read.
            let next = try source.bytes(at: 121 * 512, count: 4096)
            #expect(next.first == 121)
        }
    }

    /// Any byte of any answer may be any other: no crash, no hang, and never wrong content for right.
    @Test func flippedBytes() throws {
        let wrong = Mutex<[String]>([])
        let count = 96
        let next = Atomic<Int>(0)
        let failures = Atomic<Int>(0)
        try ParallelWork.run(threads: 8) { _ in
            while true {
                let seed = next.add(1, ordering: .relaxed).oldValue
                guard seed < count else { return }
                let clock = ContinuousClock()
                let start = clock.now
                do {
                    let answers = Counter()
                    let target = try FakeTarget { request, answer in
                        // Headers and text, not a disk's content: that nothing protects but TCP.
                        var generator = SeededGenerator(seed: UInt64(seed) << 16 | UInt64(answers.next()))
                        guard Int.random(in: 0..<6, using: &generator) == 0 else { return answer }
                        var bent = answer
                        let end = request.operation == 0x88 ? 48 : bent.count
                        let place = Int.random(in: 0..<end, using: &generator)
                        bent[place] ^= UInt8.random(in: 1...255, using: &generator)
                        return bent
                    }
                    try Self.open(target, timeout: Self.seconds) { source throws in
                        guard source.lengthInBytes >= 1 << 20, source.logicalSectorSize == 512 else { return }
                        if try !Self.readsRight(source) { wrong.withLock { $0.append("seed \(seed): wrong content") } }
                    }
                } catch {
                    failures.add(1, ordering: .relaxed)
                }
                if clock.now - start > .seconds(10) { wrong.withLock { $0.append("seed \(seed): too long") } }
            }
        }
        #expect(wrong.withLock { $0 } == [])
        #expect(failures.load(ordering: .relaxed) > count / 10)
    }
}

/// Counts calls from several threads.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .relaxed) }
    /// Returns how many calls there were before.
    func next() -> Int { count.add(1, ordering: .relaxed).oldValue }
}
