// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Probing
internal import TestSupport
internal import Testing

/// Machines recorded in QEMU, each with a controller of its own: what the probe makes of them stays as it was found
/// right, in Tests/Fixtures/sysroots/NAME.json.
@Suite struct GoldenMachineTests {
    static let names = [
        "4kn", "ahci", "lsi53c895a", "megasas", "megasas-gen2", "mptsas1068", "multipath", "nvme", "pvscsi", "usb2",
        "usb3", "virtio", "withheld",
    ]

    private func machine(_ name: String) throws -> Machine {
        let folder = try Fixtures.recording(of: name)
        return try MachineInspection(sysroot: MachineRecording.open(folder.file("machine.tar"))).machine()
    }

    @Test func everyRecordingIsHere() throws {
        let found = try Folder.names(in: "\(Fixtures.folder)/sysroots").filter { $0.hasSuffix(".tar.gz") }
        #expect(found.map { String($0.dropLast(7)) } == Self.names)
    }

    @Test(arguments: names)
    func isWhatItWas(name: String) throws {
        let file = "\(Fixtures.folder)/sysroots/\(name).json"
        let golden: Machine = try JSONText.decode(SmallFile.read(file, limit: 1 << 20), file: file)
        #expect(try machine(name) == golden)
    }

    @Test func namesWhatEachHas() throws {
        func first(_ name: String) throws -> (StorageController, Disk) {
            let machine = try machine(name)
            return (try #require(machine.controllers.first), try #require(machine.disks.first))
        }
        let megasas = try first("megasas")
        #expect(megasas.0.kind == "raid" && megasas.0.driver == "megaraid_sas" && megasas.1.kind == "raid volume")
        #expect(try first("megasas-gen2").1.kind == "disk")
        #expect(try first("mptsas1068").1.transport == "sas" && first("mptsas1068").1.link == "3.0 Gbit/s")
        #expect(try first("ahci").1.transport == "sata" && first("ahci").1.link == "1.5 Gbit/s")
        #expect(try first("nvme").1.transport == "nvme")
        #expect(try machine("nvme").disks.contains { $0.logicalSectors == 4096 })
        #expect(try machine("usb2").disks.contains { $0.link == "480.0 Mbit/s" || $0.link == "480 Mbit/s" })
        #expect(try machine("usb3").disks.contains { $0.link == "5.0 Gbit/s" && $0.isPossibleTarget })
        #expect(try machine("multipath").disks.contains { $0.paths.count == 2 })
        #expect(try machine("withheld").findings.first?.code == "controller-without-driver")
        #expect(try first("pvscsi").0.driver == "vmw_pvscsi" && first("lsi53c895a").0.driver == "sym53c8xx")
    }
}
