// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The records of the iSCSI initiator: open-iscsi's files.
///
/// iscsiadm(8). Passwords stand beside what is read; they go nowhere but to `ISCSISecrets`, when somebody asks for them.
enum ISCSIRecords {
    private static let maximumTargets = 4096

    /// Returns the names by which the system logs in.
    static func initiators(_ tree: SystemTree) -> [String] {
        let text = tree.text("/etc/iscsi/initiatorname.iscsi") ?? tree.text("/etc/initiatorname.iscsi") ?? ""
        let values = ConfigurationText.lines(text).compactMap { line -> String? in
            guard line.hasPrefix("InitiatorName"), let sign = line.firstIndex(of: "=") else { return nil }
            let name = ConfigurationText.trim(line[line.index(after: sign)...])
            return name.isEmpty ? nil : name
        }
        return Set(values).sorted()
    }

    /// Returns the targets of all node records, and those that discovery found without making one.
    ///
    /// - Parameter secrets: gets the CHAP accounts that stand in the records; nil leaves them unread.
    static func targets(_ tree: SystemTree, _ secrets: ISCSISecrets? = nil) -> [ISCSITarget] {
        var found: Set<ISCSITarget> = []
        for base in ["/var/lib/iscsi/nodes", "/etc/iscsi/nodes"] {
            for name in tree.names(base) {
                for portal in tree.names("\(base)/\(name)") where found.count < maximumTargets {
                    let path = "\(base)/\(name)/\(portal)"
                    // A file in old versions, in new ones a directory with a file for each interface.
                    let files = tree.isDirectory(path) ? tree.names(path).map { "\(path)/\($0)" } : [path]
                    let texts = files.compactMap(tree.text)
                    let records = texts.compactMap(record)
                    found.formUnion(records.isEmpty ? target(named: name, portal).map { [$0] } ?? [] : records)
                    if let secrets { keep(texts, secrets) }
                }
            }
        }
        for base in ["/var/lib/iscsi/send_targets", "/etc/iscsi/send_targets"] {
            for portal in tree.names(base) {
                for name in tree.names("\(base)/\(portal)") where found.count < maximumTargets {
                    let parts = name.split(separator: ",", maxSplits: 1)
                    guard parts.count == 2, let known = target(named: String(parts[0]), String(parts[1])),
                        !found.contains(where: { $0.name == known.name && $0.portal == known.portal })
                    else { continue }
                    found.insert(known)
                }
            }
        }
        if let secrets { keepDefaults(tree, for: found, secrets) }
        return found.sorted { ($0.name, $0.portal) < ($1.name, $1.portal) }
    }

    /// Keeps the accounts of node records.
    private static func keep(_ texts: [String], _ secrets: ISCSISecrets) {
        for text in texts {
            guard let target = record(text), let account = ISCSISecrets.Account(record: text) else { continue }
            secrets.add(account, of: target)
        }
    }

    /// Keeps the account that new records are made with, for targets that discovery found and nobody logged in to.
    private static func keepDefaults(_ tree: SystemTree, for targets: Set<ISCSITarget>, _ secrets: ISCSISecrets) {
        guard let text = tree.text("/etc/iscsi/iscsid.conf"), let account = ISCSISecrets.Account(record: text) else {
            return
        }
        for target in targets where target.startup == nil && target.user == nil { secrets.add(account, of: target) }
    }

    /// Decodes a node record.
    private static func record(_ text: String) -> ISCSITarget? {
        let values = ConfigurationText.assignments(text)
        guard let name = values["node.name"], let address = values["node.conn[0].address"] else { return nil }
        let port = values["node.conn[0].port"] ?? "3260"
        return ISCSITarget(
            name: name, portal: portal(address, port),
            startup: values["node.startup"] ?? values["node.conn[0].startup"],
            user: values["node.session.auth.username"].flatMap { $0.isEmpty ? nil : $0 })
    }

    /// Decodes the name of a record: `192.0.2.9,3260,1`, with the interface's name behind it in discovery records.
    private static func target(named name: String, _ place: String) -> ISCSITarget? {
        let parts = place.split(separator: ",").map(String.init)
        guard name.hasPrefix("iqn.") || name.hasPrefix("eui.") || name.hasPrefix("naa."), parts.count >= 2 else {
            return nil
        }
        return ISCSITarget(name: name, portal: portal(parts[0], parts[1]))
    }

    private static func portal(_ address: String, _ port: String) -> String {
        address.contains(":") && !address.hasPrefix("[") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
