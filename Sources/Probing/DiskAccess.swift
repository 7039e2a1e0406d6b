// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat

/// Tells how a disk is read best, by what it is and how it is attached.
public struct DiskAccess: Sendable {
    private let machine: Machine
    private let sysroot: Sysroot

    /// Takes what the machine has, and where its sysfs is.
    public init(_ machine: Machine, _ sysroot: Sysroot) {
        self.machine = machine
        self.sysroot = sysroot
    }

    /// Returns how the disk or partition at `path` is read best.
    ///
    /// Behind a RAID controller, a network or a fabric a request is dear and many of them go side by side. A single
    /// spindle wants few and in order. USB takes one command at a time. All others are fast in any order.
    public func pattern(of path: String) -> AccessPattern {
        let queue = queue(of: path)
        guard let disk = disk(at: path) else { return Self.pattern(queue) }
        switch disk.transport {
        case "raid": return Self.volume(queue)
        case "iscsi", "fc": return .network
        case "nvme", "virtio", "xen": return .parallel
        case "usb": return disk.rotational ? .sequential : AccessPattern(requestLength: 4 << 20, parallelReads: 4)
        default: break
        }
        if disk.kind == "raid volume" || disk.raidLevel != nil { return Self.volume(queue) }
        return Self.pattern(queue)
    }

    /// What a device's queue says of itself.
    ///
    /// Documentation/ABI/stable/sysfs-block.
    private struct Queue {
        var isRotational: Bool
        var isMadeUp: Bool
        var maximumBytes: Int64
        var optimalBytes: Int64
    }

    /// A spindle, unless it is one that the kernel makes up from others.
    private static func pattern(_ queue: Queue?) -> AccessPattern {
        guard let queue, queue.isRotational, !queue.isMadeUp else { return .parallel }
        return .sequential
    }

    /// A virtual drive: at least a whole stripe a request, as far as the controller takes that.
    private static func volume(_ queue: Queue?) -> AccessPattern {
        let stripe = queue?.optimalBytes ?? 0
        let isSmall = (queue?.maximumBytes ?? .max) < 1 << 20
        return AccessPattern(
            requestLength: isSmall || stripe <= 2 << 20 ? 2 << 20 : 4 << 20, parallelReads: nil)
    }

    private func disk(at path: String) -> Disk? {
        let folder = folder(of: path)
        return machine.disks.first { disk in
            disk.name == path || disk.paths.contains { $0.name == path }
                || folder != nil && folder == disk.path.map { "/sys/devices/\($0)" }
        }
    }

    /// Returns the folder in sysfs of the whole device that `path`, below /dev, is or is a partition of.
    private func folder(of path: String) -> String? {
        guard path.hasPrefix("/dev/") else { return nil }
        let name = path.dropFirst(5).replacing("/", with: "!")
        guard let folder = sysroot.resolve("/sys/class/block/\(name)") ?? sysroot.resolve("/sys/block/\(name)") else {
            return nil
        }
        guard sysroot.exists("\(folder)/partition") else { return folder }
        return folder.lastIndex(of: "/").map { String(folder[..<$0]) }
    }

    private func queue(of path: String) -> Queue? {
        guard let folder = folder(of: path), sysroot.exists("\(folder)/queue") else { return nil }
        func bytes(_ name: String, _ unit: Int64) -> Int64 {
            sysroot.number("\(folder)/queue/\(name)").flatMap { (0..<1 << 32).contains($0) ? $0 * unit : nil } ?? 0
        }
        let limit = bytes("max_sectors_kb", 1024)
        return Queue(
            isRotational: sysroot.text("\(folder)/queue/rotational") == "1",
            isMadeUp: folder.hasPrefix("/sys/devices/virtual/"), maximumBytes: limit > 0 ? limit : .max,
            optimalBytes: bytes("optimal_io_size", 1))
    }
}
