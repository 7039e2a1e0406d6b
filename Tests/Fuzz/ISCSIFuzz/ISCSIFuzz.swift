// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import ISCSI
internal import Synchronization
internal import TestSupport

/// Lets a target answer as the input says, and reads its disk: what comes of it is content or an error, soon.
///
/// The first byte chooses between discovery and the disk, with and without CHAP. libiscsi itself is Debian's, without
/// instruments: what it does to memory of its own goes unseen unless it crashes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 0, size < 1 << 16, let target, let initiator = ISCSIName("iqn.2026-11.org.example:us") else {
        return 0
    }
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    script.withLock { $0 = Script(bytes.dropFirst()) }
    var session = ISCSIOptions(initiator: initiator, timeout: 0.2)
    if bytes[0] & 2 != 0 {
        session.credentials = try? CHAPCredentials(
            initiator: .init(user: "alice", password: Secret("opensesame12")),
            target: .init(user: "storage", password: Secret("targetsecret1")))
    }
    if bytes[0] & 1 != 0 {
        guard let portal = ISCSIPortal("127.0.0.1:\(target.server.port)") else { return 0 }
        _ = try? ISCSIDiscovery.sendTargets(portal, session)
        return 0
    }
    var options = ISCSISource.Options(session: session, patience: 0.2)
    options.silence = 0.1
    guard let url = try? ISCSIURL(target.url), let source = try? ISCSISource(url, options) else { return 0 }
    read(source)
    return 0
}

/// Reads the beginning, the end, and what the unit says of its blocks.
private func read(_ source: ISCSISource) {
    precondition(source.lengthInBytes > 0 && source.logicalSectorSize >= 512)
    let count = Int(min(source.lengthInBytes, 32 << 10))
    for offset in [0, source.lengthInBytes - Int64(count)] {
        if let extent = try? source.extent(at: offset) {
            precondition(extent.offset == offset && extent.length > 0 && extent.end <= source.lengthInBytes)
        }
        guard (try? source.bytes(at: offset, count: count)) != nil else { return }
    }
}

private let script = Mutex(Script([]))
private let target = try? FakeTarget { request, answer in script.withLock { $0.answer(request, answer) } }

/// What is done to the right answers, one after the other, as long as the input lasts.
private struct Script {
    private var rest: ArraySlice<UInt8>
    private var answers = 0
    private var hangsUp = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    private mutating func byte() -> Int { Int(rest.popFirst() ?? 0) }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func answer(_ request: FakeTarget.Request, _ right: [UInt8]) -> [UInt8]? {
        answers += 1
        guard !hangsUp, answers < 100 else { return nil }
        guard !rest.isEmpty else { return right }
        switch byte() & 7 {
        case 1:
            var bent = right
            for _ in 0...byte() & 7 {
                let place = byte() | byte() << 8
                bent[place % bent.count] ^= UInt8(truncatingIfNeeded: byte())
            }
            return bent
        case 2:
            var header = bytes(48)
            header += [UInt8](repeating: 0, count: 48 - header.count)
            header.replaceSubrange(16..<20, with: request.bytes[16..<20])
            return header + bytes(byte())
        case 3:
            hangsUp = true
            return Array(right.prefix((byte() | byte() << 8) % (right.count + 1)))
        case 4: return right + bytes(byte())
        case 5: return bytes(byte() | byte() << 8)
        case 6:
            let header = Array(right.prefix(48))
            return FakeTarget.data(header, bytes(byte()))
        default: return right
        }
    }
}
