// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import CLinux

extension BlockStack {
    /// Returns the world wide names of the disks that the file system of `folder` lies on, as the kernel tells them.
    ///
    /// By these a LUN is recognised that this program reaches by itself, and the kernel as well. sysfs,
    /// Documentation/ABI/stable/sysfs-block, `device/wwid`; NVMe has it one level up.
    public func worldWideNames(beneath folder: String) throws(BlockError) -> Set<String> {
        var names: Set<String> = []
        for case .device(let number) in layers(underDevice: try Folder.deviceNumber(of: folder)) {
            let device = "/sys/dev/block/\(cl_major(number)):\(cl_minor(number))"
            for path in ["\(device)/device/wwid", "\(device)/wwid"] {
                guard let text = try? SmallFile.text(path, limit: 4096) else { continue }
                let name = text.filter { !$0.isNewline }
                if !name.isEmpty { names.insert(name) }
            }
        }
        return names
    }
}
