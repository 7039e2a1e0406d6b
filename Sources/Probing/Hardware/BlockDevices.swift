// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The disks of a machine, found by what sysfs says of them and not by their names.
///
/// Documentation/ABI/stable/sysfs-block; for SCSI devices drivers/scsi/scsi_sysfs.c.
struct BlockDevices {
    /// Most block devices that are looked at.
    private static let maximum = 16_384

    let sysroot: Sysroot
    let functions: [PCIFunction]

    /// A disk with what only matters while the inventory is put together.
    struct Found {
        var disk: Disk
        /// Folder in sysfs, without links.
        var path: String
        /// State of a SCSI device: `running`.
        var state: String?
        /// Serial number that the unit itself gives, not the enclosure around it.
        var unitSerial: String?
        /// Addresses of the controllers that lead to it.
        var controllers: Set<String>
    }

    /// Returns all disks in the kernel's order, those with several paths once.
    func all(liveDisks: Set<String>) -> [Found] {
        let names = sysroot.names(in: "/sys/block").prefix(Self.maximum).sorted(by: Self.naturally)
        let hidden = names.filter { sysroot.text("/sys/block/\($0)/hidden") == "1" }
        let found = names.filter { !hidden.contains($0) }.compactMap { disk($0, liveDisks) }
        return Multipath(sysroot: sysroot).joined(found, hidden: hidden)
    }

    private func disk(_ name: String, _ liveDisks: Set<String>) -> Found? {
        guard let path = sysroot.resolve("/sys/block/\(name)"), let sectors = sysroot.number("\(path)/size"),
            sectors >= 0, sectors < 1 << 52
        else { return nil }
        let parts = path.split(separator: "/")
        let isVirtual = parts.dropFirst(2).first == "virtual"
        if isVirtual, !isVirtualDisk(path, name) { return nil }
        // A floppy drive has a size without a disk in it.
        if DiskLink.isNumbered(name, "fd") { return nil }
        // The boot areas and the replay-protected block of an eMMC are firmware's.
        if name.hasPrefix("mmcblk"), name.contains("boot") || name.hasSuffix("rpmb") { return nil }
        let device = sysroot.resolve("\(path)/device") ?? path
        let hctl = device.split(separator: "/").last.map(String.init).flatMap { Self.isHCTL($0) ? $0 : nil }
        let host = hctl.map { "host\($0.prefix { $0 != ":" })" }
        let hostDriver = host.flatMap { sysroot.text("/sys/class/scsi_host/\($0)/proc_name") }
        let isOptical = hctl != nil && sysroot.text("\(device)/type") == "5"
        // A drive without medium has no size; only an optical one is worth a line. One whose medium cannot be taken out
        // has failed, and is no less a disk for that.
        let isRemovable = sysroot.text("\(path)/removable") == "1"
        guard sectors > 0 || isOptical || !(isVirtual || isRemovable) else { return nil }

        var disk = Disk(
            name: "/dev/" + name.replacing("!", with: "/"), size: sectors * 512,
            logicalSectors: sectorSize("\(path)/queue/logical_block_size"),
            physicalSectors: sectorSize("\(path)/queue/physical_block_size"), kind: "disk")
        disk.rotational = sysroot.text("\(path)/queue/rotational") == "1"
        disk.removable = isRemovable || sysroot.text("\(device)/type") == "SD"
        disk.readOnly = sysroot.text("\(path)/ro") == "1"
        disk.hctl = hctl
        disk.path = isVirtual ? nil : String(path.dropFirst("/sys/devices/".count))
        let function = functions.filter { path.hasPrefix("\($0.path)/") }.max { $0.path.count < $1.path.count }
        disk.controller = function?.address
        let link = DiskLink(sysroot, path: path, hostDriver: hostDriver, pciFunction: function?.path)
        (disk.transport, disk.link, disk.linkBytesPerSecond) = (link.transport, link.rate, link.bytesPerSecond)
        disk.target = link.target
        let unitSerial = identify(&disk, path, device, name)
        let driver = name.hasPrefix("cciss") ? "cciss" : hostDriver
        let volume = hctl == nil && driver != "cciss" ? nil : RAIDVolume(sysroot, device, hctl: hctl, driver: driver)
        disk.raidLevel = isVirtual ? sysroot.text("\(path)/md/level") : volume?.level
        if volume != nil { disk.transport = "raid" }
        disk.kind = volume != nil ? "raid volume" : kind(disk, name, path, isOptical: isOptical)
        disk.isLiveMedium = liveDisks.contains(path)
        // Whether it is read-only says nothing: the live system sets every disk so.
        disk.isPossibleTarget =
            !disk.isLiveMedium && !isOptical && disk.size > 0
            && (disk.removable || disk.transport == "usb")
        return Found(
            disk: disk, path: path, state: sysroot.text("\(device)/state"), unitSerial: unitSerial,
            controllers: Set([disk.controller].compactMap(\.self)))
    }

    /// Of the virtual devices, those that stand for a disk: multipath maps, md arrays, NVMe behind several paths.
    private func isVirtualDisk(_ path: String, _ name: String) -> Bool {
        if let uuid = sysroot.text("\(path)/dm/uuid") { return uuid.hasPrefix("mpath-") }
        return sysroot.exists("\(path)/md/level") || path.contains("/nvme-subsystem/")
    }

    private func sectorSize(_ path: String) -> Int {
        guard let size = sysroot.number(path), size >= 512, size <= 1 << 20, size & (size - 1) == 0 else { return 512 }
        return Int(size)
    }

    /// Fills in names and numbers; returns the serial number of the unit itself.
    private func identify(_ disk: inout Disk, _ path: String, _ device: String, _ name: String) -> String? {
        let pages = VitalProductData(
            page80: sysroot.bytes("\(device)/vpd_pg80", limit: 4096),
            page83: sysroot.bytes("\(device)/vpd_pg83", limit: 4096))
        disk.vendor = sysroot.text("\(device)/vendor").flatMap { $0.hasPrefix("0x") ? nil : $0 }
        disk.model = sysroot.text("\(device)/model") ?? sysroot.text("\(device)/name")
        // INQUIRY cuts the model after 16 characters.
        if let model = pages.modelOfATA, model.hasPrefix(disk.model ?? "") { disk.model = model }
        // virtio-blk has its serial at the disk, NVMe at the controller.
        let own = pages.serial ?? sysroot.text("\(path)/serial") ?? sysroot.text("\(device)/serial")
        disk.serial = own ?? usbSerial(path)
        disk.wwid =
            sysroot.text("\(path)/wwid") ?? sysroot.text("\(device)/wwid") ?? pages.identity
            ?? RAIDVolume.identity(sysroot, device)
        disk.wwn = WorldWideName.of(disk.wwid) ?? WorldWideName.of(pages.identity)
        if name.hasPrefix("dm-") { disk.model = sysroot.text("\(path)/dm/name") }
        return own
    }

    /// A USB bridge hides the drive's number, but has one of its own.
    private func usbSerial(_ path: String) -> String? {
        guard path.contains("/usb") else { return nil }
        var folder = path.split(separator: "/")
        while folder.popLast() != nil, folder.count > 3 {
            if let serial = sysroot.text("/" + folder.joined(separator: "/") + "/serial") { return serial }
        }
        return nil
    }

    private func kind(_ disk: Disk, _ name: String, _ path: String, isOptical: Bool) -> String {
        if isOptical { return "optical" }
        if sysroot.exists("\(path)/md/level") { return "md" }
        if name.hasPrefix("dm-") { return "multipath" }
        switch disk.transport {
        case "nvme": return "nvme"
        case "fc", "iscsi": return "lun"
        case "mmc": return "card"
        case "virtio", "xen": return "virtual"
        default: return "disk"
        }
    }

    /// Host, channel, target and LUN.
    private static func isHCTL(_ name: String) -> Bool {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
    }

    /// Orders names as the kernel counts: sdb before sdaa, nvme2n1 before nvme10n1.
    static func naturally(_ left: String, _ right: String) -> Bool {
        func key(_ name: String) -> [(isNumber: Bool, number: Int, text: String)] {
            var parts: [(Bool, Int, String)] = []
            var rest = name[...]
            while let first = rest.first {
                let run = rest.prefix { $0.isNumber == first.isNumber }
                parts.append(first.isNumber ? (true, Int(run) ?? .max, String(run)) : (false, run.count, String(run)))
                rest = rest.dropFirst(run.count)
            }
            return parts
        }
        for (one, other) in zip(key(left), key(right)) {
            if one.isNumber != other.isNumber { return one.isNumber }
            // Of two texts with the same beginning, as in sdz and sdaa, the shorter comes first.
            let isSameKind = one.text.prefix(2) == other.text.prefix(2)
            if !one.isNumber, !isSameKind { return one.text < other.text }
            if one.number != other.number { return one.number < other.number }
            if one.text != other.text { return one.text < other.text }
        }
        return left.count < right.count
    }
}
