// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Console
internal import ISCSI
internal import Probing

/// From the disks and portals of a job to sources.
struct AutoSources {
    var configuration: JobConfiguration
    var log: Log
    var patience: Patience

    /// Whether only image files are captured, so that the machine itself does not matter.
    var areImageFiles: Bool {
        configuration.iscsi.isEmpty
            && configuration.disks.allSatisfy { disk in
                guard case .path(let path) = disk else { return false }
                return !path.hasPrefix("/dev/") && !path.hasPrefix(ISCSIURL.scheme)
            }
    }

    /// Who logs in where, as the job says.
    var sessions: ISCSISessions {
        let portals = configuration.iscsi
        return ISCSISessions(initiatorName: nil) { address, _ throws(ISCSIError) in
            guard let portal = Self.entry(for: address, in: portals), let account = portal.account else { return nil }
            return try CHAPCredentials(
                initiator: .init(user: account.user, password: Secret(account.secret.revealed)),
                target: portal.mutualAccount.map { .init(user: $0.user, password: Secret($0.secret.revealed)) })
        }
    }

    /// Returns the job's entry for `address`: that of its target before that of its portal before that of known targets.
    private static func entry(for address: ISCSIAddress, in portals: [JobPortal]) -> JobPortal? {
        func matches(_ entry: JobPortal) -> Bool {
            guard let portal = entry.portal else { return true }
            return ISCSIPortal(portal) == address.portal
        }
        let fitting = portals.filter {
            matches($0) && ($0.target == nil || $0.target == address.target?.description)
        }
        return fitting.first { $0.target != nil } ?? fitting.first { $0.portal != nil } ?? fitting.first
    }

    /// Returns the sources, in the job's order; `machine` is what disks are found on.
    func entries(_ machine: Machine) throws -> [SourceWords.Entry] {
        let words = SourceWords(session: sessions, log: log)
        var entries: [SourceWords.Entry] = []
        for disk in configuration.disks {
            switch disk {
            case .all: entries += try all(words)
            case .path(let path): entries.append(SourceWords.Entry(path: path))
            case .serial(let serial): entries.append(try only(machine, "serial:\(serial)") { $0.serial == serial })
            case .worldWideName(let name):
                let digits = Self.digits(name)
                entries.append(
                    try only(machine, "wwn:\(name)") { disk in
                        [disk.wwn, disk.wwid].compactMap(\.self).contains { Self.digits($0) == digits }
                    })
            }
        }
        for portal in configuration.iscsi { entries += try units(portal, words) }
        guard !entries.isEmpty else { throw AutoError("there is nothing to capture", hint: "coldclone probe") }
        var seen: Set<String> = []
        return entries.filter { seen.insert($0.path).inserted }
    }

    /// Returns the machine's disks; a machine may have none where LUNs are captured.
    private func all(_ words: SourceWords) throws -> [SourceWords.Entry] {
        do { return try words.expand([SourceWords.all]) } catch let error as SourceWordError {
            guard configuration.iscsi.isEmpty else { return [] }
            throw error
        }
    }

    /// The digits of a world wide name, whatever stands before them: `0x5000…`, `naa.5000…`, `eui.0025…`.
    private static func digits(_ name: String) -> String {
        let text = name.lowercased()
        for prefix in ["0x", "naa.", "eui."] where text.hasPrefix(prefix) {
            return String(text.dropFirst(prefix.count))
        }
        return text
    }

    private func only(
        _ machine: Machine, _ word: String, _ matches: (Disk) -> Bool
    ) throws -> SourceWords.Entry {
        let found = machine.disks.filter { matches($0) && $0.size > 0 }
        guard let disk = found.first else {
            throw AutoError("no disk of this machine is \(word)", hint: "coldclone probe lists serial numbers and WWNs")
        }
        guard found.count == 1 else {
            throw AutoError("\(found.map(\.name).joined(separator: " and ")) are both \(word)", hint: "name the disks")
        }
        return SourceWords.Entry(path: disk.name)
    }

    /// Logs in to what `portal` names, waiting while the network comes up, and returns its LUNs.
    private func units(_ portal: JobPortal, _ words: SourceWords) throws -> [SourceWords.Entry] {
        patience.reporter.tell(.loggingIn(portal.portal.map { $0 + (portal.target.map { "/\($0)" } ?? "") } ?? "known"))
        return try patience.wait(for: "iSCSI \(portal.portal ?? "targets")") {
            do {
                guard let name = portal.portal else { return try words.expand([SourceWords.knownLUNs]) }
                return try words.units(try inventory(name, portal))
            } catch let error as ISCSIError {
                throw AutoError(error.description, hint: error.hint, isTransient: Self.isTransient(error))
            }
        }
    }

    private func inventory(_ name: String, _ portal: JobPortal) throws(ISCSIError) -> ISCSIInventory {
        var inventory = ISCSIInventory()
        inventory.initiators = [portal.initiator].compactMap(\.self)
        if let target = portal.target {
            inventory.nodes = [ISCSITarget(name: target, portal: name)]
            return inventory
        }
        let address = try ISCSIAddress(name)
        var options = try sessions.session(for: address, log)
        if let initiator = portal.initiator.flatMap({ ISCSIName($0) }) { options.initiator = initiator }
        // Targets prove themselves when they are logged in to; few portals have a name of their own to prove.
        options.credentials?.target = nil
        inventory.nodes = try ISCSIDiscovery.sendTargets(address.portal, options).map {
            ISCSITarget(name: $0.name.description, portal: name)
        }
        return inventory
    }

    private static func isTransient(_ error: ISCSIError) -> Bool {
        switch error.cause {
        case .unresolved, .unreachable, .timedOut: true
        default: false
        }
    }
}
