// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

extension LiveLab.Complete {
    /// Sources that are not behind the machine's own controllers, and a live system that comes by the network.
    struct SourceTests {
        private static let target = "iqn.2026-11.lab:storage"
        private static let initiator = "iqn.1993-08.org.debian:web01"

        /// The cold disk says where its LUN is, and under which name it is let in: no other is.
        @Test func aLUNIsClonedUnderTheColdDisksName() throws {
            let run = try LabRun()
            let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
            let lun = try SourceDisks.samples(1, mebibytes: 64)
            let server = try ISCSIServer(in: run.network)
            try server.addTarget(1, Self.target, admitting: Self.initiator)
            try server.addUnit(1, 1, lun.disks[0].path)
            let sources = try SourceDisks([try coldDisk(knowing: server, in: scratch)])
            let machine = LiveMachine(
                name: "iSCSI LUN known to the cold disk",
                boot: .kernel(
                    try LiveSystem(), arguments: LabRun.arguments("iscsi=known", "free_space=keep"), root: .cd),
                disks: sources.disks, devices: LabHardware.megasas(1))
            try run.clone(machine, sources)
            #expect(try lun.areUntouched())

            let clone = try run.verifiedClone()
            try clone.expectContent(of: [("LABD0", sources.disks[0].path)])
            let records = clone.manifest.disks.filter { $0.source.hasPrefix("iscsi://") }
            let record = try #require(records.first, "\(clone.manifest.disks.map(\.source))")
            #expect(records.count == 1)
            try run.network.output(
                "qemu-img",
                ["compare", "-f", "raw", "-F", "qcow2", lun.disks[0].path, "\(clone.folder)/\(record.image.file)"])
        }

        /// A root file system with open-iscsi's files: iscsid(8), iscsiadm(8).
        private func coldDisk(knowing server: ISCSIServer, in scratch: TemporaryFolder) throws -> String {
            let record = "var/lib/iscsi/nodes/\(Self.target)/\(LabNetwork.address),\(server.port),1"
            let disk = scratch.file("cold")
            let make = """
                cd \(scratch.path)
                mkdir -p root/etc/iscsi root/\(record)
                printf 'ID=debian\\nVERSION_ID="12"\\n' >root/etc/os-release
                echo '/dev/sda / ext4 defaults 0 1' >root/etc/fstab
                echo 'InitiatorName=\(Self.initiator)' >root/etc/iscsi/initiatorname.iscsi
                printf 'node.name = %s\\nnode.conn[0].address = %s\\nnode.conn[0].port = %s\\n' \
                    \(Self.target) \(LabNetwork.address) \(server.port) >root/\(record)/default
                truncate -s 48M \(disk)
                mkfs.ext4 -q -d root \(disk)
                """
            try Tool.output("bash", ["-euc", make])
            return disk
        }

        /// Kernel and initramfs come as by PXE, the root by HTTP: there is no medium at all.
        @Test func theLiveSystemFetchesItsRoot() throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            try run.network.start(
                "python3",
                ["-m", "http.server", "--bind", LabNetwork.address, "--directory", LiveSystem.folder, "8080"])
            let url = "http://\(LabNetwork.address):8080/\(LiveSystem.rootFile)"
            let machine = LiveMachine(
                name: "root by HTTP",
                boot: .kernel(try LiveSystem(), arguments: LabRun.arguments("free_space=keep"), root: .http(url)),
                disks: sources.disks, devices: LabHardware.megasas(1))
            try run.clone(machine, sources)
            try run.verifiedClone().expectContent(of: [("LABD0", sources.disks[0].path)])
        }

        /// After the medium is gone, everything of the live system can still be read, and it clones.
        @Test func theMediumCanBeTakenOut() throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            let machine = LiveMachine(
                name: "toram, medium removed",
                boot: .kernel(try LiveSystem(), arguments: ["coldclone.toram"], root: .cd), disks: sources.disks,
                devices: LabHardware.megasas(1), memoryInMiB: 2048)
            let running = try machine.start(in: run.network)
            let shell = try running.shell(within: 1200)
            try running.monitor.execute("eject", "\"id\": \"medium-device\", \"force\": true")
            try shell.output("find / -xdev -type f -exec cat {} + | sha256sum", within: 900)
            let medium = try shell.output("dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>&1 || true")
            #expect(medium.contains("No medium found"), "\(medium)")
            let options = LabRun.arguments("free_space=keep").map { $0.replacing("coldclone.", with: "--set ") }
            try running.console.type("coldclone auto \(options.joined(separator: " "))\r")
            #expect(try running.unattendedExit(within: 900) == 0)
            running.report("exit 0, with \(machine.memoryInMiB) MiB")
            try running.expectEnd()
            #expect(try sources.areUntouched())
            try run.verifiedClone().expectContent(of: [("LABD0", sources.disks[0].path)])
        }
    }
}
