// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

@testable internal import Probing

/// What a recording hides, in text, in binary and in names of files.
@Suite struct PseudonymTests {
    private static let nvme = "nvme.144d-53335a384e42304b313233343536-53414d53554e47204d5a-00000001"
    private static let secrets = [
        "7XKQ4Z1", "4c4c4544", "b7c04f345a31", "12:34:56", "bc12345678", "S3Z8NB0K123456", "53335a384e42304b",
        "Z1E5ABCD", "com.example", "operator", "24ff4b3c8e", "8010123401", "192.0.2.77", "5041234500000001",
    ]

    /// A machine with something to hide in every place, and two paths to one unit.
    private static var secretive: MadeUpMachine {
        var made = MadeUpMachine()
        for (name, text) in [
            "product_name": "PowerEdge R720", "product_serial": "7XKQ4Z1",
            "product_uuid": "4C4C4544-0058-4B10-8051-B7C04F345A31",
        ] { made.file("/sys/class/dmi/id/\(name)", text) }
        made.add("0000:01:00.0", "020000", "8086:1521", driver: "igb")
        let net = "/sys/devices/pci0000:00/0000:01:00.0/net/enxf8bc12345678"
        made.link("/sys/class/net/enxf8bc12345678", to: "../../" + net.dropFirst(5))
        made.link("\(net)/device", to: "../../../0000:01:00.0")
        made.file("\(net)/address", "f8:bc:12:34:56:78")
        made.file("\(net)/uevent", "INTERFACE=enxf8bc12345678")
        made.add("0000:3d:00.0", "010802", "144d:a808", driver: "nvme")
        made.disk(
            "nvme0n1", at: "pci0000:00/0000:3d:00.0/nvme/nvme0", block: ["wwid": nvme],
            device: ["model": "SAMSUNG MZ", "serial": "S3Z8NB0K123456"])
        made.add("0000:00:1f.2", "010601", "8086:1d02", driver: "ahci")
        made.disk(
            "sdd", at: "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0",
            device: ["model": "ST2000", "wwid": "t10.ATA     ST2000                      Z1E5ABCD"])
        for (index, name) in ["sda", "sdb"].enumerated() {
            let address = "0000:05:00.\(index)"
            made.add(address, "0c0400", "1077:2532", driver: "qla2xxx")
            made.host(index + 3, at: "pci0000:00/\(address)", driver: "qla2xxx")
            let port = "/sys/class/fc_host/host\(index + 3)"
            made.file("\(port)/port_name", "0x21000024ff4b3c8\(index == 0 ? "e" : "f")")
            made.file("/sys/class/fc_remote_ports/rport-\(index):0-0/port_name", "0x50060e8010123401")
            let path =
                "pci0000:00/\(address)/host\(index + 3)/rport-\(index):0-0/target\(index + 3):0:0/\(index + 3):0:0:0"
            made.disk(name, at: path, device: ["model": "OPEN-V", "wwid": "naa.60060e80101234015041234500000001"])
            made.bytes(
                "/sys/devices/\(path)/vpd_pg83",
                [0, 0x83, 0, 20, 1, 3, 0, 16, 0x60, 0x06, 0x0e, 0x80, 0x10, 0x12, 0x34, 0x01]
                    + [0x50, 0x41, 0x23, 0x45, 0, 0, 0, 1])
        }
        for (name, text) in [
            "target0/target-name": "iqn.2001-04.com.example:root", "target0/ip-addr": "192.0.2.77",
            "target0/chap-name": "operator", "initiator/initiator-name": "iqn.1998-01.com.example:host7",
            "ethernet0/mac": "f8:bc:12:34:56:78",
        ] { made.file("/sys/firmware/ibft/\(name)", text) }
        return made
    }

    @Test func nothingTellsTheMachine() throws {
        let made = Self.secretive
        let machine = made.machine
        let hidden = Pseudonyms.hiding(in: made.entries)
        var text = ""
        for (path, entry) in hidden {
            text += path + "\n"
            switch entry {
            case .file(let bytes): text += String(decoding: bytes, as: UTF8.self)
            case .link(let target): text += target
            case .folder: break
            }
        }
        for secret in Self.secrets { #expect(!text.lowercased().contains(secret.lowercased()), "\(secret)") }
        let pages = hidden.filter { $0.key.hasSuffix("vpd_pg83") }.map(\.value)
        for case .file(let page) in pages { #expect(!page.suffix(12).starts(with: [0x10, 0x12, 0x34, 0x01])) }
        #expect(pages.count == 2 && Set(pages).count == 1)

        // What it is made of is all there, and belongs together as before.
        let replayed = MachineInspection(sysroot: Sysroot(entries: hidden)).machine()
        #expect(replayed.disks.map(\.name) == machine.disks.map(\.name))
        #expect(replayed.disks.map(\.paths) == machine.disks.map(\.paths))
        #expect(replayed.disks.map(\.model) == machine.disks.map(\.model))
        #expect(replayed.controllers.map(\.disks) == machine.controllers.map(\.disks))
        #expect(replayed.systemVendor.productName == "PowerEdge R720")
        #expect(replayed.systemVendor.serialNumber?.count == 7 && replayed.systemVendor.uuid?.count == 36)
        let address = try #require(replayed.interfaces.first?.macAddress)
        #expect(address.hasPrefix("f8:bc:12:") && address.count == 17)
        #expect(replayed.interfaces.first?.name == "enx" + address.filter { $0 != ":" })
        #expect(replayed.iscsi.boot.first?.localMac == address)
        #expect(replayed.disks.first { $0.kind == "lun" }?.wwid?.hasPrefix("naa.60060e8") == true)
        // The same machine gets the same pseudonyms.
        #expect(Pseudonyms.hiding(in: made.entries) == hidden)
    }

    /// A digest of a MAC address is found by trying all; a pseudonym must not depend on what it stands for.
    @Test func pseudonymsAreNotComputedFromWhatTheyHide() {
        func hidden(_ address: String, _ serial: String) -> [String: Sysroot.Entry] {
            Pseudonyms.hiding(in: [
                "/sys/class/net/eth0/address": .file(Array(address.utf8)),
                "/sys/class/dmi/id/product_serial": .file(Array(serial.utf8)),
            ])
        }
        #expect(hidden("f8:bc:12:34:56:78", "7XKQ4Z1") == hidden("f8:bc:12:9a:bc:de", "9ABCDE2"))
    }

    @Test func whatIdentifiesNothingStays() {
        let entries: [String: Sysroot.Entry] = [
            "/sys/class/dmi/id/product_serial": .file(Array("To Be Filled By O.E.M.\n".utf8)),
            "/sys/class/dmi/id/product_uuid": .file(Array("00000000-0000-0000-0000-000000000000\n".utf8)),
            "/sys/devices/a/serial": .file(Array("0123456789ABCDEF\n".utf8)), "/sys/devices/b/serial": .file([]),
            "/sys/devices/a/vpd_pg80": .file([0, 0x80]),
            "/sys/devices/a/vpd_pg83": .file([0, 0x83, 0, 9, 1, 3, 0, 255]),
        ]
        #expect(Pseudonyms.hiding(in: entries) == entries)
    }
}
