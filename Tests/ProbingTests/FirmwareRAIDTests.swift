// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

@testable internal import Probing

/// What an inventory says of firmware RAID, and which findings follow.
struct FirmwareRAIDTests {
    private func machine(_ states: [String], consistent: Bool = true, disks: Int? = 2) -> Machine {
        var set = FirmwareRAIDSet(type: "isw_raid_member", uuid: "family 1", members: ["/dev/sda", "/dev/sdb"])
        set.diskCount = disks
        set.raidVolumes = states.enumerated().map { index, state in
            var volume = FirmwareRAIDVolume(
                name: "v\(index)", level: "raid5", state: state, recordedState: "normal", isConsistent: consistent)
            volume.members = [
                FirmwareRAIDMember(label: "A", device: "/dev/sda", isInSync: true, dataOffset: 0),
                FirmwareRAIDMember(label: "B", device: nil, isInSync: true, dataOffset: 0),
            ]
            volume.missing = state == "complete" || state == "unknown" ? [] : [1]
            return volume
        }
        var machine = Machine()
        machine.firmwareSets = [set]
        return machine
    }

    private func findings(_ machine: Machine) -> [Finding] {
        MachineFindings.of(machine).filter { $0.code.hasPrefix("firmware") }
    }

    private func codes(_ machine: Machine) -> [String] {
        findings(machine).map { "\($0.code) \($0.subject)" }
    }

    @Test func drawsFindingsFromVolumes() {
        let all = "firmware-raid /dev/sda, /dev/sdb"
        #expect(codes(machine(["complete"])) == [all])
        #expect(codes(machine(["degraded"])) == ["firmware-raid-degraded v0", all])
        #expect(codes(machine(["complete", "incomplete"])) == ["firmware-raid-incomplete v1", all])
        #expect(codes(machine(["complete"], consistent: false)) == [all, "firmware-raid-inconsistent v0"])
        // A disk that failed and was taken out is counted still, but missed by nobody.
        #expect(codes(machine(["degraded"], disks: 3)) == ["firmware-raid-degraded v0", all])
        #expect(codes(machine(["unknown"], disks: 3)) == ["firmware-raid-incomplete /dev/sda, /dev/sdb", all])
        var made = machine(["complete"])
        made.firmwareSets[0].problems = ["/dev/sdb was left behind"]
        #expect(codes(made) == ["firmware-raid-metadata /dev/sda, /dev/sdb", all])
        let finding = findings(machine(["degraded"])).first
        #expect(finding?.what == "raid5 of 2: members 1 (B) are missing, or not right")
    }

    /// What an older agent wrote is read still.
    @Test func readsRecordsWithoutTheNewKeys() throws {
        let text = #"{ "type": "ddf_raid_member", "volumes": [ "a" ], "members": [ "/dev/sda" ] }"#
        let set: FirmwareRAIDSet = try JSONText.decode(Array(text.utf8), file: "text")
        #expect(set.raidVolumes == nil && set.problems == nil && set.volumes == ["a"])
    }

    @Test(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
    func showsVolumesOfImages() throws {
        func inventory(_ name: String, without: Int = 0) throws -> Machine {
            let set = try StorageSet.named("firmware", name)
            return try MachineInspection(sysroot: Sysroot(entries: [:])).images(
                set.disks.dropLast(without).map(set.path))
        }
        let found = try #require(try inventory("ddf-parities").firmwareSets.first)
        let volumes = try #require(found.raidVolumes)
        #expect(volumes.map(\.level) == ["raid5", "raid5", "raid6"])
        #expect(volumes.map(\.chunkSize) == [32 << 10, 64 << 10, 64 << 10])
        #expect(volumes.allSatisfy { $0.state == "complete" && $0.members.count == 4 && $0.content?.type == "ext4" })
        #expect(found.disks?.count == 4 && found.disks?.allSatisfy { $0.device != nil } == true)
        let less = try inventory("ddf-parities", without: 1)
        #expect(less.firmwareSets.first?.raidVolumes?.map(\.state) == ["degraded", "degraded", "degraded"])
        #expect(less.findings.filter { $0.code == "firmware-raid-degraded" }.count == 3)
        // Images have no serial numbers, by which Intel's firmware knows its disks.
        let unknown = try inventory("imsm-raid5", without: 1)
        #expect(unknown.firmwareSets.first?.raidVolumes?.map(\.state) == ["unknown"])
        #expect(unknown.findings.contains { $0.code == "firmware-raid-incomplete" })
    }
}
