// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport
internal import Testing

/// The live system's desktop edition, as image-build/iso --edition desktop leaves it.
enum DesktopEdition {
    /// COLDCLONE_DESKTOP_ISO, or where image-build/iso puts it.
    static let isoPath: String =
        getenv("COLDCLONE_DESKTOP_ISO").map { String(cString: $0) }
        ?? "\(Fixtures.root)/.build/iso-desktop/coldclone-desktop.iso"

    static let isBuilt: Bool = access(isoPath, R_OK) == 0

    /// Packages that would mount by themselves, listen, or bring what no technician asked for.
    static let unwanted = ["udisks2", "gvfs", "gvfs-daemons", "avahi-daemon", "cups-daemon", "firefox-esr", "chromium"]
}

struct DesktopPackageTests {
    /// Debian's archive has every package of the list, and none brings another that mounts or listens.
    @Test(.enabled(if: Tool.isInstalled("apt-get"), "apt-get is missing"))
    func thePackagesResolve() throws {
        var names: [String] = []
        for edition in ["live", "desktop"] {
            let list = try SmallFile.text("\(Fixtures.root)/image-build/live/packages.\(edition)", limit: 1 << 16)
            names += list.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
        }
        // As if nothing were installed yet: apt-get(8), -s changes nothing.
        let plan = try Tool.output(
            "apt-get",
            ["--simulate", "--no-install-recommends", "-o", "Dir::State::status=/dev/null", "install"] + names)
        var installed: [String] = []
        for line in plan.split(separator: "\n") where line.hasPrefix("Inst ") {
            installed.append(String(line.dropFirst(5).prefix { $0 != " " }))
        }
        #expect(installed.contains("gparted") && installed.contains("xserver-xorg-core"))
        #expect(DesktopEdition.unwanted.filter { installed.contains($0) } == [])
    }
}

extension LiveLab.Complete {
    /// Terminals and gparted on the screen, and every promise of the text consoles kept.
    @Suite(.enabled(if: DesktopEdition.isBuilt, "there is no desktop ISO: image-build/iso --edition desktop makes it"))
    struct DesktopTests {
        @Test func theDesktopShowsTheMachineAndLeavesDisksAlone() throws {
            let sources = try SourceDisks(try SourceSystem.lvm.images())
            let network = try LabNetwork()
            var machine = LiveMachine(
                name: "desktop", boot: .medium(.cd, .bios), disks: sources.disks, devices: LabHardware.megasas(2))
            machine.iso = DesktopEdition.isoPath
            machine.memoryInMiB = 2048
            let running = try machine.start(in: network)
            let shell = try running.shell(within: 1200)
            running.report("shell beside the desktop")

            try shell.output("export DISPLAY=:0; until xprop -root >/tmp/root 2>&1; do sleep 1; done", within: 300)
            try waitFor(windows: 3, on: shell)
            running.report("desktop")
            let windows = try shell.output("xwininfo -root -tree")
            #expect(windows.contains("coldclone: this machine") && windows.contains("\"Shell\""))
            let agents = try shell.output("pgrep -x -c coldclone")
            #expect(agents == "3\n", "on tty1, ttyS0 and in a terminal")
            try expectPicture(of: running)

            // It looks at every disk, by every tool that there is for what is on them.
            try shell.output("(gparted >/tmp/gparted 2>&1 &)")
            try waitFor(windows: 4, on: shell)
            try shell.output("until xwininfo -root -tree | grep -q 'dev.* - GParted'; do sleep 1; done", within: 300)
            running.report("gparted")
            let disks = try shell.output("lsblk -dno RO,SERIAL | grep LABD | sort -u")
            #expect(disks.split(whereSeparator: \.isWhitespace) == ["1", "LABD0", "1", "LABD1"])
            let active = try shell.output("ls /dev/mapper; tail -n +2 /proc/swaps")
            #expect(active == "control\n")
            let mounted = try shell.output(
                "lsblk -no MOUNTPOINTS $(lsblk -dnpo NAME,SERIAL | awk '/LABD/ { print $1 }')")
            #expect(mounted.allSatisfy { $0.isWhitespace }, "\(mounted)")
            try shell.expectNoPassword()
            try shell.expectNothingListens(in: network)

            try running.cutPower()
            #expect(try sources.areUntouched())
        }

        /// Waits until the window manager has that many windows: EWMH, `_NET_CLIENT_LIST`.
        private func waitFor(windows: Int, on shell: LiveShell) throws {
            // Only the windows' numbers have an x. xprop -spy waits in vain for a property that does not exist yet.
            let count = "x=$(xprop -root _NET_CLIENT_LIST); x=${x//[^x]/}; [ ${#x} -ge \(windows) ]"
            try shell.output("until \(count); do sleep 1; done", within: 300)
        }

        /// Expects the colours of the desktop and of the active window's title in what the screen shows.
        private func expectPicture(of running: RunningMachine) throws {
            let scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
            try running.monitor.execute("screendump", "\"filename\": \"\(scratch.file("screen"))\"")
            // Binary PPM: three bytes a pixel behind the header, ppm(5).
            let count = """
                tail -c +17 \(scratch.file("screen")) | od -An -v -tx1 -w3 | sort | uniq -c | sort -rn | head -50
                """
            let colours = try Tool.output("sh", ["-c", count])
            #expect(colours.contains("3b 4c 59") && colours.contains("1d 6f a5"), "\(colours)")
        }
    }
}
