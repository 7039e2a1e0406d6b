// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

@testable internal import Probing

/// What lies on disks, as the inventory has it.
@Suite(.enabled(if: Tool.isInstalled("sfdisk", "mkfs.ext4", "debugfs"), "sfdisk or e2fsprogs is not installed"))
struct InspectionTests {
    private func inspect(_ path: String) throws -> Machine {
        try MachineInspection(sysroot: Sysroot(entries: [:])).images([path])
    }

    @Test func namesVolumeManagersByPartitionType() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk.img")
        let script = """
            truncate -s 64M "$1"
            printf 'label: gpt\\nsize=4MiB,type=5808C8AA-7E8F-42E0-85D2-E1E90434CFB3\\nsize=4MiB,type=AF9B60A0-1431-4F62-BC68-3311714A69AD\\nsize=4MiB,type=E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D\\nsize=4MiB\\n' | sfdisk -q "$1"
            """
        try Tool.output("sh", ["-e", "-c", script, "sh", path])
        let machine = try inspect(path)
        let partitions = try #require(machine.disks.first?.content?.table?.partitions)
        #expect(
            partitions.map { $0.content?.type } == [
                "Windows dynamic disk (LDM)", "Windows dynamic disk (LDM)", "Storage Spaces", nil,
            ])
        #expect(Set(machine.findings.map(\.code)) == ["foreign-volume-manager"])
    }

    @Test func tellsOfAFileSystemThatWasNotUnmounted() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("disk.img")
        try Tool.output("truncate", ["-s", "32M", path])
        try Tool.output("mkfs.ext4", ["-q", "-F", "-L", "data", path])
        var machine = try inspect(path)
        #expect(machine.disks.first?.content?.type == "ext4" && machine.disks.first?.content?.label == "data")
        #expect(machine.disks.first?.content?.state == "clean" && machine.findings == [])
        try Tool.output("debugfs", ["-w", "-R", "feature needs_recovery", path])
        machine = try inspect(path)
        #expect(machine.disks.first?.content?.state == "needs recovery")
        #expect(machine.findings.map(\.code) == ["dirty-file-system"])
    }

    /// An fstab, a host name, an NFS mount: found cold, through a partition.
    @Test(.enabled(if: Tool.isInstalled("mkfs.ext4")))
    func findsAnInstalledSystem() throws {
        let folder = try TemporaryFolder()
        let script = """
            mkdir -p root/etc root/boot/grub
            printf 'ID=debian\\nVERSION_ID="12"\\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\\n' >root/etc/os-release
            echo web01 >root/etc/hostname
            printf 'LABEL=system / ext4 defaults 0 1\\nnas:/export/home /home nfs defaults 0 0\\nUUID=0000-1111 /boot/efi vfat x 0 0\\n' >root/etc/fstab
            truncate -s 62M part
            mkfs.ext4 -q -F -L system -d root part
            truncate -s 64M disk.img
            printf 'label: dos\\nstart=2048\\n' | sfdisk -q disk.img
            dd if=part of=disk.img bs=1M seek=1 conv=notrunc status=none
            """
        try Tool.output("sh", ["-e", "-c", "cd \"$1\" && \(script)", "sh", folder.path])
        let path = folder.file("disk.img")
        let machine = try inspect(path)
        let system = try #require(machine.systems.first)
        #expect(system.device == "\(path)1" && system.hostname == "web01")
        #expect(system.prettyName == "Debian GNU/Linux 12 (bookworm)")
        #expect(system.mounts.map(\.resolution) == ["local", "network", "unresolved"])
        #expect(Set(machine.findings.map(\.code)) == ["network-mount", "unresolved-mount"])
    }

    @Test func readsWhatDrivesSay() {
        let health = DriveHealthReader.decode(
            Array(
                """
                {"smart_status": {"passed": false}, "power_on_time": {"hours": 41022}, "temperature": {"current": 31},
                 "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 8}}, {"id": 197, "raw": {"value": 24}},
                 {"id": 9, "raw": {"value": 41022}}]}}
                """.utf8))
        #expect(health?.passed == false && health?.pendingSectors == 24 && health?.reallocatedSectors == 8)
        #expect(health?.powerOnHours == 41022 && health?.temperature == 31)
        #expect(DriveHealthReader.decode(Array("{}".utf8)) == nil)
        #expect(DriveHealthReader.decode(Array("[1".utf8)) == nil)
        #expect(DriveHealthReader.decode(Array(#"{"smart_status": 7}"#.utf8)) == nil)
    }
}
