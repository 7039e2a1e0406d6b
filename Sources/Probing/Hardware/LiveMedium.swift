// SPDX-License-Identifier: GPL-3.0-or-later

/// The disks that the live system itself runs from.
enum LiveMedium {
    private static let mountPoints: Set = [
        "/", "/cdrom", "/lib/live/mount/medium", "/run/initramfs/live", "/run/live/medium",
        "/usr/lib/live/mount/medium",
    ]

    /// Returns the folders in sysfs of the disks below the live system's mounts.
    ///
    /// proc_pid_mountinfo(5): the third field is the device's number, the fifth the mount point. A recording keeps the
    /// lines of those mounts only.
    static func disks(_ sysroot: Sysroot) -> Set<String> {
        guard let content = sysroot.bytes("/proc/self/mountinfo", limit: 4 << 20) else { return [] }
        var kept: [UInt8] = []
        var disks: Set<String> = []
        for line in content.split(separator: 0x0a) {
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard fields.count > 5, mountPoints.contains(String(fields[4])) else { continue }
            // Options and sources may name what is nobody's business.
            kept += Array("0 0 \(fields[2]) / \(fields[4]) ro - x x ro\n".utf8)
            guard let path = sysroot.resolve("/sys/dev/block/\(fields[2])") else { continue }
            let isPartition = sysroot.exists("\(path)/partition")
            disks.insert(isPartition ? "/" + path.split(separator: "/").dropLast().joined(separator: "/") : path)
        }
        // Under its own name: that of a process changes from run to run.
        sysroot.record("/proc/self/mountinfo", .file(kept), insteadOf: "/proc/self")
        return disks
    }
}
