// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// A firmware and a medium, and whether the firmware demands signatures.
struct BootMode: Sendable, CustomTestStringConvertible {
    var name: String
    var medium: LiveMachine.Medium
    var firmware: LiveMachine.Firmware

    var testDescription: String { name }

    static let secureUSB = BootMode(name: "UEFI Secure Boot from USB", medium: .usb, firmware: .secureBoot)
    static let all: [BootMode] = [
        BootMode(name: "BIOS from CD", medium: .cd, firmware: .bios),
        BootMode(name: "BIOS from USB", medium: .usb, firmware: .bios),
        BootMode(name: "UEFI from CD", medium: .cd, firmware: .uefi),
        BootMode(name: "UEFI from USB", medium: .usb, firmware: .uefi),
        BootMode(name: "UEFI Secure Boot from CD", medium: .cd, firmware: .secureBoot),
        secureUSB,
    ]
    /// With the slow tier one will do: the signed chain, which every other way is a part of.
    static let wanted = LiveLab.isComplete ? all : [secureUSB]
}

extension LiveLab {
    /// Every way to boot leads to the agent and a shell on the serial console, and leaves the disks alone.
    struct BootTests {
        @Test(arguments: BootMode.wanted)
        func theConsoleComesUp(mode: BootMode) throws {
            let sources = try SourceDisks(try SourceSystem.lvm.images())
            let network = try LabNetwork()
            let machine = LiveMachine(
                name: mode.name, boot: .medium(mode.medium, mode.firmware), disks: sources.disks,
                devices: LabHardware.megasas(2))
            let running = try machine.start(in: network)
            let shell = try running.shell(within: 1200)
            running.report("shell, with \(machine.memoryInMiB) MiB")

            #expect(try shell.output("coldclone --version").contains("coldclone"))
            let firmware = try shell.output("test -d /sys/firmware/efi && echo uefi || echo bios")
            #expect(firmware.contains(mode.firmware == .bios ? "bios" : "uefi"))
            if mode.firmware == .secureBoot {
                // The variable's last byte: UEFI specification, 3.3.
                let state = try shell.output("od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*")
                #expect(state.contains("1"))
                #expect(try shell.output("cat /sys/kernel/security/lockdown").contains("[integrity]"))
            }
            // Each disk is read-only, and nothing of LVM or swap was started.
            let disks = try shell.output("lsblk -dno RO,SERIAL | grep LABD | sort -u")
            #expect(disks.split(whereSeparator: \.isWhitespace) == ["1", "LABD0", "1", "LABD1"])
            #expect(try shell.output("ls /dev/mapper") == "control\n")
            #expect(try shell.output("tail -n +2 /proc/swaps") == "")
            try shell.expectNoPassword()
            try shell.expectNothingListens(in: network)

            try running.cutPower()
            #expect(try sources.areUntouched())
        }
    }
}
