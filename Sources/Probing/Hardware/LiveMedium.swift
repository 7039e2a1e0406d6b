// SPDX-License-Identifier: GPL-3.0-or-later

/// The disks that the live system itself runs from.
enum LiveMedium {
    /// Where live systems mount their medium, the images on it, and the medium that an image of theirs is a file on:
    /// live-boot, dracut, casper, archiso.
    private static let folders = [
        "/cdrom/", "/isodevice/", "/lib/live/mount/", "/run/archiso/", "/run/initramfs/", "/run/live/",
        "/usr/lib/live/mount/",
    ]

    private struct Mount {
        var number: Substring
        var point: String
        var source: Substring
    }

    /// Returns the folders in sysfs of the disks below the live system's mounts.
    ///
    /// proc_pid_mountinfo(5): the third field is the device's number, the fifth the mount point. A recording keeps the
    /// lines of those mounts only.
    static func disks(_ sysroot: Sysroot) -> Set<String> {
        guard let content = sysroot.bytes("/proc/self/mountinfo", limit: 4 << 20) else { return [] }
        var kept: [UInt8] = []
        var mounts: [Mount] = []
        for line in content.split(separator: 0x0a) {
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard fields.count > 5, let dash = fields.lastIndex(of: "-"), dash + 2 < fields.count else { continue }
            let point = String(fields[4])
            guard point == "/" || folders.contains(where: { "\(point)/".hasPrefix($0) }) else { continue }
            // Options and sources may name what is nobody's business.
            let source = fields[dash + 2].hasPrefix("/dev/") ? fields[dash + 2] : "x"
            kept += Array("0 0 \(fields[2]) / \(point) ro - x \(source) ro\n".utf8)
            mounts.append(Mount(number: fields[2], point: point, source: source))
        }
        // Under its own name: that of a process changes from run to run.
        sysroot.record("/proc/self/mountinfo", .file(kept), insteadOf: "/proc/self")
        return below(mounts, sysroot)
    }

    /// Follows partitions to their disks, maps to their members, loop devices to the mount that their file is on.
    private static func below(_ mounts: [Mount], _ sysroot: Sysroot) -> Set<String> {
        var waiting = mounts.compactMap { device(of: $0, sysroot) }
        var seen: Set<String> = []
        while let path = waiting.popLast() {
            guard seen.count < 4096, seen.insert(path).inserted else { continue }
            if sysroot.exists("\(path)/partition") {
                waiting.append("/" + path.split(separator: "/").dropLast().joined(separator: "/"))
            }
            waiting += sysroot.names(in: "\(path)/slaves").compactMap { sysroot.resolve("\(path)/slaves/\($0)") }
            guard let file = sysroot.text("\(path)/loop/backing_file") else { continue }
            let holder = mounts.filter { $0.point == "/" || file.hasPrefix("\($0.point)/") }
                .max { $0.point.utf8.count < $1.point.utf8.count }
            waiting += [holder.flatMap { device(of: $0, sysroot) }].compactMap(\.self)
        }
        return seen
    }

    /// Returns the folder in sysfs of the device that is mounted.
    private static func device(of mount: Mount, _ sysroot: Sysroot) -> String? {
        if let path = sysroot.resolve("/sys/dev/block/\(mount.number)") { return path }
        // btrfs has numbers of its own: there the name must do.
        guard mount.source.hasPrefix("/dev/") else { return nil }
        let name = mount.source.dropFirst("/dev/".count).replacing("/", with: "!")
        return sysroot.resolve("/sys/class/block/\(name)")
    }
}
