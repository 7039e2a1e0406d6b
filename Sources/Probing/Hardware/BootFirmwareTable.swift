// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The iSCSI boot firmware table as the kernel shows it: Documentation/ABI/testing/sysfs-ibft.
struct BootFirmwareTable {
    let sysroot: Sysroot

    /// Fills in what the firmware boots from over iSCSI; secrets are not read.
    func read(into inventory: inout ISCSIInventory) {
        let folder = "/sys/firmware/ibft"
        let names = sysroot.names(in: folder).prefix(64)
        inventory.bootInitiator = sysroot.text("\(folder)/initiator/initiator-name")
        for name in names where name.hasPrefix("target") {
            let target = "\(folder)/\(name)"
            guard let iqn = sysroot.text("\(target)/target-name"), let address = sysroot.text("\(target)/ip-addr")
            else { continue }
            let port = sysroot.number("\(target)/port") ?? 3260
            let host = address.contains(":") ? "[\(address)]" : address
            var found = ISCSITarget(name: iqn, portal: "\(host):\(port)")
            found.lun = sysroot.text("\(target)/lun").flatMap(Self.lun)
            found.user = sysroot.text("\(target)/chap-name")
            let interface = "\(folder)/ethernet\(sysroot.number("\(target)/nic-assoc") ?? 0)"
            found.localAddress = sysroot.text("\(interface)/ip-addr")
            found.localMac = sysroot.text("\(interface)/mac")?.lowercased()
            inventory.boot.append(found)
        }
    }

    /// Reads eight bytes, each of two hexadecimal digits or each of one: drivers/firmware/iscsi_ibft.c pads none.
    ///
    /// SAM-5, 4.7.7: the upper bits of the first byte tell whether the number has one byte or fourteen bits.
    static func lun(_ text: String) -> UInt64? {
        guard text.allSatisfy(\.isHexDigit), [8, 16].contains(text.utf8.count), let value = UInt64(text, radix: 16)
        else { return nil }
        let bits = UInt64(text.utf8.count / 2)
        let mask: UInt64 = 1 << bits - 1
        let (first, second) = (value >> (bits * 7) & mask, value >> (bits * 6) & mask)
        switch first >> 6 {
        case 0: return second
        case 1: return (first & 0x3f) << 8 | second
        default: return nil
        }
    }
}
