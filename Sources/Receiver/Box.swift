// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization

/// A place where one thread leaves what another one takes.
final class Box<Value: Sendable>: Sendable {
    private let content = Mutex<Value?>(nil)

    /// What was left here last.
    var value: Value? { content.withLock { $0 } }

    /// Leaves `value`.
    func set(_ value: Value) { content.withLock { $0 = value } }
}
