// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// The shipped agent and a real iSCSI target daemon.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: ISCSIServer.isAvailable, "needs tgtd, and root"))
struct ISCSICommandTests {
    private static let target = "iqn.2026-11.org.example:disk"
    private static let secrets = ["opensesame12", "targetsecret1", "wrongsecret99"]

    /// Runs the agent, writing the programs that it starts to `tracing`, and makes sure that it tells no secret.
    private func run(
        _ arguments: [String], environment: [String] = [], tracing: String? = nil
    ) throws -> Tool.Result {
        let strace = tracing.map { ["-f", "-qq", "-v", "-s", "65536", "-e", "trace=execve", "-o", $0, Programs.agent] }
        let result = try Tool.run(
            strace == nil ? Programs.agent : "strace", (strace ?? []) + arguments, environment: environment)
        for secret in Self.secrets {
            #expect(!result.output.contains(secret) && !result.errors.contains(secret))
        }
        return result
    }

    private func url(_ port: UInt16, _ lun: Int = 1) -> String { "iscsi://127.0.0.1:\(port)/\(Self.target)/\(lun)" }

    @Test func findsTargetsAndUnits() throws {
        let folder = try TemporaryFolder()
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target, admitting: "iqn.1994-05.org.example:web01")
        let file = try SampleContent.write([UInt8](repeating: 3, count: 8 << 20), to: folder.file("disk"))
        try server.addUnit(1, 1, file, ["scsi_sn=SERIAL1"])
        try server.addUnit(1, 2, file, blockSize: 4096)
        let name = ["--initiator-name", "iqn.1994-05.org.example:web01"]

        let discovered = try run(["iscsi", "discover", server.portal, "--json"] + name)
        #expect(discovered.status == 0)
        for part in [
            "\"initiator_name\":\"iqn.1994", "\"portals\":[\"\(server.portal)\"]", "\"name\":\"\(Self.target)\"",
        ] {
            #expect(discovered.output.contains(part), "\(discovered.output)")
        }
        #expect(try run(["iscsi", "discover", server.portal] + name).output.contains(Self.target))

        let units = try run(["iscsi", "luns", server.portal, "--json"] + name)
        #expect(units.status == 0)
        for part in [
            "\"lun\":1", "\"lun\":2", "\"length_in_bytes\":8388608", "\"logical_sector_size_in_bytes\":4096",
            "\"serial\":\"SERIAL1\"", "\"wwid\":\"", "\"url\":\"\(url(server.port, 2))\"", "\"vendor\":\"IET\"",
        ] { #expect(units.output.contains(part), "\(units.output)") }
        #expect(units.output.split(separator: "\n").count == 1)
        let table = try run(["iscsi", "luns", server.portal, Self.target] + name)
        #expect(table.output.contains("8.00 MiB") || table.output.contains("8.0 MiB"), "\(table.output)")
        #expect(table.output.contains(url(server.port)) && table.output.contains("1 other LUN is no disk"))

        // Under another name there is nothing.
        let other = try run(["iscsi", "luns", server.portal, Self.target, "--initiator-name", "iqn.a.b:c"])
        #expect(other.status == 1)
        #expect(other.errors.contains("target not found") && other.errors.contains("hint: "))
        #expect(other.errors.contains("--initiator-name"))
    }

    @Test(
        arguments: [
            (["iscsi", "luns"], 64), (["iscsi", "discover", "127.0.0.1:1"], 1), (["iscsi", "discover", "a b"], 1),
            (["iscsi", "luns", "127.0.0.1:1", "nonsense"], 64), (["iscsi", "--help"], 0),
            (["iscsi", "luns", "127.0.0.1:1", "--initiator-name", "x"], 64),
            (["iscsi", "luns", "127.0.0.1:1", "--chap-file", "/does/not/exist"], 1),
            (["capture", "iscsi://127.0.0.1:1/iqn.a:b/1", "--target", "dir:/tmp"], 1),
            (["capture", "iscsi://127.0.0.1:1/iqn.a:b", "--target", "dir:/tmp"], 1),
        ] as [([String], Int32)])
    func exitCodes(arguments: [String], status: Int32) throws {
        #expect(try Tool.run(Programs.agent, arguments).status == status)
    }

    /// The cold disk says where its LUNs are, and under which name they let it in.
    @Test func findsTheLUNsThatAColdDiskKnows() throws {
        let folder = try TemporaryFolder()
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target, admitting: "iqn.1993-08.org.debian:web01")
        let content = SampleContent.bytes(.mixed, length: 6 << 20)
        try server.addUnit(1, 1, try SampleContent.write(content, to: folder.file("lun1")))
        try server.addUnit(1, 2, try SampleContent.write(content, to: folder.file("lun2")))
        let record = "var/lib/iscsi/nodes/\(Self.target)/127.0.0.1,\(server.port),1"
        try Tool.output(
            "bash",
            [
                "-c",
                """
                set -e; cd \(folder.path); mkdir -p root/etc/iscsi root/\(record)
                printf 'ID=debian\\nVERSION_ID="12"\\n' >root/etc/os-release
                echo '/dev/sda / ext4 defaults 0 1' >root/etc/fstab
                echo 'InitiatorName=iqn.1993-08.org.debian:web01' >root/etc/iscsi/initiatorname.iscsi
                printf 'node.name = %s\\nnode.conn[0].address = 127.0.0.1\\nnode.conn[0].port = %s\\n' \
                    \(Self.target) \(server.port) >root/\(record)/default
                truncate -s 32M disk.img && mkfs.ext4 -q -d root disk.img
                """,
            ])
        let image = folder.file("disk.img")
        let plan = try run(["plan", image, "iscsi:known", "--json"])
        #expect(plan.status == 0, "\(plan.errors)")
        for lun in 1...2 { #expect(plan.output.contains("\"source\":\"\(url(server.port, lun))\""), "\(plan.output)") }
        let target = try folder.folder("target")
        let captured = try Programs.capture([image, "iscsi:known"], target: target)
        #expect(captured.status == 0, "\(captured.errors)")
        let clone = try Programs.clone(in: target)
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        let images = try Tool.output("ls", [clone]).split(separator: "\n").filter {
            $0.hasPrefix("lun-") && $0.hasSuffix(".qcow2")
        }
        #expect(images.count == 2)
        for image in images { try Tool.output("qemu-img", ["compare", folder.file("lun1"), "\(clone)/\(image)"]) }
        // Nobody knows anything: that is said.
        let nothing = try run(["plan", folder.file("lun1"), "iscsi:known"])
        #expect(nothing.status == 1 && nothing.errors.contains("hint: "))
    }

    /// A disk image with a Linux that has a node record of the target with these passwords.
    ///
    /// The record is a file of the portal's name as open-iscsi 0.8 made it, or in a folder of that name as 2.1 does.
    private func coldDisk(
        _ folder: TemporaryFolder, _ port: UInt16, _ password: String, _ proof: String, isOld: Bool = false
    ) throws -> String {
        let place = "\(isOld ? "etc" : "var/lib")/iscsi/nodes/\(Self.target)/127.0.0.1,\(port),1"
        let record = """
            node.name = \(Self.target)
            node.startup = automatic
            node.session.auth.authmethod = CHAP
            node.session.auth.username = alice
            node.session.auth.password = \(password)
            node.session.auth.username_in = storage
            node.session.auth.password_in = \(proof)
            node.conn[0].address = 127.0.0.1
            node.conn[0].port = \(port)

            """
        let file = try SampleContent.write(Array(record.utf8), to: folder.file("record"))
        try Tool.output(
            "bash",
            [
                "-c",
                """
                set -e; cd \(folder.path); rm -rf root; mkdir -p root/etc/iscsi root/\(isOld ? "\(place)/.." : place)
                printf 'ID=debian\\nVERSION_ID="12"\\n' >root/etc/os-release
                echo '/dev/sda / ext4 defaults 0 1' >root/etc/fstab
                echo 'InitiatorName=iqn.1993-08.org.debian:web01' >root/etc/iscsi/initiatorname.iscsi
                cp \(file) root/\(isOld ? place : "\(place)/default")
                rm -f disk.img && truncate -s 32M disk.img && mkfs.ext4 -q -d root disk.img
                """,
            ])
        return folder.file("disk.img")
    }

    /// The cold disk also has what its LUNs ask for as proof; nobody else gets to see it.
    @Test func provesItselfAsTheColdDiskDoes() throws {
        let folder = try TemporaryFolder()
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target, admitting: "iqn.1993-08.org.debian:web01")
        let content = try SampleContent.write(SampleContent.bytes(.mixed, length: 3 << 20), to: folder.file("lun1"))
        try server.addUnit(1, 1, content)
        try server.addAccount(1, "alice", Self.secrets[0])
        try server.addAccount(1, "storage", Self.secrets[1], outgoing: true)
        for isOld in [true, false] {
            let disk = try coldDisk(folder, server.port, Self.secrets[0], Self.secrets[1], isOld: isOld)
            let plan = try run(["plan", disk, "iscsi:known", "--json", "--log-level", "debug"])
            #expect(plan.status == 0, "\(plan.errors)")
            #expect(plan.output.contains("\"source\":\"\(url(server.port))\""), "\(plan.output)")
        }
        let disk = folder.file("disk.img")
        let probed = try run(["probe", disk, "--json"])
        #expect(probed.status == 0 && probed.output.contains("\"alice\""), "\(probed.errors)")
        #expect(try run(["probe", disk]).status == 0)

        // A whole capture: nothing that it prints or keeps, and no program that it starts, is told a secret.
        let target = try folder.folder("target")
        let captured = try run(
            ["capture", disk, "iscsi:known", "--target", "dir:\(target)", "--name", "host", "--json"]
                + ["--log-level", "debug"], tracing: folder.file("trace"))
        #expect(captured.status == 0, "\(captured.errors)")
        let clone = try Programs.clone(in: target)
        try Tool.output("rm", ["\(clone)/disk.qcow2"])  // The cold disk's own content, its records included.
        #expect(try Tool.output("cat", ["\(clone)/manifest.json"]).contains(url(server.port)))
        #expect(try Tool.output("grep", ["-c", "execve", folder.file("trace")]) != "0\n")
        for secret in Self.secrets {
            #expect(try Tool.run("grep", ["-ra", secret, clone, folder.file("trace")]).status == 1)
        }

        // Accounts that changed since: the message says so, and what is given by hand counts.
        for (password, proof) in [(Self.secrets[2], Self.secrets[1]), (Self.secrets[0], Self.secrets[2])] {
            let old = try coldDisk(folder, server.port, password, proof)
            let refused = try run(["plan", old, "iscsi:known"])
            #expect(refused.status == 1, "\(refused.errors)")
            #expect(refused.errors.contains("hint: check user and password"), "\(refused.errors)")
            let variables = ["COLDCLONE_CHAP_USER=alice", "COLDCLONE_CHAP_PASSWORD=\(Self.secrets[0])"]
            #expect(try run(["plan", old, "iscsi:known"], environment: variables).status == 0)
        }
    }

    @Test func provesItselfAndKeepsItsSecrets() throws {
        let folder = try TemporaryFolder()
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target)
        let file = try SampleContent.write(SampleContent.bytes(.mixed, length: 4 << 20), to: folder.file("disk"))
        try server.addUnit(1, 1, file)
        try server.addAccount(1, "alice", "opensesame12")
        try server.addAccount(1, "storage", "targetsecret1", outgoing: true)
        func chapFile(_ text: String) throws -> [String] {
            let path = try SampleContent.write(Array(text.utf8), to: folder.file("chap"))
            return ["--chap-file", path]
        }
        let luns = ["iscsi", "luns", server.portal, Self.target]
        let good = "user=alice\npassword=opensesame12\nmutual_user=storage\nmutual_password=targetsecret1\n"
        let result = try run(luns + chapFile(good))
        #expect(result.status == 0)
        #expect(result.errors.contains("warning: ") && result.errors.contains("chmod 600"))
        try Tool.output("chmod", ["600", folder.file("chap")])
        #expect(try run(luns + ["--chap-file", folder.file("chap")]).errors == "")
        let variables = ["COLDCLONE_CHAP_USER=alice", "COLDCLONE_CHAP_PASSWORD=opensesame12"]
        #expect(try run(luns, environment: variables).status == 0)
        #expect(try run(["iscsi", "luns", "iscsi://alice%opensesame12@\(server.portal)/\(Self.target)"]).status == 0)

        for wrong in [
            try run(luns), try run(luns + chapFile("user=alice\npassword=wrongsecret99\n")),
            try run(luns, environment: ["COLDCLONE_CHAP_USER=bob", "COLDCLONE_CHAP_PASSWORD=opensesame12"]),
            try run(
                luns,
                environment: variables + [
                    "COLDCLONE_CHAP_MUTUAL_USER=storage", "COLDCLONE_CHAP_MUTUAL_PASSWORD=wrongsecret99",
                ]),
        ] {
            #expect(wrong.status == 1)
            #expect(wrong.errors.contains("hint: check user and password"), "\(wrong.errors)")
        }

        let captured = try run(
            [
                "capture", url(server.port), "--target", "dir:\(folder.folder("target"))", "--name", "host",
                "--log-level", "debug",
            ] + chapFile(good))
        #expect(captured.status == 0, "\(captured.errors)")
        let clone = try Programs.clone(in: folder.file("target"))
        for secret in Self.secrets { #expect(try Tool.run("grep", ["-ra", secret, clone]).status == 1) }
    }

    @Test(arguments: [1, 3])
    func clonesUnits(connections: Int) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target)
        var files: [String] = []
        for (lun, size) in [(1, 512), (2, 4096)] {
            let content = SampleContent.bytes(.mixed, length: 20 << 20 | 4096 * lun, seed: UInt64(lun))
            files.append(try SampleContent.write(content, to: folder.file("\(lun)")))
            try server.addUnit(1, lun, files[lun - 1], blockSize: size, ["scsi_sn=SN/\(lun)", "readonly=1"])
        }
        let before = try Tool.output("sha256sum", files)
        let result = try Programs.capture(
            [url(server.port, 1), url(server.port, 2)], target: folder.folder("target"),
            ["--iscsi-connections", "\(connections)"])
        #expect(result.status == 0, "\(result.errors)")
        let clone = try Programs.clone(in: folder.file("target"))
        for lun in [1, 2] {
            try Tool.output(
                "qemu-img",
                ["compare", "-f", "raw", "-F", "qcow2", files[lun - 1], "\(clone)/lun-SN-\(lun)-\(lun).qcow2"])
        }
        let manifest = try Tool.output("cat", ["\(clone)/manifest.json"])
        #expect(manifest.contains("\"source\" : \"\(url(server.port, 2))\""))
        for size in [512, 4096] { #expect(manifest.contains("\"logical_sector_size_in_bytes\" : \(size)")) }
        #expect(try Tool.run(Programs.receiver, ["verify", clone]).status == 0)
        #expect(try Tool.output("sha256sum", files) == before)
    }

    @Test func goesOnWhenTheConnectionBreaks() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target)
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 64 << 20), to: folder.file("disk"))
        try server.addUnit(1, 1, file, ["scsi_sn=CUT"])
        let proxy = try TCPProxy(
            to: server.port, faults: [.init(after: 20_000_000, .close), .init(after: 20_000_001, .reset)])
        let result = try Programs.capture([url(proxy.port)], target: folder.folder("target"))
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("was lost: reconnecting"))
        #expect(proxy.connections == 3)
        let clone = try Programs.clone(in: folder.file("target"))
        try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", file, "\(clone)/lun-CUT-1.qcow2"])
    }

    /// A technician's Ctrl-C must not wait for a target that has gone, and the clone can be gone on with.
    @Test func stopsAndGoesOn() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let server = try ISCSIServer()
        try server.addTarget(1, Self.target)
        let file = try SampleContent.write(SampleContent.bytes(.random, length: 48 << 20), to: folder.file("disk"))
        try server.addUnit(1, 1, file, ["scsi_sn=STOP"])
        let proxy = try TCPProxy(to: server.port, faults: [.init(after: 20_000_000, .stall)])
        let target = try folder.folder("target")
        let tool = try RunningTool(
            Programs.agent, ["capture", url(proxy.port), "--target", "dir:\(target)", "--name", "host"])
        #expect(proxy.waitForStrike())
        let clock = ContinuousClock()
        let start = clock.now
        tool.send(SIGINT)
        let stopped = try tool.wait()
        #expect(stopped.status == 130, "\(stopped.errors)")
        #expect(stopped.errors.contains("--resume"))
        #expect(clock.now - start < .seconds(10))
        // Nobody waited until the target was given up.
        #expect(proxy.connections == 1)
        let clone = try Programs.clone(in: target)
        let resumed = try Tool.run(Programs.agent, ["capture", "--resume", clone])
        #expect(resumed.status == 0, "\(resumed.errors)")
        try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", file, "\(clone)/lun-STOP-1.qcow2"])
    }

    /// Nothing is ever written to a target: one that asks for data is hung up on, whatever it would cost to answer.
    @Test(.enabled(if: Tool.isInstalled("/usr/bin/time"), "GNU time is not installed"))
    func queuesNothingForATargetThatAsksForData() throws {
        let target = try FakeTarget { request, answer in
            // Room for 4 GiB, which is half a million PDUs of 8 KiB each time.
            guard request.operation == 0x12 else { return answer }
            var ready = FakeTarget.header(0x31, request, 9)
            ready.replaceSubrange(44..<48, with: [0xff, 0xff, 0xff, 0xff])
            return Array([[UInt8]](repeating: ready, count: 4).joined())
        }
        let clock = ContinuousClock()
        let start = clock.now
        let result = try Tool.run(
            "/usr/bin/time",
            ["-f", "%M", Programs.agent, "iscsi", "luns", "127.0.0.1:\(target.server.port)", Self.fake])
        #expect(result.status == 1)
        let lines = result.errors.split(separator: "\n")
        // The connection's end, not the end of the time in which a target has to answer.
        #expect(
            lines.contains {
                $0.hasPrefix("coldclone: cannot ask LUN ") && $0.hasSuffix("the target closed the connection")
            }, "\(result.errors)")
        let kibibytes = try #require(lines.last.flatMap { Int($0) })
        #expect(kibibytes < 100 << 10, "\(kibibytes) KiB")
        #expect(clock.now - start < .seconds(10))
    }

    private static let fake = "iqn.2026-11.org.example:fake"
}
