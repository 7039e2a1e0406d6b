// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import FileSystems
internal import Probing
internal import TestSupport
internal import Testing

/// CHAP accounts in the records of open-iscsi: found when asked for, and nowhere to be read.
struct ISCSISecretsTests {
    private static let name = "iqn.2001-04.com.example:disk"

    private static func record(_ portal: String, _ lines: [String]) -> String {
        (["# BEGIN RECORD 2.1.8", "node.name = \(name)", "node.conn[0].address = \(portal)"] + lines)
            .joined(separator: "\n") + "\n# END RECORD\n"
    }

    private static let tree = MemoryTree([
        "/etc/os-release": "ID=debian\n",
        "/etc/iscsi/iscsid.conf":
            "node.startup = manual\n#node.session.auth.username = no\nnode.session.auth.username = all\nnode.session.auth.password = Geheim0\n",
        "/var/lib/iscsi/nodes/\(name)/192.0.2.1,3260,1/default": record(
            "192.0.2.1",
            [
                "node.startup = automatic", "node.session.auth.authmethod = CHAP", "node.session.auth.username = web01",
                "node.session.auth.password =  \"Ge heim\\1=\" ", "node.session.auth.username_in = san",
                "node.session.auth.password_in = Geheim2",
            ]),
        // As old versions put it; half an account is none, half a proof of the target's is none.
        "/etc/iscsi/nodes/\(name)/192.0.2.2,3260": record(
            "192.0.2.2",
            [
                "node.conn[0].port = 3261", "node.conn[0].startup = manual", "node.session.auth.username = web02",
                "node.session.auth.password = Geheim3", "node.session.auth.username_in = san",
            ]),
        "/etc/iscsi/nodes/\(name)/192.0.2.3,3260": record(
            "192.0.2.3", ["node.startup = manual", "node.session.auth.username = web03"]),
        "/var/lib/iscsi/send_targets/192.0.2.4,3260/\(name),192.0.2.4,3260,1,default": "x",
        "/var/lib/iscsi/send_targets/192.0.2.4,3260/st_config": "discovery.sendtargets.auth.password = Geheim4\n",
    ])

    @Test func areFoundByTargetAndPortal() throws {
        let secrets = ISCSISecrets()
        let system = try #require(InstalledSystemReader.look(at: Self.tree, device: "/dev/sda1", secrets: secrets))
        #expect(system.iscsiTargets.count == 4)
        let first = try #require(secrets.account(of: Self.name, at: "192.0.2.1:3260"))
        #expect(first.initiator.user == "web01" && first.initiator.password.revealed == "\"Ge heim\\1=\"")
        #expect(first.target?.user == "san" && first.target?.password.revealed == "Geheim2")
        let second = try #require(secrets.account(of: Self.name, at: "192.0.2.2:3261"))
        #expect(second.initiator.password == Secret("Geheim3") && second.target == nil)
        #expect(secrets.account(of: Self.name, at: "192.0.2.3:3260") == nil)
        // Discovered, never logged in to: what iscsid.conf gives new records.
        #expect(secrets.account(of: Self.name, at: "192.0.2.4:3260")?.initiator.user == "all")
        #expect(secrets.account(of: "iqn.2001-04.com.example:other", at: "192.0.2.1:3260") == nil)
    }

    @Test func areNeitherPrintedNorEncoded() throws {
        let secrets = ISCSISecrets()
        let system = try #require(InstalledSystemReader.look(at: Self.tree, device: "/dev/sda1", secrets: secrets))
        let account = try #require(secrets.account(of: Self.name, at: "192.0.2.1:3260"))
        var text = "\(secrets) \(account) \(String(reflecting: secrets)) \(String(reflecting: account)) \(system)"
        dump(secrets, to: &text)
        dump(account, to: &text)
        dump(system, to: &text)
        var machine = Machine()
        machine.systems = [system]
        machine.iscsi.nodes = system.iscsiTargets
        dump(machine, to: &text)
        #expect(text.contains("web01"))
        #expect(!text.contains("heim"))
        // Nobody asked: nothing is collected.
        #expect(InstalledSystemReader.look(at: Self.tree, device: "/dev/sda1") == system)
    }
}
