// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// What an unattended run is to do: precedence, origins, refusals, and secrets that stay secret.
struct JobConfigurationTests {
    private func configuration(
        _ job: String = "", commandLine: String = "", options: [String] = []
    ) throws(FormatError) -> JobConfiguration {
        var configuration = JobConfiguration()
        try configuration.apply(job: try JobText.parse(Array(job.utf8), place: "job.yaml"), place: "job.yaml")
        try configuration.apply(commandLine: KernelCommandLine.parse(commandLine))
        for option in options { try configuration.apply(option: option) }
        return configuration
    }

    private func refusal(
        _ job: String = "", commandLine: String = "", options: [String] = []
    ) -> FormatError? {
        do throws(FormatError) {
            _ = try configuration(job, commandLine: commandLine, options: options)
            return nil
        } catch {
            return error
        }
    }

    @Test func theStrongerSourceWinsAndIsNamed() throws {
        let job = """
            mode: auto          # on every boot
            target: nfs://10.0.0.1/clones
            format: raw
            disks: [sda, "wwn:0x5000c500a1b2c3d4", 'serial:Z1D3X5']
            on_done: poweroff
            retries: 7
            """
        let merged = try configuration(
            job, commandLine: "quiet coldclone.format=qcow2 coldclone.on-done=reboot ro", options: ["on_done=stay"])
        #expect(merged.mode == .auto)
        #expect(merged.format == .qcow2)
        #expect(merged.onDone == .stay)
        #expect(merged.retries == 7)
        #expect(merged.disks == [.path("/dev/sda"), .worldWideName("0x5000c500a1b2c3d4"), .serial("Z1D3X5")])
        #expect(merged.target?.description == "nfs://10.0.0.1/clones")
        #expect(merged.origin(of: .mode) == .job("job.yaml"))
        #expect(merged.origin(of: .format) == .commandLine)
        #expect(merged.origin(of: .onDone) == .option)
        #expect(merged.origin(of: .onFail) == .defaults)
        #expect(merged.lines.map(\.key) == JobKey.allCases.map(\.rawValue))
    }

    @Test func anEarlierCloneIsTheBase() throws {
        #expect(try configuration().base == .none)
        #expect(try configuration("base: latest\nbase_copy: on\nformat: raw").base == .latest)
        let named = try configuration(commandLine: "coldclone.base=web01-20261122T103000Z coldclone.base-copy")
        #expect(named.base == .clone("web01-20261122T103000Z") && named.baseCopy)
        for name in ["../web01", "a/b", ".", ".hidden"] {
            #expect(refusal("base: \"\(name)\"")?.description.contains("is no clone") == true, "\(name)")
        }
        let raw = try configuration("base: latest\nformat: raw")
        #expect(throws: FormatError.self) { try raw.check() }
    }

    @Test(
        arguments: [
            ("on-done", nil), ("traget", "target"), ("tokn", "token"), ("formt", "format"), ("on_dnoe", "on_done"),
            ("xyzzyplugh", nil), ("", nil), (String(repeating: "a", count: 500), nil),
        ] as [(String, String?)])
    func anUnknownKeyIsRefusedWithTheNearest(name: String, meant: String?) throws {
        let error = try #require(refusal("\"\(name)\": x\n"))
        #expect(error.description.contains("there is no key"))
        #expect(error.description.utf8.count < 300)
        if let meant { #expect(error.hint == "did you mean \(meant)?") }
    }

    @Test(arguments: [
        "mode: ui\nmode: auto", "mode: [a", "- a\n- b", "x", "a: &x 1\nb: *x", "format: !!str raw", "format: vmdk",
        "retries: -1", "retries: 1e3", "retries: 99999999999999999999", "force: maybe", "target: /mnt", "target: usb:",
        "target: dir:relative", "target: nfs://server", "target: nfs:///path", "target: nfs://h:0/x",
        "target: nfs://h:99999/x", "target: nfs://h/x?-o", "target: nfs://h/../x", "target: nfs://-h/x",
        "target: \"nfs://h/a\\nb\"", "disks: ''", "disks: []", "disks: ../sda", "disks: wwn:", "disks: {a: b}",
        "name: ../x", "name: a b", "receiver: ftp://x", "receiver: https://user:pw@x", "receiver: \"https://x y\"",
        "token: \"a b\"", "token: \"a\\nb\"", "fingerprint: sha1:00", "fingerprint: sha256//AAAA", "iscsi: ''",
        "iscsi: user@host", "iscsi: {portal: h, user: u}", "iscsi: {portal: h, secret: s}",
        "iscsi: {portal: h, colour: red}", "iscsi: {target: t}", "iscsi: {portal: h, mutual_user: u, mutual_secret: s}",
        "wait_receipt: soon", "job: gopher://x", "language: fr", "mode:", "mode: ~", "mode: [auto]",
    ])
    func whatMakesNoSenseIsRefusedWithItsPlace(job: String) throws {
        let error = try #require(refusal(job))
        #expect(error.description.hasPrefix("job.yaml"))
    }

    @Test func secretsAreRefusedWhereOthersReadThem() throws {
        for line in ["coldclone.iscsi.secret=hunter2", "coldclone.chap_secret=hunter2", "coldclone.password=hunter2"] {
            let error = try #require(refusal(commandLine: line))
            #expect(!"\(error)\(error.hint ?? "")".contains("hunter2"))
            #expect(error.hint?.contains("job") == true)
        }
        #expect(try configuration(commandLine: "coldclone.token=hunter2").token?.revealed == "hunter2")
        let error = try #require(refusal(options: ["token=hunter2"]))
        #expect(!"\(error)\(error.hint ?? "")".contains("hunter2"))
        #expect(refusal(commandLine: "coldclone.iscsi=user%hunter2@10.0.0.1") != nil)
    }

    @Test func secretsAreNeverPrinted() throws {
        let job = """
            token: hunter2
            receiver: https://10.0.0.1:8443
            iscsi:
              - portal: 10.0.0.9
                target: iqn.2001-04.com.example:db
                user: web
                secret: hunter2hunter2
                mutual_user: db
                mutual_secret: hunter2again
            """
        let configuration = try configuration(job)
        #expect(configuration.token?.revealed == "hunter2")
        #expect(configuration.iscsi.first?.account?.secret.revealed == "hunter2hunter2")
        var dumped = ""
        dump(configuration, to: &dumped)
        let encoded = String(decoding: try JSONText.encode(configuration), as: UTF8.self)
        let shown = "\(configuration)" + String(reflecting: configuration) + "\(configuration.lines)" + dumped + encoded
        #expect(!shown.contains("hunter2"))
        #expect(shown.contains("<secret>") && encoded.contains("<secret>"))
        // Nor by what is wrong beside them.
        for wrong in ["secret: [hunter2]", "secret: hunter2", "user: u\n  secret: {hunter2: 1}"] {
            let error = try #require(refusal("iscsi:\n  portal: h\n  \(wrong)\n"))
            #expect(!"\(error)\(error.hint ?? "")".contains("hunter2"))
        }
    }

    @Test func portalsAreNamedInThreeWays() throws {
        #expect(try configuration("iscsi: known").iscsi.map(\.description) == ["known"])
        #expect(
            try configuration(commandLine: "coldclone.iscsi=known,10.0.0.1:3261,[fe80::1]/iqn.x:y").iscsi.map(
                \.description)
                == ["known", "10.0.0.1:3261", "[fe80::1]/iqn.x:y"])
        #expect(try configuration("iscsi: [known, {portal: h, initiator: iqn.a:b}]").iscsi.last?.initiator == "iqn.a:b")
    }

    @Test func whatTheLiveSystemStartsWithIsNotOurs() throws {
        let line =
            "BOOT_IMAGE=/vmlinuz coldclone.medium=id-1 coldclone.root=http://h/r coldclone.toram coldclone.mode=auto"
        #expect(try configuration(commandLine: line).mode == .auto)
        #expect(refusal("root: http://h/r") != nil)
    }

    @Test func aNameAloneTurnsOn() throws {
        let merged = try configuration(commandLine: "coldclone.force coldclone.bench=off coldclone.resume=no")
        #expect(merged.force && !merged.bench && !merged.resume)
        #expect(refusal(commandLine: "coldclone.target") != nil)
    }

    @Test func fingerprintsAreWhatCurlTakes() throws {
        let expected = "sha256//" + String(repeating: "A", count: 43) + "="
        #expect(try configuration("fingerprint: \(expected)").fingerprint == expected)
        let hexadecimal = "sha256:" + String(repeating: "00", count: 32)
        #expect(try configuration("fingerprint: \(hexadecimal)").fingerprint == expected)
        #expect(try configuration("receiver: https://h:8443//").receiver == "https://h:8443")
    }

    @Test func settingsThatContradictEachOtherAreRefused() throws {
        #expect(throws: FormatError.self) { try configuration("format: raw\ncompression: zstd").check() }
        #expect(throws: FormatError.self) { try configuration("disks: none").check() }
        try configuration("disks: none\niscsi: known").check()
    }
}
