// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Glibc

/// Names and secrets by which initiator and target prove themselves to each other.
///
/// RFC 7143, 12.1.3: CHAP.
public struct CHAPCredentials: Sendable, Hashable {
    /// One side's name and secret.
    public struct Account: Sendable, Hashable {
        /// The name.
        public var user: String
        /// The secret.
        public var password: Secret

        /// Makes an account.
        public init(user: String, password: Secret) {
            self.user = user
            self.password = password
        }
    }

    /// What the initiator proves to the target.
    public var initiator: Account
    /// What the target must prove to the initiator; nil when it need not.
    public var target: Account?

    /// Makes credentials.
    ///
    /// - Throws: `ISCSIError` when a name or secret is empty, has more than 255 bytes or control characters.
    public init(initiator: Account, target: Account? = nil) throws(ISCSIError) {
        self.initiator = initiator
        self.target = target
        try Self.check(initiator, "")
        if let target { try Self.check(target, "mutual ") }
    }

    /// Credentials read from a file, and what to warn of.
    public struct File: Sendable {
        /// The credentials.
        public var credentials: CHAPCredentials
        /// A warning, when others can read the file as well.
        public var warning: String?
    }

    /// Reads `path`: lines `user=`, `password=`, `mutual_user=`, `mutual_password=`, empty lines and `#` comments.
    ///
    /// - Throws: `ISCSIError`, which names lines and keys, never values.
    public static func read(file path: String) throws(ISCSIError) -> File {
        let action = "read the CHAP file \(path)"
        let text: String
        do throws(BlockError) { text = try SmallFile.text(path, limit: 64 << 10) } catch {
            throw ISCSIError(action, .invalid(error.description))
        }
        var values: [String: String] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if line.allSatisfy({ $0 == " " || $0 == "\t" }) || line.first == "#" { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw ISCSIError(action, .invalid("line \(index + 1) is no key=value"))
            }
            let key = line[..<equals].filter { $0 != " " && $0 != "\t" }
            guard ["user", "password", "mutual_user", "mutual_password"].contains(key) else {
                throw ISCSIError(
                    action,
                    .invalid(
                        "line \(index + 1) has an unknown key; there are user, password, mutual_user, mutual_password"))
            }
            guard values.updateValue(String(line[line.index(after: equals)...]), forKey: key) == nil else {
                throw ISCSIError(action, .invalid("\(key) stands twice"))
            }
        }
        guard let credentials = try make(values, action) else {
            throw ISCSIError(action, .invalid("it has no user and password"))
        }
        var status = stat()
        let isOpen = stat(path, &status) == 0 && status.st_mode & 0o077 != 0
        return File(
            credentials: credentials,
            warning: isOpen ? "others than its owner may read or change \(path): chmod 600 \(path)" : nil)
    }

    /// Takes `COLDCLONE_CHAP_USER`, `_PASSWORD`, `_MUTUAL_USER`, `_MUTUAL_PASSWORD`; nil when none is set.
    ///
    /// The password alone goes with `user`, which stands elsewhere.
    public static func fromEnvironment(user: String? = nil) throws(ISCSIError) -> CHAPCredentials? {
        var values: [String: String] = [:]
        for key in ["user", "password", "mutual_user", "mutual_password"] {
            if let value = getenv("COLDCLONE_CHAP_\(key.uppercased())") { values[key] = String(cString: value) }
        }
        if values["password"] != nil, values["user"] == nil { values["user"] = user }
        return try make(values, "take CHAP credentials from the environment")
    }

    private static func make(_ values: [String: String], _ action: String) throws(ISCSIError) -> CHAPCredentials? {
        guard !values.isEmpty else { return nil }
        func account(_ prefix: String) throws(ISCSIError) -> Account? {
            switch (values["\(prefix)user"], values["\(prefix)password"]) {
            case (nil, nil): return nil
            case (let user?, let password?): return Account(user: user, password: Secret(password))
            case (nil, _?): throw ISCSIError(action, .invalid("\(prefix)password comes without \(prefix)user"))
            case (_?, nil): throw ISCSIError(action, .invalid("\(prefix)user comes without \(prefix)password"))
            }
        }
        let target = try account("mutual_")
        guard let initiator = try account("") else {
            throw ISCSIError(action, .invalid("mutual CHAP needs user and password as well"))
        }
        return try CHAPCredentials(initiator: initiator, target: target)
    }

    private static func check(_ account: Account, _ side: String) throws(ISCSIError) {
        for (name, text) in [("user", account.user), ("password", account.password.revealed)] {
            guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw ISCSIError(
                    "use CHAP credentials",
                    .invalid("the \(side)\(name) is empty, has control characters, or more than 255 bytes"))
            }
        }
    }
}
