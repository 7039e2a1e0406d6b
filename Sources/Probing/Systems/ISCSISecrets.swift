// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CloneFormat
internal import Synchronization

/// The CHAP secrets that node records of cold disks, and the firmware, hold: for logging in as they do.
///
/// They stay beside the inventory, which goes into manifests and recordings: here nothing can be encoded or printed,
/// and nothing is collected unless a caller hands a collection in. iscsiadm(8), iscsid.conf.
public final class ISCSISecrets: Sendable, CustomStringConvertible, CustomReflectable {
    /// What one record, or the firmware, holds.
    public struct Account: Sendable, Hashable {
        /// A name and what proves it.
        public struct Side: Sendable, Hashable {
            /// The name.
            public var user: String
            /// The secret.
            public var password: Secret

            /// Takes both; nil when one is missing or empty.
            init?(user: String?, password: String?) {
                guard let user, let password, !user.isEmpty, !password.isEmpty else { return nil }
                self.user = user
                self.password = Secret(password)
            }
        }

        /// How the initiator proves itself.
        public var initiator: Side
        /// How the target must prove itself; nil when it need not.
        public var target: Side?

        /// Takes both sides.
        init(initiator: Side, target: Side?) {
            self.initiator = initiator
            self.target = target
        }
    }

    private static let most = 4096

    private let accounts = Mutex<[String: Account]>([:])

    /// Makes an empty collection.
    public init() {}

    /// Returns what was found for the target of `name` at `portal`, written as in the inventory.
    public func account(of name: String, at portal: String) -> Account? {
        accounts.withLock { $0[Self.key(name, portal)] }
    }

    /// What messages show.
    public var description: String { "<secrets>" }
    /// What `dump` shows: nothing below.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }

    /// Keeps an account; the first one of a target and portal counts, as the first record of the inventory does.
    func add(_ account: Account, of target: ISCSITarget) {
        accounts.withLock { accounts in
            let key = Self.key(target.name, target.portal)
            if accounts[key] == nil, accounts.count < Self.most { accounts[key] = account }
        }
    }

    private static func key(_ name: String, _ portal: String) -> String { "\(name) \(portal)" }
}

extension ISCSISecrets.Account {
    /// Takes the account of a node record, or of iscsid.conf, which holds what a record would be made with.
    ///
    /// Nil when it has no name or no password: the initiator then logs in without CHAP, whatever the method says.
    init?(record text: String) {
        var values: [String: String] = [:]
        // Not as a shell would read it: quotes and backslashes are part of a password.
        for line in ConfigurationText.lines(text) {
            guard line.hasPrefix(Self.prefix), let sign = line.firstIndex(of: "=") else { continue }
            let key = ConfigurationText.trim(line[..<sign].dropFirst(Self.prefix.count))
            values[key] = ConfigurationText.trim(line[line.index(after: sign)...])
        }
        guard let initiator = Side(user: values["username"], password: values["password"]) else { return nil }
        self.initiator = initiator
        target = Side(user: values["username_in"], password: values["password_in"])
    }

    private static let prefix = "node.session.auth."
}
