// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console
internal import ISCSI
internal import Probing

/// Words on the command line that stand for several sources.
struct SourceWords {
    /// Every disk of this machine: not the live system's, none that a clone could be written to.
    static let all = "all"
    /// Every LUN of the targets that the firmware boots from, or that an installed system knows, here or on a named image.
    static let knownLUNs = "iscsi:known"

    /// A source, and the name that its iSCSI target knows the machine by, where that is known.
    struct Entry {
        var path: String
        var initiator: ISCSIName?
        /// What the installed system that knows the target proves itself with there.
        var credentials: CHAPCredentials?
    }

    var session: ISCSISessions
    var log: Log

    /// Returns `paths` with words replaced by what they stand for.
    ///
    /// - Throws: `CaptureError` or `ISCSIError` when a word stands for nothing, or a target does not let us in.
    func expand(_ paths: [String]) throws -> [Entry] {
        var entries: [Entry] = []
        for path in paths {
            switch path {
            case Self.all: entries += try disks()
            case Self.knownLUNs:
                let secrets = ISCSISecrets()
                entries += try units(known(paths, secrets), secrets)
            default: entries.append(Entry(path: path))
            }
        }
        return entries
    }

    private func disks() throws -> [Entry] {
        let disks = MachineProbe(Sysroot()).hardware().disks.filter { disk in
            disk.kind != "optical" && disk.kind != "md" && disk.size > 0 && !disk.isLiveMedium && !disk.isPossibleTarget
        }
        guard !disks.isEmpty else {
            throw SourceWordError(
                "no disk is driven but the live system's own, and those on USB, e-SATA or in a drive",
                hint: "coldclone probe tells of controllers without driver; name a disk on USB by its path")
        }
        return disks.map { Entry(path: $0.name) }
    }

    /// Returns what this machine and the systems on image files among `paths` know of iSCSI.
    private func known(_ paths: [String], _ secrets: ISCSISecrets) throws -> ISCSIInventory {
        var inspection = MachineInspection(sysroot: Sysroot())
        inspection.asksDrives = false
        inspection.iscsiSecrets = secrets
        var known = inspection.machine().iscsi
        let files = paths.filter {
            ![Self.all, Self.knownLUNs].contains($0) && !$0.hasPrefix("/dev/") && !$0.hasPrefix(ISCSIURL.scheme)
        }
        guard !files.isEmpty else { return known }
        let imaged = try inspection.images(files).iscsi
        known.initiators += imaged.initiators
        known.nodes += imaged.nodes
        return known
    }

    /// Returns the LUNs of the targets that `known` names.
    ///
    /// - Parameter secrets: what the installed systems' records of these targets hold.
    func units(_ known: ISCSIInventory, _ secrets: ISCSISecrets = ISCSISecrets()) throws -> [Entry] {
        var entries: [Entry] = []
        var seen: Set<String> = []
        let boot = known.boot.map { ($0, known.bootInitiator ?? known.initiators.first) }
        let nodes = known.nodes.map { ($0, known.initiators.first ?? known.bootInitiator) }
        for (target, initiator) in boot + nodes {
            let name = session.initiatorName ?? initiator.flatMap { ISCSIName($0) }
            let address = try ISCSIAddress("iscsi://\(target.portal)/\(target.name)")
            var options = try session.session(for: address, log)
            if let name { options.initiator = name }
            // What is given by hand counts: the records may be older than the target's accounts.
            let recorded = try secrets.account(of: target.name, at: target.portal).map(CHAPCredentials.init)
            options.credentials = options.credentials ?? recorded
            guard let iqn = address.target else { continue }
            for unit in try ISCSIDiscovery.logicalUnits(of: iqn, at: address.portal, options)
            where unit.isDisk && (target.lun == nil || unit.lun.description == "\(target.lun ?? 0)") {
                let path = "iscsi://\(target.portal)/\(target.name)/\(unit.lun)"
                if seen.insert(path).inserted {
                    entries.append(Entry(path: path, initiator: name, credentials: recorded))
                }
            }
        }
        guard !entries.isEmpty else {
            throw SourceWordError(
                "neither the firmware nor an installed system knows of an iSCSI target",
                hint: "coldclone iscsi discover PORTAL lists a portal's targets")
        }
        return entries
    }
}

/// A word stands for nothing on this machine.
struct SourceWordError: Error {
    var description: String
    var hint: String

    init(_ description: String, hint: String) {
        self.description = description
        self.hint = hint
    }
}

extension CHAPCredentials {
    /// Takes what a node record holds.
    ///
    /// - Throws: `ISCSIError` when a name or secret cannot be one.
    fileprivate init(_ account: ISCSISecrets.Account) throws(ISCSIError) {
        try self.init(
            initiator: Account(user: account.initiator.user, password: account.initiator.password),
            target: account.target.map { Account(user: $0.user, password: $0.password) })
    }
}
