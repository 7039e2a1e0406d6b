// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport

/// A machine that boots the live system from its medium, as a server would, or a clone of its own.
struct LiveMachine: Sendable {
    /// What the firmware finds to boot from.
    enum Boot: Sendable {
        /// A medium with the ISO, for a firmware.
        case medium(Medium, Firmware)
        /// The live system's kernel and initramfs, fetched as by PXE; what is given is added to its command line.
        ///
        /// `root` is what the live system then finds its root file system by.
        case kernel(LiveSystem, arguments: [String], root: Root)
        /// A disk of the machine's own, the first one.
        case disk(Firmware)
    }
    enum Medium: Sendable { case cd, usb }
    enum Firmware: Sendable { case bios, uefi, secureBoot }
    enum Root: Sendable {
        /// The ISO, in a CD drive.
        case cd
        /// A URL in the network.
        case http(String)
    }

    /// Its DMI product name, which tells of it in messages as well.
    var name: String
    var boot: Boot
    /// The ISO, where it boots from one.
    var iso = LiveSystem.isoPath
    var disks: [SourceDisk] = []
    /// Controllers and other devices, each an argument of `-device`; `drive=` takes a disk's name.
    var devices: [String] = []
    /// The ports that its network interfaces are plugged into, in order; see `macAddress`.
    var ports: [LabNetwork.Port] = [.plain]
    /// The network card's model.
    var networkCard = "virtio-net-pci"
    var memoryInMiB = 1024
    var serialNumber = "LAB0001"
    /// A job for the live system, on a stick with a partition labelled COLDCLONE.
    var job: String?

    static let uuid = "1ab00000-0000-4000-8000-000000000002"

    /// Whether machines can be booted here; for `.enabled(if:)`.
    static let isAvailable: Bool =
        NFSServer.isAvailable && Tool.isInstalled("qemu-system-x86_64", "mkfs.vfat", "mcopy", "sha256sum")

    /// The address of the network interface in port number `number`.
    static func macAddress(_ number: Int = 0) -> String { "52:54:00:1a:b1:0\(number)" }

    /// Switches the machine on, in `network`.
    func start(in network: LabNetwork) throws -> RunningMachine {
        let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        // QEMU takes a comma for the end of a value.
        let product = "lab \(name)".replacing(",", with: ",,")
        var arguments = [
            "-machine", "q35,hpet=off,smm=\(isSecure ? "on" : "off")", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", "2", "-m", "\(memoryInMiB)", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "std",
            "-no-reboot", "-smbios",
            "type=1,manufacturer=coldclone,product=\(product),serial=\(serialNumber),uuid=\(Self.uuid)",
            "-chardev",
            "socket,id=console,path=\(scratch.file("console")),server=on,wait=on,logfile=\(scratch.file("log"))",
            "-serial",
            "chardev:console", "-qmp", "unix:\(scratch.file("monitor")),server=on,wait=off",
            "-device", "qemu-xhci,id=usb",
        ]
        arguments += try bootArguments(in: scratch)
        for disk in disks { arguments += ["-blockdev", disk.blockDevice] }
        for device in devices { arguments += ["-device", device] }
        for (number, port) in ports.enumerated() {
            let card = "\(networkCard),netdev=net\(number),mac=\(Self.macAddress(number)),romfile="
            arguments += ["-netdev", "\(port.rawValue),id=net\(number)", "-device", card]
        }
        if let job { arguments += try stick(with: job, in: scratch) }
        return try RunningMachine(name, try network.start("qemu-system-x86_64", arguments), network, scratch)
    }

    private var isSecure: Bool {
        switch boot {
        case .medium(_, .secureBoot), .disk(.secureBoot): true
        default: false
        }
    }

    private func bootArguments(in scratch: TemporaryFolder) throws -> [String] {
        switch boot {
        case .disk(let firmware): return try arguments(for: firmware, in: scratch)
        case .medium(.cd, let firmware):
            return try arguments(for: firmware, in: scratch) + cd(bootIndex: ",bootindex=0")
        case .medium(.usb, let firmware):
            // As it is after dd: written to only where the live system would, and never in the file.
            return try arguments(for: firmware, in: scratch) + [
                "-drive", "if=none,id=medium,format=raw,snapshot=on,file=\(iso)",
                "-device",
                "usb-storage,id=medium-device,bus=usb.0,drive=medium,removable=on,serial=LABSTICK,bootindex=0",
            ]
        case .kernel(let system, let arguments, let root):
            // Archives in one file are what a boot loader makes of several.
            let initramfs = scratch.file("initramfs")
            var (words, archives, devices) = (system.commandLine + arguments, system.initramfs, [String]())
            switch root {
            case .cd: devices = cd(bootIndex: "")
            case .http(let url): (words, archives) = (words + ["coldclone.root=\(url)"], system.networkInitramfs)
            }
            try Tool.output("sh", ["-c", "cat \(archives.joined(separator: " ")) >\(initramfs)"])
            return ["-kernel", system.kernel, "-initrd", initramfs, "-append", words.joined(separator: " ")] + devices
        }
    }

    private func cd(bootIndex: String) -> [String] {
        [
            "-drive", "if=none,id=medium,media=cdrom,format=raw,readonly=on,file=\(iso)",
            "-device", "ide-cd,id=medium-device,bus=ide.2,drive=medium\(bootIndex)",
        ]
    }

    /// OVMF keeps its variables, the keys of Secure Boot among them, in a flash memory of the machine's own.
    private func arguments(for firmware: Firmware, in scratch: TemporaryFolder) throws -> [String] {
        let (code, variables): (String, String)
        switch firmware {
        case .bios: return []
        case .uefi: (code, variables) = ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd")
        case .secureBoot: (code, variables) = ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd")
        }
        let own = scratch.file("variables")
        try Tool.output("cp", ["/usr/share/OVMF/\(variables)", own])
        return [
            "-global", "driver=cfi.pflash01,property=secure,value=\(firmware == .secureBoot ? "on" : "off")",
            "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/\(code)",
            "-drive", "if=pflash,unit=1,format=raw,file=\(own)",
        ]
    }

    /// A stick without a partition table, as `mkfs.vfat` on the whole of it makes one.
    private func stick(with job: String, in scratch: TemporaryFolder) throws -> [String] {
        let (file, image) = (scratch.file("job.yaml"), scratch.file("stick"))
        try write(job, to: file)
        try Tool.output("truncate", ["-s", "16M", image])
        try Tool.output("mkfs.vfat", ["-n", "COLDCLONE", image])
        try Tool.output("mcopy", ["-i", image, file, "::/job.yaml"])
        return [
            "-drive", "if=none,id=job,format=raw,file=\(image)",
            "-device", "usb-storage,bus=usb.0,drive=job,removable=on,serial=LABJOB",
        ]
    }
}

/// Writes a text to a file.
func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
        throw ToolError("cannot write \(path): errno \(errno)")
    }
}
