// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import DiskLayout
internal import FileSystems
internal import Glibc

/// A file system on this machine, as its own signatures describe it.
public struct FoundVolume: Sendable, Hashable {
    /// Path of the device: `/dev/sdb1`.
    public var device: String
    /// Path of the whole disk; the device's own when it is one.
    public var disk: String
    /// libblkid's TYPE; nil where nothing is known, or several are.
    public var type: String?
    /// Label.
    public var label: String?
    /// UUID.
    public var uuid: String?
}

/// Looks for file systems by label or UUID on all block devices, without udev's help.
///
/// sysfs, Documentation/ABI/stable/sysfs-block.
public enum VolumeSearch {
    /// Most devices that are looked at.
    private static let maximum = 16_384

    /// Returns the volumes whose label is `word`, or whose UUID it is.
    ///
    /// - Parameter disks: paths of whole disks, nothing but which is read; nil for all.
    public static func volumes(named word: String, on disks: [String]? = nil) -> [FoundVolume] {
        let names = (try? Folder.names(in: "/sys/class/block")) ?? []
        let wanted = names.filter { name in disks?.contains(disk(of: name) ?? path(name)) ?? true }
        return wanted.prefix(maximum).compactMap { volume($0) }.filter {
            $0.label == word || $0.uuid.map { $0.lowercased() == word.lowercased() } == true
        }
    }

    private static func volume(_ name: String) -> FoundVolume? {
        let folder = "/sys/class/block/\(name)"
        // Drives without medium have no size, floppy drives one all the same.
        guard let size = try? SmallFile.text("\(folder)/size", limit: 64), size.prefix(1) != "0",
            !["fd", "ram", "zram", "sr"].contains(where: { name.hasPrefix($0) }),
            let source = try? FileSource(path(name), direct: .never),
            let content = try? ContentProbe.read(source, isWholeDisk: false), !content.isEmpty
        else { return nil }
        return FoundVolume(
            device: path(name), disk: disk(of: name) ?? path(name), type: content.type, label: content.label,
            uuid: content.uuid)
    }

    private static func path(_ name: some StringProtocol) -> String { "/dev/" + name.map { $0 == "!" ? "/" : $0 } }

    /// Returns the path of the disk that `name` is a partition of; nil when it is none.
    private static func disk(of name: String) -> String? {
        guard Folder.exists("/sys/class/block/\(name)/partition"),
            let resolved = realpath("/sys/class/block/\(name)", nil)
        else { return nil }
        defer { free(resolved) }
        return String(cString: resolved).split(separator: "/").dropLast().last.map { path($0) }
    }
}

extension FoundVolume {
    /// Returns the content of the file `path` on the volume, without mounting it; nil when there is none.
    ///
    /// - Throws: `ProbeError` when the volume cannot be read, or the file is longer than `limit`.
    public func content(of path: String, limit: Int) throws(ProbeError) -> [UInt8]? {
        let source: FileSource
        do throws(BlockError) { source = try FileSource(device, direct: .never) } catch { throw .io(error) }
        do throws(FileSystemError) {
            guard let reader = try FileSystemKind.open(source, type: type), try reader.locate(path) != nil else {
                return nil
            }
            return try reader.read(path, limit: limit)
        } catch {
            throw .unreadable(error.description)
        }
    }
}

extension BlockStack {
    /// Returns why the block device `device` must not be written to while `sources` are captured, or nil.
    ///
    /// A disk that it lies on, or that lies on the same disk as it, is meant as well.
    public func objection(toWriting device: String, sources: [FileSource]) throws(BlockError) -> String? {
        let target = try FileSource(device, direct: .never)
        let below = layers(underDevice: target.deviceNumber)
        for source in sources where !below.isDisjoint(with: layers(of: source)) {
            return "the target \(device) lies on the source \(source.name)"
        }
        return nil
    }
}
