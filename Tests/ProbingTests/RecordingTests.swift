// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

@testable internal import Probing

/// What is recorded of a machine replays as the same machine, and can be sent to strangers.
@Suite struct RecordingTests {
    /// This machine, recorded and replayed.
    @Test func replaysWhatItRecorded() throws {
        let folder = try TemporaryFolder()
        let root = Sysroot(recording: true)
        let live = MachineProbe(root).hardware()
        let archive = MachineRecording.archive(of: root, includingIdentities: true)
        let path = try SampleContent.write(archive, to: folder.file("machine.tar"))
        #expect(try MachineProbe(MachineRecording.open(path)).hardware() == live)
        // GNU tar unpacks it to a folder that is the same machine again.
        let unpacked = try folder.folder("unpacked")
        try Tool.output("tar", ["-xf", path, "-C", unpacked])
        #expect(try MachineProbe(MachineRecording.open(unpacked)).hardware() == live)
        #expect(archive.count < 1 << 20)
    }

    @Test func hidesWhoItIs() throws {
        var made = MadeUpMachine()
        made.add("0000:03:00.0", "010000", "1000:0054", driver: "mptsas")
        made.host(0, at: "pci0000:00/0000:03:00.0", driver: "mptsas")
        for (index, name) in ["sda", "sdb"].enumerated() {
            made.disk(
                name, at: "pci0000:00/0000:03:00.0/host0/target0:0:\(index)/0:0:\(index):0",
                device: ["wwid": "naa.5000c500a1b2c3d4", "serial": "SECRET99", "model": "ST9"])
        }
        made.file("/sys/class/dmi/id/product_serial", "CZ1234567X")
        made.file("/sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8052-b4c04f4e3132")
        made.file("/sys/class/dmi/id/product_name", "PowerEdge")
        let folder = try TemporaryFolder()
        let source = try SampleContent.write(TarArchive.encode(made.entries), to: folder.file("a.tar"))
        let unpacked = try folder.folder("root")
        try Tool.output("tar", ["-xf", source, "-C", unpacked])
        let root = Sysroot(unpacked, recording: true)
        let before = MachineProbe(root).hardware()
        let archive = MachineRecording.archive(of: root, includingIdentities: false)
        let text = String(decoding: archive, as: UTF8.self)
        for secret in ["SECRET99", "CZ1234567X", "4c4c4544-0042", "a1b2c3d4"] { #expect(!text.contains(secret)) }
        let path = try SampleContent.write(archive, to: folder.file("b.tar"))
        let after = try MachineProbe(MachineRecording.open(path)).hardware()
        // Still one disk with two paths, of the same model.
        #expect(after.disks.count == 1 && after.disks.first?.paths.count == 2)
        #expect(after.disks.first?.model == before.disks.first?.model)
        #expect(after.disks.first?.wwid != before.disks.first?.wwid)
        #expect(after.systemVendor.productName == "PowerEdge")
        #expect(after.systemVendor.uuid?.count == 36)
    }

    @Test func keepsToItsRoot() throws {
        let root = Sysroot(entries: [
            "/a/up": .link("../../../../etc/passwd"), "/etc/passwd": .file(Array("inner".utf8)),
            "/loop": .link("/loop"), "/chain": .link("a/up"), "/a/out": .link("/etc/passwd"),
        ])
        #expect(root.text("/a/up") == "inner" && root.text("/chain") == "inner" && root.text("/a/out") == "inner")
        #expect(root.text("/loop") == nil && root.text("/none") == nil)
        let folder = try TemporaryFolder()
        try Tool.output("ln", ["-s", "/etc/hostname", folder.file("link")])
        #expect(Sysroot(folder.path).text("/link") == nil)
        try Tool.output("ln", ["-s", "../../../../../../etc/hostname", folder.file("up")])
        #expect(Sysroot(folder.path).text("/up") == nil)
    }

    @Test func longNamesComeBack() throws {
        let long = "/" + (0..<30).map { "a-long-part-of-a-path-\($0)" }.joined(separator: "/")
        let entries: [String: Sysroot.Entry] = [
            long: .file([1, 2, 3]), "/short": .link(long), "/dir": .folder, "/dir/empty": .file([]),
            "/dir/block": .file([UInt8](repeating: 7, count: 512)),
        ]
        let archive = TarArchive.encode(entries)
        #expect(try TarArchive.decode(archive, file: "t") == entries)
        let folder = try TemporaryFolder()
        let path = try SampleContent.write(archive, to: folder.file("t.tar"))
        let listed = try Tool.output("tar", ["-tf", path]).split(separator: "\n").map { String($0.drop { $0 == "/" }) }
        #expect(Set(listed) == [String(long.dropFirst()), "short", "dir/", "dir/empty", "dir/block"])
        // And what GNU tar writes, with its own long names.
        let unpacked = try folder.folder("u")
        try Tool.output("tar", ["-xf", path, "-C", unpacked])
        for format in ["gnu", "posix", "ustar"] {
            let other = folder.file("\(format).tar")
            try Tool.output("tar", ["--format=\(format)", "-cf", other, "-C", unpacked, "dir"])
            #expect(try MachineRecording.open(other).bytes("/dir/block", limit: 1024)?.count == 512)
        }
    }

    @Test func namesBeyondAllBoundsAreRefused() {
        let long = "/" + String(repeating: "n/", count: 2100)
        for entries: [String: Sysroot.Entry] in [[long: .file([])], ["/link": .link(long)]] {
            #expect(throws: ProbeError.self) { _ = try TarArchive.decode(TarArchive.encode(entries), file: "t") }
        }
    }

    /// Whatever is wrong with a recording: an error, or less of a machine.
    @Test func survivesDamage() throws {
        var made = MadeUpMachine()
        made.add("0000:03:00.0", "010400", "103c:3239", driver: "hpsa")
        made.disk("sda", at: "pci0000:00/0000:03:00.0/host0/target0:1:0/0:1:0:0", device: ["model": "X"])
        let archive = TarArchive.encode(made.entries)
        for length in stride(from: 0, to: archive.count, by: 97) {
            _ = try? TarArchive.decode(Array(archive[..<length]), file: "t")
        }
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<400 {
            var damaged = archive
            for _ in 0..<3 {
                damaged[Int.random(in: damaged.indices, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            guard let entries = try? TarArchive.decode(damaged, file: "t") else { continue }
            _ = MachineInspection(sysroot: Sysroot(entries: entries)).machine()
        }
    }

    @Test func survivesAttributesOfNoSense() throws {
        var made = MadeUpMachine()
        made.add("0000:03:00.0", "010400", "103c:3239", driver: "hpsa")
        made.host(0, at: "pci0000:00/0000:03:00.0", driver: "hpsa")
        made.disk(
            "sda", at: "pci0000:00/0000:03:00.0/host0/target0:1:0/0:1:0:0", device: ["wwid": "naa.5000c500a1b2c3d4"])
        made.file("/sys/class/dmi/id/product_serial", "x")
        made.file("/proc/meminfo", "MemTotal: 99999999999999999999 kB")
        made.file("/proc/cpuinfo", "processor : 0\nphysical id : 0\ncore id : 0")
        let words = [
            "", "-1", "99999999999999999999", "0x", "naa.", "\u{0}\u{ff}", String(repeating: "9", count: 5000), "nan",
            "1e400 GT/s",
        ]
        for path in made.entries.keys.sorted() {
            for word in words {
                var changed = made
                if case .file? = changed.entries[path] {
                    changed.file(path, word)
                } else {
                    changed.link(path, to: word)
                }
                _ = changed.machine
            }
        }
    }

    @Test func readsMemoryAndControllersOfSMBIOS() {
        // Two modules of 16 GiB and 32 GiB, an empty slot, a KCS interface of IPMI 2.0.
        func memory(_ size: UInt16, _ extended: UInt32 = 0) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: 40)
            bytes[0] = 17
            bytes[1] = 40
            bytes.replaceSubrange(12..<14, with: withUnsafeBytes(of: size.littleEndian, Array.init))
            bytes.replaceSubrange(28..<32, with: withUnsafeBytes(of: extended.littleEndian, Array.init))
            return bytes + Array("SERIAL-123".utf8) + [0, 0]
        }
        let ipmi: [UInt8] = [38, 18, 0, 0, 1, 0x20] + [UInt8](repeating: 0, count: 12) + [0, 0]
        let table = memory(16384) + memory(0x7fff, 32768) + memory(0) + ipmi + [127, 4, 0, 0, 0, 0]
        let read = SMBIOSTable(table)
        #expect(read.memoryInMiB == 49152)
        #expect(read.managementControllers.map(\.interface) == ["kcs"])
        #expect(read.managementControllers.map(\.version) == ["2.0"])
        let reduced = SMBIOSTable.reduced(table)
        #expect(SMBIOSTable(reduced).memoryInMiB == 49152)
        #expect(!String(decoding: reduced, as: UTF8.self).contains("SERIAL"))
        for length in table.indices { _ = SMBIOSTable(Array(table[..<length])) }
        for offset in table.indices {
            for value in [0, 1, 127, 255] as [UInt8] {
                var damaged = table
                damaged[offset] = value
                _ = SMBIOSTable(damaged)
            }
        }
    }

    @Test func readsVitalProductData() {
        let naa: [UInt8] = [1, 3, 0, 16] + [0x60, 0x05, 0x08, 0xb1] + [UInt8](repeating: 0x11, count: 12)
        let eui: [UInt8] = [1, 2, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
        let port: [UInt8] = [1, 0x13, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 1]
        let list = port + eui + naa
        let page83: [UInt8] = [0, 0x83, 0, UInt8(list.count)] + list
        let page80: [UInt8] = [0, 0x80, 0, 8] + Array("  AB12  ".utf8)
        let data = VitalProductData(page80: page80, page83: page83)
        #expect(data.serial == "AB12")
        #expect(data.identity == "naa.600508b1" + String(repeating: "11", count: 12))
        #expect(WorldWideName.of(data.identity) == "0x600508b111111111")
        for length in page83.indices {
            _ = VitalProductData(page80: Array(page80.prefix(length)), page83: Array(page83[..<length]))
        }
        for offset in page83.indices {
            for value in [0, 1, 127, 255] as [UInt8] {
                var damaged = page83
                damaged[offset] = value
                _ = VitalProductData(page80: nil, page83: damaged)
            }
        }
    }
}
