// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport

/// A small Debian 12 that boots to its login prompt, before it was cloned and after.
enum SourceSystem {
    /// BIOS, GRUB, /boot, and LVM over two disks.
    case lvm
    /// UEFI, and a root file system in a partition.
    case uefi

    /// What it says when it is up.
    static let prompt = "cold-source login:"

    /// Its disks, in order.
    func images() throws -> [String] {
        let folder = try Fixtures.sourceSystems()
        return switch self {
        case .lvm: ["\(folder)/bios/disk0", "\(folder)/bios/disk1"]
        case .uefi: ["\(folder)/uefi/disk0"]
        }
    }

    var firmware: LiveMachine.Firmware {
        switch self {
        case .lvm: .bios
        case .uefi: .uefi
        }
    }

    /// Boots what is in `images`, which stay as they are, to the login prompt.
    func boot(_ images: [String], named name: String, in network: LabNetwork) throws {
        let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        var machine = LiveMachine(name: name, boot: .disk(firmware), ports: [], memoryInMiB: 512)
        for (number, image) in images.enumerated() {
            let overlay = scratch.file("disk\(number)")
            let format = image.hasSuffix(".qcow2") ? "qcow2" : "raw"
            try network.output("qemu-img", ["create", "-q", "-f", "qcow2", "-b", image, "-F", format, overlay])
            machine.disks.append(SourceDisk(name: "d\(number)", path: overlay, format: "qcow2"))
            machine.devices.append("virtio-blk-pci,drive=d\(number),bootindex=\(number)")
        }
        let running = try machine.start(in: network)
        try running.console.expect(Self.prompt, within: 600)
        running.report("login prompt")
        try running.cutPower()
    }
}
