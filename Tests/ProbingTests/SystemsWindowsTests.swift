// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import FileSystems
internal import TestSupport
internal import Testing

@testable internal import Probing

/// Hives that hivexsh(1) wrote into an empty one of ours.
@Suite(.enabled(if: Tool.isInstalled("hivexsh", "hivexget"))) struct SystemsWindowsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The smallest hive: a base block, a bin, the root key.
    private static let emptyHive: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 8192)
        func put(_ value: UInt32, _ offset: Int, _ width: Int = 4) {
            for index in 0..<width { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
        }
        func put(_ text: String, _ offset: Int) {
            bytes.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        put("regf", 0)
        put(1, 4)
        put(1, 8)
        put(1, 20)
        put(5, 24)
        put(1, 32)
        put(32, 36)
        put(4096, 40)
        put(1, 44)
        put("hbin", 4096)
        put(4096, 4096 + 8)
        let key = 4096 + 32
        put(UInt32(bitPattern: -88), key)
        put("nk", key + 4)
        put(0x24, key + 6, 2)
        put(.max, key + 4 + 28)
        put(.max, key + 4 + 32)
        put(.max, key + 4 + 40)
        // The security record follows: hivex copies the root's to its children.
        put(120, key + 4 + 44)
        put(.max, key + 4 + 48)
        put(4, key + 4 + 72, 2)
        put("ROOT", key + 4 + 76)
        let security = 4096 + 120
        put(UInt32(bitPattern: -48), security)
        put("sk", security + 4)
        put(120, security + 8)
        put(120, security + 12)
        put(1, security + 16)
        put(20, security + 20)
        bytes[security + 24] = 1
        bytes[security + 26] = 4
        bytes[security + 27] = 0x80
        let rest = 4096 + 168
        put(UInt32(8192 - rest), rest)
        var sum: UInt32 = 0
        for offset in stride(from: 0, to: 508, by: 4) {
            sum ^= (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
        }
        put(sum, 508)
        return bytes
    }()

    /// Makes a hive of keys with their values in hivexsh's words: `string:x`, `dword:1`, `hex:7:…`.
    private func hive(_ name: String, _ keys: [(String, [(String, String)])]) throws -> [UInt8] {
        let path = folder.file(name)
        try SampleContent.write(Self.emptyHive, to: path)
        var script = ""
        var made: Set<String> = []
        for (key, values) in keys {
            script += "cd \\\n"
            var place = ""
            for part in key.split(separator: "\\") {
                place += "\\\(part)"
                if made.insert(place).inserted { script += "add \(part)\n" }
                script += "cd \(part)\n"
            }
            guard !values.isEmpty else { continue }
            script += "setval \(values.count)\n" + values.map { "\($0.0)\n\($0.1)\n" }.joined()
        }
        script += "commit\n"
        let commands = folder.file("commands")
        try SampleContent.write(Array(script.utf8), to: commands)
        try Tool.output("hivexsh", ["-w", "-f", commands, path])
        return try SmallFile.read(path, limit: 16 << 20)
    }

    /// Returns UTF-16 with a zero behind each of `texts` and one more, as hivexsh wants it.
    private func multi(_ texts: String...) -> String {
        var units: [UInt16] = []
        for text in texts { units += Array(text.utf16) + [0] }
        units.append(0)
        var digits: [String] = []
        for unit in units {
            for byte in [unit & 0xff, unit >> 8] { digits.append((byte < 16 ? "0" : "") + String(byte, radix: 16)) }
        }
        return "hex:7:" + digits.joined(separator: ",")
    }

    private let control = "ControlSet002"
    private let class1 = "{4D36E972-E325-11CE-BFC1-08002BE10318}"

    private func systemHive(services: Int = 700) throws -> [UInt8] {
        let many = (0..<services).map { ("\(control)\\Services\\service\($0)", [("Start", "dword:3")]) }
        return try hive(
            "SYSTEM",
            many + [
                ("Select", [("Current", "dword:2")]),
                ("ControlSet001\\Services\\Tcpip\\Parameters", [("Hostname", "string:OLD")]),
                (
                    "\(control)\\Services\\Tcpip\\Parameters",
                    [("Hostname", "string:SRV1"), ("Domain", "string:example.net")]
                ),
                (
                    "\(control)\\Services\\Tcpip\\Parameters\\Interfaces\\{AAA}",
                    [
                        ("EnableDHCP", "dword:0"), ("IPAddress", multi("192.0.2.5", "192.0.2.6")),
                        ("SubnetMask", multi("255.255.255.0", "255.255.255.128")),
                        ("DefaultGateway", multi("192.0.2.1")), ("NameServer", "string:192.0.2.53,192.0.2.54"),
                    ]
                ),
                (
                    "\(control)\\Services\\Tcpip\\Parameters\\Interfaces\\{BBB}",
                    [("EnableDHCP", "dword:1"), ("IPAddress", multi("0.0.0.0"))]
                ),
                ("\(control)\\Services\\Tcpip\\Parameters\\Interfaces\\{CCC}", []),
                ("\(control)\\Control\\Network\\\(class1)\\{AAA}\\Connection", [("Name", "string:Ethernet 1")]),
                (
                    "\(control)\\Control\\Class\\\(class1)\\0007",
                    [("NetCfgInstanceId", "string:{aaa}"), ("NetworkAddress", "string:0050569A0001")]
                ),
                ("\(control)\\Services\\MSiSCSI", [("Start", "dword:2")]),
            ])
    }

    private func softwareHive(_ values: [(String, String)], initiator: String? = nil) throws -> [UInt8] {
        let base = "Microsoft\\Windows NT\\CurrentVersion"
        let discovery = initiator.map { [("\(base)\\iSCSI\\Discovery", [("DefaultInitiatorName", "string:\($0)")])] }
        return try hive("SOFTWARE", [(base, values)] + (discovery ?? []))
    }

    private func look(_ software: [UInt8], _ system: [UInt8], state: FileSystemState = .clean) -> InstalledSystem? {
        InstalledSystemReader.look(
            at: MemoryTree(
                ["/bootmgr": "x"],
                bytes: [
                    "/Windows/System32/config/SOFTWARE": software,
                    "/Windows/System32/config/system": system,
                ], kind: .ntfs, state: state), device: "/dev/sda2")
    }

    @Test func readsAServer() throws {
        let software = try softwareHive([
            ("ProductName", "string:Windows Server 2019 Standard"), ("CurrentBuild", "string:17763"),
            ("CurrentMajorVersionNumber", "dword:10"), ("CurrentMinorVersionNumber", "dword:0"),
            ("CurrentVersion", "string:6.3"),
        ])
        let system = try #require(look(software, try systemHive(), state: .hibernated))
        #expect(system.family == "windows" && system.id == "windows" && system.state == "hibernated")
        #expect(system.prettyName == "Windows Server 2019 Standard" && system.versionId == "10.0.17763")
        #expect(system.hostname == "SRV1" && system.bootloaders == ["bootmgr"])
        #expect(system.iscsiInitiators == ["iqn.1991-05.com.microsoft:srv1.example.net"])
        #expect(system.networkFiles.map(\.interface) == ["Ethernet 1", "{BBB}"])
        #expect(system.networkFiles.map(\.macAddress) == ["00:50:56:9a:00:01", nil])
        #expect(system.networkFiles.map(\.addresses) == [["192.0.2.5/24", "192.0.2.6/25"], ["dhcp"]])
        #expect(system.networkFiles.first?.gateways == ["192.0.2.1"])
        #expect(system.networkFiles.first?.nameServers == ["192.0.2.53", "192.0.2.54"])
    }

    @Test func readsOldAndNewNames() throws {
        let old = try softwareHive(
            [
                ("ProductName", "string:Windows Server 2008 R2"), ("CurrentBuildNumber", "string:7601"),
                ("CurrentVersion", "string:6.1"), ("CSDVersion", "string:Service Pack 1"),
            ], initiator: "iqn.2001-04.com.example:db1")
        var system = try #require(look(old, try systemHive()))
        #expect(system.prettyName == "Windows Server 2008 R2 Service Pack 1" && system.versionId == "6.1.7601")
        #expect(system.iscsiInitiators == ["iqn.2001-04.com.example:db1"])
        let new = try softwareHive([("ProductName", "string:Windows 10 Pro"), ("CurrentBuild", "string:22631")])
        system = try #require(look(new, []))
        #expect(system.prettyName == "Windows 11 Pro" && system.versionId == "22631" && system.hostname == nil)
        #expect(look([], [])?.prettyName == nil)
        #expect(
            InstalledSystemReader.look(at: MemoryTree(["/a": "b"], kind: .ntfs), device: "/dev/sda2") == nil)
    }

    /// hivexget reads the same hives, some of them written in lists of lists.
    @Test func readsWhatHivexReads() throws {
        let bytes = try systemHive()
        let path = folder.file("SYSTEM")
        let hive = try #require(RegistryHive(MemoryTree([:], bytes: ["/h": bytes]), "h"))
        let services = try #require(hive.key("\(control)\\Services"))
        #expect(hive.subkeys(of: services).count == 702)
        for (key, name) in [
            ("Select", "Current"), ("\(control)\\Services\\service699", "Start"),
            ("\(control)\\Services\\Tcpip\\Parameters", "Domain"),
        ] {
            let expected = ConfigurationText.trim(try Tool.output("hivexget", [path, "\\" + key, name]))
            switch hive.value(name, of: hive.key(key.uppercased())) {
            case .text(let text): #expect(text == expected)
            case .number(let number): #expect(String(number) == expected)
            case let other: Issue.record("\(key): \(String(describing: other)), not \(expected)")
            }
        }
        #expect(hive.key("\(control)\\Services\\none") == nil)
        #expect(hive.value("none", of: services) == nil)
    }

    @Test func damageIsNoTrouble() throws {
        let software = try softwareHive([("ProductName", "string:Windows"), ("CurrentBuild", "string:1")])
        let system = try systemHive()
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<60 {
            var (one, two) = (software, system)
            for _ in 0..<4 {
                // Where something is: the last bins are mostly free.
                one[Int.random(in: 0..<one.count / 2, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
                two[Int.random(in: 0..<20_000, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
            }
            #expect(look(one, two) != nil)
        }
    }

    @Test func hivesMayEndAnywhere() throws {
        let software = try softwareHive([("ProductName", "string:Windows"), ("CurrentBuild", "string:1")])
        let system = try systemHive(services: 1)
        let whole = try #require(look(software, system))
        #expect(whole.prettyName == "Windows" && whole.hostname != nil)
        for length in 0..<max(software.count, system.count) {
            let found = try #require(look(Array(software.prefix(length)), Array(system.prefix(length))), "\(length)")
            #expect(found.prettyName == nil || found.prettyName == whole.prettyName, "\(length)")
            #expect(found.hostname == nil || found.hostname == whole.hostname, "\(length)")
        }
    }
}
