// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

extension LiveLab {
    /// Systems whose clones boot.
    struct CloneTests {
        /// The whole way as most go it: a job on a stick, virtual media, a RAID controller, LVM, NFS.
        ///
        /// With the slow tier the clone is verified; its own boot takes the lab's patience.
        @Test func aSystemOnLVMIsClonedFromCDAndBoots() throws {
            let sources = try SourceDisks(try SourceSystem.lvm.images())
            let run = try LabRun()
            let machine = LiveMachine(
                name: "LVM on megasas, BIOS CD to NFS", boot: .medium(.cd, .bios), disks: sources.disks,
                devices: LabHardware.megasas(2), networkCard: "e1000e", job: LabRun.job(["format: qcow2"]))
            try run.clone(machine, sources)
            let clone = try run.verifiedClone()
            #expect(clone.manifest.disks.count == 2)
            #expect(clone.manifest.disks.allSatisfy { $0.image.format == "qcow2" })
            // What no file holds was left out, and the rest of two half empty disks was not.
            #expect(clone.manifest.disks.map(\.bytes.skipped).reduce(0, +) > 200 << 20)
            let images = try ["LABD0", "LABD1"].map { try clone.image(ofSerial: $0) }
            for image in images { try run.network.output("qemu-img", ["check", "-q", image]) }
            if LiveLab.isComplete { try SourceSystem.lvm.boot(images, named: "clone of LVM", in: run.network) }
        }
    }
}

extension LiveLab.Complete {
    struct CloneTests {
        @Test func aUEFISystemIsClonedFromUSBAndBoots() throws {
            let sources = try SourceDisks(try SourceSystem.uefi.images())
            let run = try LabRun()
            let machine = LiveMachine(
                name: "UEFI on NVMe, Secure Boot USB to NFS", boot: .medium(.usb, .secureBoot), disks: sources.disks,
                devices: ["nvme,serial=LABD0,drive=d0"], networkCard: "e1000e", job: LabRun.job(["compression: zstd"]))
            try run.clone(machine, sources)
            let clone = try run.verifiedClone()
            let image = try clone.image(ofSerial: "LABD0")
            try SourceSystem.uefi.boot([image], named: "clone of UEFI", in: run.network)
        }

        /// Members are cloned as they are, in their order; over NFS version 3.
        @Test func membersOfArraysAreCloned() throws {
            let sets = [try StorageSet.named("md", "raid1-1.2"), try StorageSet.named("md", "raid5-1.2")]
            let sources = try SourceDisks(sets.flatMap { set in set.disks.map { set.path($0) } })
            let run = try LabRun()
            let machine = LiveMachine(
                name: "raid1 and raid5 on mptsas",
                boot: .kernel(
                    try LiveSystem(),
                    arguments: LabRun.arguments(target: LabRun.target + "?vers=3", "free_space=keep", "format=raw"),
                    root: .cd),
                disks: sources.disks, devices: LabHardware.mptsas(sources.disks.count))
            try run.clone(machine, sources)
            let clone = try run.verifiedClone()
            let arrays = try #require(clone.manifest.machine.inventory?.arrays)
            #expect(arrays.compactMap(\.level).sorted() == ["raid1", "raid5"])
            #expect(arrays.allSatisfy { $0.missing.isEmpty && $0.members.count == $0.raidDevices })
            try clone.expectContent(of: sources.disks.enumerated().map { ("LABD\($0)", $1.path) })
        }
    }
}
