// SPDX-License-Identifier: GPL-3.0-or-later

internal import Dispatch

/// Blocking work beside tasks: the few threads of Swift's cooperative pool must never wait for a disk.
enum OwnThread {
    private static let queue = DispatchQueue(label: "coldclone.blocking", attributes: .concurrent)

    /// Calls `body` on a thread outside the pool, and suspends until it has returned.
    static func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            queue.async {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
