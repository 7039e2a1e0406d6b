// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Lets so many threads read at the same time, and no more: the next one in the disk's order waits for its turn.
final class ReadGate: Sendable {
    private let free: Monitor<Int>?

    /// Makes a gate for `count` threads; nil lets all of them through.
    init(_ count: Int?) { free = count.map { Monitor(max($0, 1)) } }

    /// Runs `body` once there is room for it.
    func pass<Value>(_ body: () throws(CaptureError) -> Value) throws(CaptureError) -> Value {
        guard let free else { return try body() }
        free.wait { (free: inout Int) -> Void? in
            guard free > 0 else { return nil }
            free -= 1
            return ()
        }
        defer { free.change { $0 += 1 } }
        return try body()
    }
}
