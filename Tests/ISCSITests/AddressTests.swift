// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import ISCSI
internal import TestSupport
internal import Testing

/// Portals, names and URLs: what is read is printed again, and nothing else is read.
struct AddressTests {
    @Test(
        arguments: [
            ("10.0.0.1", "10.0.0.1:3260"), ("10.0.0.1:860", "10.0.0.1:860"),
            ("san.example.org", "san.example.org:3260"),
            ("[fe80::1]", "[fe80::1]:3260"), ("[2001:db8::2]:3261", "[2001:db8::2]:3261"),
            ("[fe80::1%eth0]:3260", "[fe80::1%eth0]:3260"), ("10.0.0.1:3260,1", "10.0.0.1:3260"),
            ("[::1]:3260,17", "[::1]:3260"),
        ] as [(String, String)])
    func portals(text: String, printed: String) throws {
        let portal = try #require(ISCSIPortal(text))
        #expect(portal.description == printed)
        #expect(ISCSIPortal(portal.description) == portal)
    }

    @Test(arguments: [
        "", ":", ":3260", "host:", "host:0", "host:65536", "host:-1", "host:+1", "host:1:2", "[::1", "[host]", "[]",
        "a b", "ho/st", "host:3260x", "fe80::1",
    ])
    func refusedPortals(text: String) { #expect(ISCSIPortal(text) == nil) }

    @Test func urls() throws {
        let plain = try ISCSIURL("iscsi://10.0.0.1/iqn.2001-04.com.example:a.b-c/12")
        #expect(plain.portal == ISCSIPortal(host: "10.0.0.1"))
        #expect(plain.target.description == "iqn.2001-04.com.example:a.b-c")
        #expect(plain.lun.rawValue == 12 && plain.user == nil && plain.password == nil)
        #expect(plain.description == "iscsi://10.0.0.1:3260/iqn.2001-04.com.example:a.b-c/12")
        #expect(try ISCSIURL(plain.description) == plain)

        let full = try ISCSIURL("iscsi://alice%s%cr@t@[::1]:3261/iqn.2001-04.com.example%3Aa%2Fb/0")
        #expect(full.portal == ISCSIPortal(host: "::1", port: 3261))
        #expect(full.target.description == "iqn.2001-04.com.example:a/b")
        #expect(full.user == "alice" && full.password?.revealed == "s%cr@t")
        #expect(full.description == "iscsi://[::1]:3261/iqn.2001-04.com.example:a%2Fb/0")
        #expect(try ISCSIURL("iscsi://alice@h/naa.60014051234/16383").user == "alice")
    }

    @Test(arguments: [
        "", "iscsi://", "iscsi:///iqn.a:b/1", "http://h/iqn.a:b/1", "iscsi://h/iqn.a:b", "iscsi://h/iqn.a:b/",
        "iscsi://h/iqn.a:b/x", "iscsi://h/iqn.a:b/-1", "iscsi://h/iqn.a:b/16384", "iscsi://h/iqn.a:b/1/2",
        "iscsi://h/disk/1", "iscsi://h/iqn.a%zz/1", "iscsi://h/iqn.a%4/1", "iscsi://h/iqn./1", "iscsi://h:0/iqn.a:b/1",
        "iscsi://h/iqn.a b/1", "iscsi://h/iqn.a:b/99999999999999999999", "iscsi://u%hunter2@/iqn.a:b/1",
    ])
    func refusedURLs(text: String) throws {
        let error = #expect(throws: ISCSIError.self) { try ISCSIURL(text) }
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test func addresses() throws {
        #expect(try ISCSIAddress("10.0.0.1").target == nil)
        #expect(try ISCSIAddress("iscsi://alice@10.0.0.1:3261").user == "alice")
        #expect(try ISCSIAddress("iscsi://10.0.0.1/").target == nil)
        let address = try ISCSIAddress("iscsi://10.0.0.1/iqn.a:b")
        #expect(address.target?.description == "iqn.a:b" && address.lun == nil)
        #expect(throws: ISCSIError.self) { try ISCSIAddress("10.0.0.1/iqn.a:b") }
        #expect(throws: ISCSIError.self) { try ISCSIAddress("alice@10.0.0.1") }
    }

    @Test func secretsAreNotShown() throws {
        let url = try ISCSIURL("iscsi://alice%hunter2@h/iqn.a:b/1")
        let credentials = try CHAPCredentials(
            initiator: .init(user: "alice", password: Secret("hunter2")),
            target: .init(user: "storage", password: Secret("hunter2")))
        var dumped = ""
        dump(url, to: &dumped)
        dump(credentials, to: &dumped)
        dumped += "\(url) \(credentials) \(String(reflecting: url)) \(String(reflecting: credentials))"
        #expect(!dumped.contains("hunter2"))
        #expect(dumped.contains("<secret>"))
    }

    @Test func initiatorNames() throws {
        #expect(
            InitiatorName.parse("## a comment\nInitiatorName=iqn.1993-08.org.debian:01:ab\n")?.description
                == "iqn.1993-08.org.debian:01:ab")
        #expect(InitiatorName.parse("GenerateName=yes\n") == nil)
        #expect(InitiatorName.parse("InitiatorName=\n") == nil)
        let folder = try TemporaryFolder()
        #expect(InitiatorName.resolve(root: folder.path).description.hasPrefix("iqn.2026-11.org.coldclone:"))
        try Tool.output("mkdir", ["-p", folder.file("etc/iscsi")])
        try Tool.output("cp", ["/etc/machine-id", folder.file("etc/machine-id")])
        let generated = InitiatorName.resolve(root: folder.path)
        #expect(generated == InitiatorName.resolve(root: folder.path))
        #expect(generated.description.utf8.count > 50)
        try SampleContent.write(Array("InitiatorName=iqn.a:b\n".utf8), to: folder.file("etc/iscsi/initiatorname.iscsi"))
        #expect(InitiatorName.resolve(root: folder.path).description == "iqn.a:b")
    }

    @Test func credentialFiles() throws {
        let folder = try TemporaryFolder()
        func read(_ text: String, mode: String = "600") throws -> CHAPCredentials.File {
            let path = try SampleContent.write(Array(text.utf8), to: folder.file("chap"))
            try Tool.output("chmod", [mode, path])
            return try CHAPCredentials.read(file: path)
        }
        let both = try read("# storage\n\nuser=alice\npassword=p=w #1 \nmutual_user=san\nmutual_password=x\r\n")
        #expect(both.credentials.initiator == .init(user: "alice", password: Secret("p=w #1 ")))
        #expect(both.credentials.target == .init(user: "san", password: Secret("x")))
        #expect(both.warning == nil)
        #expect(try read("user=a\npassword=b\n", mode: "644").warning?.contains("chmod 600") == true)
        for bad in [
            "", "user=alice\n", "password=hunter2\n", "mutual_user=a\nmutual_password=hunter2\n", "hunter2\n",
            "user=alice\npassword=hunter2\nsecret=hunter2\n", "user=a\nuser=b\npassword=hunter2\n",
            "user=alice\npassword=\n", "user=a\npassword=hunter2\u{1}\n",
            "user=a\npassword=\(String(repeating: "hunter2", count: 40))\n",
            "user=a\npassword=hunter2\nmutual_user=b\n",
        ] {
            let error = #expect(throws: ISCSIError.self, "\(bad)") { try read(bad) }
            #expect(error?.description.contains("hunter2") == false)
        }
        let missing = #expect(throws: ISCSIError.self) { try CHAPCredentials.read(file: folder.file("none")) }
        #expect(missing?.description.contains(folder.file("none")) == true)
    }
}
