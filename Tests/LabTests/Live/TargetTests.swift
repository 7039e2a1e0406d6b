// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

extension LiveLab {
    /// Where clones go, and where they cannot.
    @Suite(.enabled(if: LiveLab.isComplete, "COLDCLONE_LAB_ALL is not set: see Tests/run --lab-all"))
    struct TargetTests {
        /// The only disk that becomes writable is the one that the job names.
        @Test(arguments: ["usb-ehci", "qemu-xhci"])
        func aUSBDiskIsATarget(controller: String) throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
            let disk = scratch.file("usb")
            try Tool.output("truncate", ["-s", "256M", disk])
            try Tool.output("mkfs.ext4", ["-q", "-L", "CLONES", disk])
            let machine = LiveMachine(
                name: "USB disk on \(controller)",
                boot: .kernel(
                    try LiveSystem(), arguments: LabRun.arguments(target: "usb:CLONES", "free_space=keep"), root: .cd),
                disks: sources.disks + [SourceDisk(name: "usb", path: disk)],
                devices: LabHardware.megasas(1) + [
                    "\(controller),id=host", "usb-storage,bus=host.0,drive=usb,serial=LABUSB",
                ],
                ports: [])
            try run.clone(machine, sources)

            // It was unmounted, and what it holds is whole.
            try Tool.output("e2fsck", ["-fn", disk])
            let mounted = try scratch.folder("mounted")
            try run.network.output("mount", ["-o", "loop,ro,noload", disk, mounted])
            let folders = try run.network.output("find", [mounted, "-name", Manifest.fileName, "-printf", "%h\\n"])
            let folder = try #require(folders.split(separator: "\n").first.map(String.init), "\(folders)")
            let copy = try scratch.folder("copy")
            try run.network.output("cp", ["-a", folder, copy])
            let name = folder.split(separator: "/").last ?? ""
            let clone = try Clone("\(copy)/\(name)", in: run.network)
            // The target is no source.
            #expect(clone.manifest.disks.count == 1)
            try clone.expectContent(of: [("LABD0", sources.disks[0].path)])
        }

        /// Said before the copy begins, with both numbers.
        @Test func aTargetThatIsTooSmallIsRefused() throws {
            let sources = try SourceDisks.samples(2, mebibytes: 96)
            let run = try LabRun(capacityInMiB: 24)
            let machine = LiveMachine(
                name: "target too small",
                boot: .kernel(try LiveSystem(), arguments: LabRun.arguments("free_space=keep"), root: .cd),
                disks: sources.disks, devices: LabHardware.megasas(2))
            let console = try run.clone(machine, sources, expecting: .failed)
            let reason = console.split(separator: "\n").last { $0.contains("coldclone auto: failed: ") } ?? ""
            #expect(reason.contains("MiB") || reason.contains("space") || reason.contains("room"), "\(reason)")
            #expect(try run.server.clones().isEmpty)
        }

        /// The address comes from the kernel command line, and reaches only who has the tag.
        @Test func aStaticAddressInAVirtualNetwork() throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            let network = [
                "ip=10.99.20.50:::255.255.255.0::vlan\(LabNetwork.vlan):none", "vlan=vlan\(LabNetwork.vlan):lan0",
                "ifname=lan0:\(LiveMachine.macAddress())",
            ]
            let target = "nfs://\(LabNetwork.vlanAddress)\(NFSServer.exportPath)"
            let machine = LiveMachine(
                name: "static address in a VLAN",
                boot: .kernel(
                    try LiveSystem(), arguments: network + LabRun.arguments(target: target, "free_space=keep"),
                    root: .cd),
                disks: sources.disks, devices: LabHardware.megasas(1), ports: [.trunk])
            try run.clone(machine, sources)
            try run.verifiedClone().expectContent(of: [("LABD0", sources.disks[0].path)])
        }
    }
}
