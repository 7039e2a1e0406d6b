// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CLinux
internal import Glibc

/// What lies under a block device or a folder, read from sysfs and mountinfo: the safeguard that no source is a target.
///
/// Partitions lead to their disk, device-mapper and md devices to their members, loop devices to the file behind them
/// and the device below that. sysfs, Documentation/ABI/testing/sysfs-block; proc_pid_mountinfo(5).
public struct BlockStack: Sendable {
    /// A device or file, by its numbers.
    public enum Layer: Sendable, Hashable {
        /// A block device, by its number.
        case device(UInt64)
        /// A file, by its file system's device number and its inode.
        case file(device: UInt64, inode: UInt64)
    }

    /// A mounted file system.
    struct Mount: Sendable, Hashable {
        var device: UInt64
        var mountPoint: String
        var isReadOnly: Bool
        var source: String
    }

    private let sysfs: String
    private let mounts: [Mount]
    private let swaps: [String]

    /// Reads what is mounted and swapped on now.
    public init() throws(BlockError) {
        sysfs = "/sys"
        mounts = Self.parseMounts(try SmallFile.text("/proc/self/mountinfo", limit: 16 << 20))
        swaps =
            (try? SmallFile.text("/proc/swaps", limit: 16 << 20))?.split(separator: "\n").dropFirst().map {
                Self.unescape($0.prefix { $0 != " " && $0 != "\t" })
            } ?? []
    }

    /// Returns why nothing may be written to `targetFolder` while `source` is looked at, or nil.
    public func objectionToReading(_ source: FileSource, targetFolder: String) throws(BlockError) -> String? {
        guard layers(underDevice: try Folder.deviceNumber(of: targetFolder)).contains(layer(of: source)) else {
            return nil
        }
        return "the target \(targetFolder) lies on the source \(source.name)"
    }

    /// Returns `source` itself, and what is below it where it is a device.
    func layers(of source: FileSource) -> Set<Layer> {
        source.isBlockDevice ? layers(underDevice: source.deviceNumber) : [layer(of: source)]
    }

    private func layer(of source: FileSource) -> Layer {
        source.isBlockDevice
            ? .device(source.deviceNumber) : .file(device: source.deviceNumber, inode: source.inodeNumber)
    }

    /// Returns why `source` must not be captured to `targetFolder`, or nil when nothing speaks against it.
    public func objection(to source: FileSource, targetFolder: String) throws(BlockError) -> String? {
        if let objection = try objectionToReading(source, targetFolder: targetFolder) { return objection }
        let layer = layer(of: source)
        for mount in mounts where !mount.isReadOnly && layers(underDevice: mount.device).contains(layer) {
            return "the source \(source.name) is in use: mounted at \(mount.mountPoint)"
        }
        for swap in swaps {
            guard let device = Self.blockDeviceNumber(swap), layers(underDevice: device).contains(layer) else {
                continue
            }
            return "the source \(source.name) is in use: \(swap) is swap space"
        }
        return nil
    }

    /// Returns `device` and everything below it.
    func layers(underDevice device: UInt64) -> Set<Layer> {
        var found: Set<Layer> = []
        var waiting = [device]
        while let next = waiting.popLast() {
            guard found.insert(.device(next)).inserted else { continue }
            waiting += parents(of: next, into: &found)
        }
        return found
    }

    private func parents(of device: UInt64, into found: inout Set<Layer>) -> [UInt64] {
        // File systems such as btrfs and overlay have numbers of their own: their mount names the device.
        if cl_major(device) == 0 {
            return mounts.filter { $0.device == device }.compactMap { Self.blockDeviceNumber($0.source) }
        }
        guard let folder = Self.resolve("\(sysfs)/dev/block/\(cl_major(device)):\(cl_minor(device))") else { return [] }
        var parents: [UInt64] = []
        if Folder.exists("\(folder)/partition"), let slash = folder.lastIndex(of: "/") {
            parents += [number("\(folder[..<slash])/dev")].compactMap(\.self)
        }
        for slave in (try? Folder.names(in: "\(folder)/slaves")) ?? [] {
            parents += [number("\(folder)/slaves/\(slave)/dev")].compactMap(\.self)
        }
        if let path = attribute("\(folder)/loop/backing_file") {
            var status = stat()
            if stat(path, &status) == 0 {
                found.insert(.file(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
                parents.append(UInt64(status.st_mode & S_IFMT == S_IFBLK ? status.st_rdev : status.st_dev))
            }
        }
        return parents
    }

    private func attribute(_ path: String) -> String? {
        guard let text = try? SmallFile.text(path, limit: 16 << 20) else { return nil }
        return text.last == "\n" ? String(text.dropLast()) : text
    }

    private func number(_ path: String) -> UInt64? {
        guard let parts = attribute(path)?.split(separator: ":"), parts.count == 2, let major = UInt32(parts[0]),
            let minor = UInt32(parts[1])
        else { return nil }
        return cl_makedev(major, minor)
    }

    // MARK: Text

    /// Reads the lines of mountinfo; lines that are not understood are left out.
    static func parseMounts(_ text: String) -> [Mount] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count >= 10, let dash = fields.firstIndex(of: "-"), dash + 3 < fields.count else { return nil }
            let numbers = fields[2].split(separator: ":")
            guard numbers.count == 2, let major = UInt32(numbers[0]), let minor = UInt32(numbers[1]) else { return nil }
            // Read-only counts for the whole file system, in its own options: a read-only bind of it proves nothing.
            let options = fields[dash + 3].split(separator: ",")
            return Mount(
                device: cl_makedev(major, minor), mountPoint: unescape(fields[4]), isReadOnly: options.contains("ro"),
                source: unescape(fields[dash + 2]))
        }
    }

    /// Undoes the kernel's octal escapes for white space and backslashes.
    static func unescape(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            // Digits alone: the number's own reader would take a sign as well.
            if byte == UInt8(ascii: "\\"), rest.count >= 3, rest.prefix(3).allSatisfy({ 0x30...0x37 ~= $0 }),
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func blockDeviceNumber(_ path: String) -> UInt64? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFBLK else { return nil }
        return UInt64(status.st_rdev)
    }

    private static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
