// SPDX-License-Identifier: GPL-3.0-or-later

extension JobSetting {
    /// Returns the portals that a text with commas, a map, or a list of both names.
    ///
    /// Texts are `known` or HOST[:PORT][/TARGET]; maps have the keys portal, target, initiator, user, secret,
    /// mutual_user and mutual_secret.
    func portals(mayHoldSecrets: Bool) throws(FormatError) -> [JobPortal] {
        var portals: [JobPortal] = []
        switch value.content {
        case .text(let text):
            for word in text.split(separator: ",") { portals.append(try portal(word.trimmed)) }
        case .map(let entries): portals.append(try portal(entries))
        case .list(let values):
            for value in values {
                switch value.content {
                case .text(let text): portals.append(try portal(text.trimmed))
                case .map(let entries): portals.append(try portal(entries))
                case .list: throw wrong("a list in a list has no meaning here")
                }
            }
        }
        guard !portals.isEmpty, portals.count <= 256 else { throw wrong("it names no portal") }
        guard mayHoldSecrets || portals.allSatisfy({ $0.account == nil && $0.mutualAccount == nil }) else {
            throw wrong("secrets stand in jobs only")
        }
        return portals
    }

    private func portal(_ text: String) throws(FormatError) -> JobPortal {
        if text == "known" { return JobPortal() }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard !text.contains("@") else {
            throw wrong("a user or secret does not stand in a portal", hint: "use user and secret of a job's iscsi")
        }
        return JobPortal(
            portal: try plain(parts[0], "portal"), target: parts.count > 1 ? try plain(parts[1], "target") : nil)
    }

    private func portal(_ entries: [JobValue.Entry]) throws(FormatError) -> JobPortal {
        var values: [String: String] = [:]
        for entry in entries {
            let names = ["portal", "target", "initiator", "user", "secret", "mutual_user", "mutual_secret"]
            guard names.contains(entry.name) else {
                throw wrong(
                    "there is no key \(entry.name.prefix(60).debugDescription)",
                    hint: "the keys are \(names.joined(separator: ", "))")
            }
            // The value is never part of a message: it may be the secret.
            guard case .text(let text) = entry.value.content, (1...4096).contains(text.utf8.count),
                JobTarget.isClean(text)
            else { throw wrong("\(entry.name) must be one line of text") }
            values[entry.name] = text
        }
        guard let name = values["portal"] else { throw wrong("a portal is missing", hint: "portal: HOST, or known") }
        var portal = try portal(name)
        if let target = values["target"] { portal.target = try plain(target, "target") }
        if let initiator = values["initiator"] { portal.initiator = try plain(initiator, "initiator") }
        portal.account = try account(values["user"], values["secret"], "")
        portal.mutualAccount = try account(values["mutual_user"], values["mutual_secret"], "mutual_")
        if portal.mutualAccount != nil, portal.account == nil {
            throw wrong("mutual CHAP needs user and secret as well")
        }
        return portal
    }

    private func account(
        _ user: String?, _ secret: String?, _ prefix: String
    ) throws(FormatError) -> JobPortal.Account? {
        switch (user, secret) {
        case (nil, nil): return nil
        case (let user?, let secret?): return JobPortal.Account(user: user, secret: JobSecret(secret))
        case (nil, _?): throw wrong("\(prefix)secret comes without \(prefix)user")
        case (_?, nil): throw wrong("\(prefix)user comes without \(prefix)secret")
        }
    }

    private func plain(_ text: String, _ what: String) throws(FormatError) -> String {
        let isPlain = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }
        guard isPlain, (1...255).contains(text.utf8.count) else {
            throw wrong("the \(what) is no name: HOST[:PORT][/TARGET]")
        }
        return text
    }
}
