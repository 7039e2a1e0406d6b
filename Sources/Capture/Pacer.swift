// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Keeps all who read together below a number of bytes a second.
final class Pacer: Sendable {
    /// What may be read at once after a pause: a tenth of a second's worth.
    private static let burst = 0.1

    private struct State {
        /// When everything that was let through so far would have been read at the limit.
        var paidUntil: ContinuousClock.Instant
        var isShut = false
    }

    private let bytesPerSecond: Double
    private let state = Monitor(State(paidUntil: .now))
    private let cancellation: CancellationFlag
    private let action: Int

    /// Allows `bytesPerSecond`, and nobody waits any more once `cancellation` is set.
    init(bytesPerSecond: Int, cancellation: CancellationFlag) {
        self.bytesPerSecond = Double(max(bytesPerSecond, 1))
        self.cancellation = cancellation
        let state = state
        action = cancellation.onCancel { state.change { $0.isShut = true } }
    }

    deinit { cancellation.removeAction(action) }

    /// Returns when `count` more bytes may be read.
    func take(_ count: Int64) {
        let cost = Duration.seconds(Double(count) / bytesPerSecond)
        let turn = state.change { state in
            let earliest = ContinuousClock.now - .seconds(Self.burst)
            state.paidUntil = max(state.paidUntil, earliest) + cost
            return state.paidUntil
        }
        // Nothing but the end of the work ends the wait early.
        _ = state.wait(for: turn - ContinuousClock.now) { $0.isShut ? true : nil }
    }
}
