// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// A server on loopback that answers as a test tells it: for answers that no real server gives.
public final class ScriptedServer: Sendable {
    /// Where clients connect.
    public let port: UInt16
    private let isClosed = Flag()

    private final class Flag: Sendable {
        let value = Atomic<Bool>(false)
    }

    /// Listens; for each connection `makeAnswers` gives a function from a request to the answer, nil to hang up.
    ///
    /// A request is a header of `headerLength` bytes and as many more as `restLength` reads from it.
    public init(
        headerLength: Int, restLength: @escaping @Sendable ([UInt8]) -> Int,
        makeAnswers: @escaping @Sendable (Int) -> (([UInt8]) -> [UInt8]?)
    ) throws {
        let (descriptor, port) = try Loopback.listen(port: 0)
        self.port = port
        let isClosed = isClosed
        startThread {
            defer { close(descriptor) }
            var number = 0
            while !isClosed.value.load(ordering: .relaxed) {
                guard isReadable(descriptor) else { continue }
                let client = accept(descriptor, nil, nil)
                guard client >= 0 else { continue }
                let connection = number
                number += 1
                startThread {
                    defer { close(client) }
                    let answer = makeAnswers(connection)
                    while let header = Self.receive(client, headerLength, isClosed) {
                        guard let rest = Self.receive(client, restLength(header), isClosed),
                            let bytes = answer(header + rest), sendAll(client, bytes[...])
                        else { return }
                    }
                }
            }
        }
    }

    deinit { isClosed.value.store(true, ordering: .relaxed) }

    private static func receive(_ descriptor: Int32, _ count: Int, _ isClosed: Flag) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            guard !isClosed.value.load(ordering: .relaxed) else { return nil }
            guard isReadable(descriptor) else { continue }
            let received = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress.map { $0 + done }, count - done, 0)
            }
            guard received > 0 else { return nil }
            done += received
        }
        return bytes
    }
}
