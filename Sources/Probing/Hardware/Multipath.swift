// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Puts together the paths to one unit: captured twice, it would cost twice the time and fit nowhere.
///
/// Taking two disks for one would lose one of them. So identity must be proven: by a world wide name, or by a serial
/// number that is no placeholder, on a transport that has several paths at all, with one size and model.
struct Multipath {
    let sysroot: Sysroot

    /// Returns `found` with each unit once, in the place of its first path.
    ///
    /// - Parameter hidden: names of block devices that the kernel itself shows as paths of another.
    func joined(_ found: [BlockDevices.Found], hidden: [String]) -> [BlockDevices.Found] {
        let native = found.map { nativePaths(of: $0, hidden) }
        return joinedByIdentity(joinedByMap(native))
    }

    /// Adds the paths of an NVMe namespace of the kernel's own multipathing: `nvme0c1n1` is one to `nvme0n1`.
    private func nativePaths(of item: BlockDevices.Found, _ hidden: [String]) -> BlockDevices.Found {
        let head = item.path.split(separator: "/").last ?? ""
        let paths = hidden.filter { Self.head(ofPath: $0).map { $0 == head } ?? false }.compactMap {
            sysroot.resolve("/sys/block/\($0)")
        }
        guard item.disk.kind == "nvme", !paths.isEmpty else { return item }
        var item = item
        let functions = paths.map { path in
            path.split(separator: "/").last { PCIFunction.isAddress($0) }.map(String.init)
        }
        item.controllers.formUnion(functions.compactMap(\.self))
        item.disk.controller = item.disk.controller ?? functions.first ?? nil
        if let function = functions.first ?? nil {
            let link = DiskLink(
                sysroot, path: item.path, hostDriver: nil,
                pciFunction: sysroot.resolve("/sys/bus/pci/devices/\(function)"))
            (item.disk.link, item.disk.linkBytesPerSecond) = (link.rate, link.bytesPerSecond)
        }
        guard paths.count > 1 else { return item }
        item.disk.paths = paths.map { path in
            DiskPath(
                name: "/dev/\(path.split(separator: "/").last ?? "")", hctl: nil,
                state: sysroot.text("\(path)/device/state"))
        }
        return item
    }

    /// Returns `nvme0n1` for `nvme0c1n1`.
    static func head(ofPath name: String) -> String? {
        guard name.hasPrefix("nvme"), let controller = name.lastIndex(of: "c"), let space = name.lastIndex(of: "n"),
            controller < space
        else { return nil }
        return String(name[..<controller] + name[space...])
    }

    // MARK: Device-mapper

    /// Puts maps in the place of the disks that they are made of, which sysfs names as their slaves.
    private func joinedByMap(_ found: [BlockDevices.Found]) -> [BlockDevices.Found] {
        var result = found
        for map in found where map.disk.kind == "multipath" {
            let slaves = Set(sysroot.names(in: "\(map.path)/slaves").compactMap { sysroot.resolve("/sys/block/\($0)") })
            let members = result.filter { slaves.contains($0.path) }
            guard let first = members.first, let place = result.firstIndex(where: { slaves.contains($0.path) }) else {
                continue
            }
            // The map itself is what to read: it goes on when a path fails.
            var joined = map
            joined.disk = first.disk
            joined.disk.name = map.disk.name
            joined.disk.kind = "multipath"
            joined.disk.size = map.disk.size
            joined.disk.hctl = nil
            joined.disk.readOnly = map.disk.readOnly
            joined.disk.isLiveMedium = map.disk.isLiveMedium || members.contains { $0.disk.isLiveMedium }
            joined.disk.isPossibleTarget = !joined.disk.isLiveMedium && members.contains { $0.disk.isPossibleTarget }
            joined.disk.paths = members.flatMap(Self.paths)
            joined.controllers = members.reduce(into: []) { $0.formUnion($1.controllers) }
            result[place] = joined
            result.removeAll { slaves.contains($0.path) || ($0.path == map.path && $0.disk.paths.isEmpty) }
        }
        return result
    }

    // MARK: Identity

    private struct Identity: Hashable {
        var name: String
        var size: Int64
        var sectors: Int
        var model: String?
    }

    private func joinedByIdentity(_ found: [BlockDevices.Found]) -> [BlockDevices.Found] {
        var result: [BlockDevices.Found] = []
        var places: [Identity: Int] = [:]
        for item in found {
            guard let identity = identity(of: item) else {
                result.append(item)
                continue
            }
            if let place = places[identity] {
                result[place] = Self.join(result[place], item)
            } else {
                places[identity] = result.count
                result.append(item)
            }
        }
        return result
    }

    private static func paths(of item: BlockDevices.Found) -> [DiskPath] {
        item.disk.paths.isEmpty
            ? [DiskPath(name: item.disk.name, hctl: item.disk.hctl, state: item.state)] : item.disk.paths
    }

    /// Joins two paths; one that works stands for the unit.
    private static func join(_ first: BlockDevices.Found, _ second: BlockDevices.Found) -> BlockDevices.Found {
        func works(_ item: BlockDevices.Found) -> Bool { ["running", "live", nil].contains(item.state) }
        var joined = works(first) || !works(second) ? first : second
        joined.disk.paths = paths(of: first) + paths(of: second)
        joined.disk.isLiveMedium = first.disk.isLiveMedium || second.disk.isLiveMedium
        joined.disk.isPossibleTarget = joined.disk.isPossibleTarget && !joined.disk.isLiveMedium
        joined.controllers = first.controllers.union(second.controllers)
        return joined
    }

    /// Returns what is the same on all paths to a unit and on no other unit; nil where nothing proves that.
    private func identity(of item: BlockDevices.Found) -> Identity? {
        let disk = item.disk
        guard !["optical", "md", "multipath", "raid volume"].contains(disk.kind), disk.size > 0 else { return nil }
        let serial = Self.isPlaceholder(item.unitSerial) ? nil : item.unitSerial
        let name: String
        switch disk.transport {
        // USB bridges of one make share names and numbers, and have one path each; so have SATA and cards.
        case "fc", "iscsi", "sas", "scsi", "raid": name = Self.name(disk, serial) ?? ""
        // Over virtio, SCSI names its units.
        case "virtio": name = disk.hctl == nil ? "" : Self.name(disk, serial) ?? ""
        // Cheap drives of one make share a name: the controller's serial number must agree as well.
        case "nvme": name = serial.flatMap { serial in disk.wwid.map { "\($0) \(serial)" } } ?? ""
        default: name = ""
        }
        return name.isEmpty
            ? nil : Identity(name: name, size: disk.size, sectors: disk.logicalSectors, model: disk.model)
    }

    private static func name(_ disk: Disk, _ serial: String?) -> String? {
        if let wwid = disk.wwid?.lowercased(), wwid.hasPrefix("naa.") || wwid.hasPrefix("eui.") {
            // A name of zeros is none.
            return wwid.dropFirst(5).contains { $0 != "0" } ? wwid : nil
        }
        // What T10 has is a name only where a serial number is part of it.
        return serial.map { "\(disk.wwid ?? "") \(disk.vendor ?? "") \($0)" }
    }

    /// Tells whether a serial number is one that many devices have.
    static func isPlaceholder(_ serial: String?) -> Bool {
        guard let serial, serial.utf8.count >= 4 else { return true }
        let known = ["0123456789abcdef", "0123456789", "123456789012", "1234567890", "none", "unknown", "n/a"]
        return Set(serial.utf8).count == 1 || known.contains(serial.lowercased())
    }
}
