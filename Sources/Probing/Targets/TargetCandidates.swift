// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// Finds where a clone of this machine could be written to, and by which wire.
///
/// proc_pid_mountinfo(5); nfs(5) and mount.cifs(8) for what their options mean.
public struct TargetCandidates: Sendable {
    /// A folder or disk that a clone could be written to.
    public struct Candidate: Sendable, Hashable, Encodable {
        /// Path of the folder; nil for a disk that is not mounted.
        public var folder: String?
        /// The disk, where it is one of this machine's.
        public var disk: String?
        /// Type of the file system that is mounted: `nfs4`, `ext4`; nil where none is.
        public var fileSystem: String?
        /// The wire that leads there.
        public var link: TransferLink
        /// What to do before it can be used; nil where nothing is.
        public var instruction: String?

        /// Makes a candidate of which nothing else is known.
        public init(
            folder: String? = nil, disk: String? = nil, fileSystem: String? = nil, link: TransferLink,
            instruction: String? = nil
        ) {
            self.folder = folder
            self.disk = disk
            self.fileSystem = fileSystem
            self.link = link
            self.instruction = instruction
        }
    }

    private static let maximumMounts = 10_000
    private static let mountsLimit = 16 << 20
    private static let networkTypes: Set<String> = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "fuse.sshfs"]

    private let sysroot: Sysroot
    private let machine: Machine
    private let mounts: [MountedVolume]

    /// Takes what the machine has, and reads what is mounted.
    public init(_ machine: Machine, _ sysroot: Sysroot) {
        self.machine = machine
        self.sysroot = sysroot
        let text = sysroot.bytes("/proc/self/mountinfo", limit: Self.mountsLimit) ?? []
        mounts = String(decoding: text, as: UTF8.self).split(separator: "\n").prefix(Self.maximumMounts).compactMap {
            MountedVolume($0)
        }
    }

    /// Returns the folders that look made for it: network file systems, and those on USB, e-SATA and removable disks.
    ///
    /// Only those that are mounted for writing, and not the live system's own.
    public func folders() -> [Candidate] {
        var seen: Set<String> = []
        return mounts.filter { !$0.isReadOnly }.compactMap { mount in
            let disk = disk(of: mount)
            guard Self.networkTypes.contains(mount.type) || disk?.isPossibleTarget == true,
                seen.insert("\(mount.device) \(mount.source)").inserted
            else { return nil }
            return candidate(mount, disk, folder: mount.point)
        }
    }

    /// Returns what is known of the folder at `path`, which has no symbolic links.
    public func folder(_ path: String) -> Candidate {
        // The last of those mounted over each other is the one that is seen.
        let mount = mounts.reversed().filter { mount in
            mount.point == "/" || path == mount.point || path.hasPrefix("\(mount.point)/")
        }.max { $0.point.utf8.count < $1.point.utf8.count }
        guard let mount else { return Candidate(folder: path, link: TransferLink(transport: "unknown")) }
        return candidate(mount, disk(of: mount), folder: path)
    }

    /// Returns the disks that could be targets and are not mounted.
    public func disks() -> [Candidate] {
        let mounted = Set(mounts.compactMap { disk(of: $0)?.name })
        return machine.disks.filter { $0.isPossibleTarget && !mounted.contains($0.name) }.map { disk in
            Candidate(
                disk: disk.name, link: TransferLink(of: disk), instruction: instruction(for: disk))
        }
    }

    /// Returns the wire that leads to the disk at `path`; nil for one that is none of this machine's.
    public func link(ofDisk path: String) -> TransferLink? {
        guard let disk = machine.disks.first(where: { $0.name == path || $0.paths.contains { $0.name == path } })
        else { return nil }
        var link = TransferLink(of: disk)
        if disk.transport == "iscsi", let address = portal(of: disk) { follow(address, &link) }
        return link
    }

    /// Returns the wire that leads to the server at `address`.
    public func link(to address: String, transport: String) -> TransferLink {
        var link = TransferLink(transport: transport)
        follow(address, &link)
        return link
    }

    private func candidate(_ mount: MountedVolume, _ disk: Disk?, folder: String) -> Candidate {
        if let disk {
            return Candidate(
                folder: folder, disk: disk.name, fileSystem: mount.type,
                link: link(ofDisk: disk.name) ?? TransferLink(of: disk))
        }
        var link = TransferLink(transport: Self.transport(mount.type))
        if let server = mount.server { follow(server, &link) }
        return Candidate(folder: folder, fileSystem: mount.type, link: link)
    }

    private static func transport(_ type: String) -> String {
        switch type {
        case "nfs", "nfs4": return "nfs"
        case "cifs", "smb3": return "cifs"
        case "tmpfs", "ramfs": return "memory"
        default: return networkTypes.contains(type) ? type : "unknown"
        }
    }

    /// Fills in what the interface that leads to `address` is like.
    private func follow(_ address: String, _ link: inout TransferLink) {
        link.server = address
        let route = NetworkRoute(sysroot: sysroot)
        guard let interface = route.interface(to: address) else { return }
        link.device = interface
        link.bitsPerSecond = route.bitsPerSecond(of: interface)
        link.rate = link.bitsPerSecond.map { bits in
            bits >= 1_000_000_000 && bits % 100_000_000 == 0
                ? "\(bits / 1_000_000_000).\(bits / 100_000_000 % 10) Gbit/s" : "\(bits / 1_000_000) Mbit/s"
        }
    }

    /// Returns the address of the portal that the kernel is logged in to for `disk`.
    private func portal(of disk: Disk) -> String? {
        let session = disk.path?.split(separator: "/").last { DiskLink.isNumbered(String($0), "session") }
        guard let number = session?.dropFirst("session".count) else { return nil }
        let connection = "/sys/class/iscsi_connection/connection\(number):0"
        return sysroot.text("\(connection)/address") ?? sysroot.text("\(connection)/persistent_address")
    }

    /// Returns the disk that a mounted file system lies on, through partitions and mapped devices.
    private func disk(of mount: MountedVolume) -> Disk? {
        var waiting = [sysroot.resolve("/sys/dev/block/\(mount.device)")].compactMap(\.self)
        var steps = 0
        while let folder = waiting.popLast(), steps < 64 {
            steps += 1
            if let disk = machine.disks.first(where: { disk in disk.path.map { "/sys/devices/\($0)" } == folder }) {
                return disk
            }
            if sysroot.exists("\(folder)/partition"), let slash = folder.lastIndex(of: "/") {
                waiting.append(String(folder[..<slash]))
            }
            waiting += sysroot.names(in: "\(folder)/slaves").compactMap { sysroot.resolve("\(folder)/slaves/\($0)") }
        }
        return nil
    }

    /// Says how a disk becomes a target: by its first partition, where it has any.
    private func instruction(for disk: Disk) -> String {
        let name = disk.name.dropFirst("/dev/".count)
        let folder = disk.path.map { "/sys/devices/\($0)" } ?? "/sys/class/block/\(name)"
        let partitions = sysroot.names(in: folder).filter {
            $0.hasPrefix(name) && sysroot.exists("\(folder)/\($0)/partition")
        }
        let device = "/dev/\(partitions.first ?? String(name))"
        return "blockdev --setrw \(disk.name) \(device); mkdir -p /mnt/target; mount \(device) /mnt/target"
    }
}

/// A line of mountinfo.
struct MountedVolume: Sendable, Hashable {
    /// Major and minor number of the device: `8:17`.
    var device: String
    /// Where it is mounted.
    var point: String
    /// Type of the file system.
    var type: String
    /// What is mounted: a device, `server:/export`.
    var source: String
    /// Whether mount or file system are read-only.
    var isReadOnly: Bool
    /// Address of the server, as the file system has it in its options.
    var server: String?

    /// Reads a line; nil for one that is not understood.
    init?(_ line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count >= 10, let dash = fields.firstIndex(of: "-"), dash >= 6, dash + 3 < fields.count else {
            return nil
        }
        device = String(fields[2])
        point = BlockStack.unescape(fields[4])
        type = String(fields[dash + 1])
        source = BlockStack.unescape(fields[dash + 2])
        let own = fields[dash + 3].split(separator: ",")
        isReadOnly = own.contains("ro") || fields[5].split(separator: ",").contains("ro")
        server = own.first { $0.hasPrefix("addr=") }.map { String($0.dropFirst(5)) }
    }
}
