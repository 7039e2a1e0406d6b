// SPDX-License-Identifier: GPL-3.0-or-later

internal import CISCSI
internal import Glibc
internal import Synchronization

/// What the library logs while it logs in: the only place where it tells which keys the target sent.
///
/// The library formats its messages in static memory and gives its hook no context. So only one thread at a time may be
/// inside it while it logs, and the hook finds its listener here.
enum LibraryLog {
    /// Of the library's log levels the one that tells the target's keys.
    private static let level: Int32 = 6
    private static let most = 64
    private static let turn = Mutex<Void>(())
    private static let keys = Mutex<[String: String]>([:])

    /// Calls `body`, which enters the library during a login, and returns the keys that the target sent meanwhile.
    static func listening(to context: OpaquePointer, _ body: () -> Void) -> [String: String] {
        turn.withLock { _ in
            keys.withLock { $0 = [:] }
            iscsi_set_log_fn(context) { _, message in
                if let message { LibraryLog.take(String(cString: message)) }
            }
            iscsi_set_log_level(context, level)
            body()
            iscsi_set_log_level(context, 0)
            return keys.withLock { $0 }
        }
    }

    /// Keeps a line such as `TargetLoginReply: AuthMethod=CHAP [iqn.…]`.
    private static func take(_ line: String) {
        let prefix = "TargetLoginReply: "
        guard line.hasPrefix(prefix), let equals = line.firstIndex(of: "=") else { return }
        let key = String(line[..<equals].dropFirst(prefix.count))
        // The target's name stands behind, in brackets, when there is one.
        let value = String(line[line.index(after: equals)...].prefix { $0 != " " })
        keys.withLock { if $0.count < most { $0[key] = value } }
    }
}
