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

    /// Eight bytes as SAM-4 4.9.7 has them, in hexadecimal digits; of the first level, flat or peripheral.
    private static func lun(_ text: String) -> UInt64? {
        let digits = text.filter(\.isHexDigit)
        guard let value = UInt64(digits, radix: 16) else { return nil }
        return digits.count == 16 ? value >> 48 & 0x3fff : value
    }
}
