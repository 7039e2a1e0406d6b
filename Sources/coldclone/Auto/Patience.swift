// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

extension CancellationFlag {
    /// Waits for `duration`, and returns false at once when somebody asks to stop.
    func wait(for duration: Duration) -> Bool {
        let stopped = Monitor(false)
        let action = onCancel { stopped.change { $0 = true } }
        defer { removeAction(action) }
        return stopped.wait(for: duration) { $0 ? true : nil } == nil
    }
}

/// Tries again what fails while links come up and servers start, for a bounded time.
struct Patience {
    var reporter: AutoReporter
    var cancellation: CancellationFlag
    /// Longest time in all.
    var seconds: Int

    /// Returns what `attempt` returns once it does; an `AutoError` that is transient is tried again.
    ///
    /// - Parameter what: what is waited for, for the message.
    func wait<Value>(for what: String, _ attempt: () throws -> Value) throws -> Value {
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(seconds)
        var pause = Duration.seconds(1)
        var told: String?
        while true {
            if cancellation.isCancelled { throw AutoError.cancelled }
            do {
                return try attempt()
            } catch let error as AutoError where error.isTransient && clock.now < deadline {
                if told != error.description {
                    let left = Int((deadline - clock.now) / .seconds(1))
                    reporter.tell(.waiting(what: what, why: error.description, seconds: left))
                    told = error.description
                }
                guard cancellation.wait(for: min(pause, max(deadline - clock.now, .zero))) else {
                    throw AutoError.cancelled
                }
                pause = min(pause * 2, .seconds(15))
            }
        }
    }
}
