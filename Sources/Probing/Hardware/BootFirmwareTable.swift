// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The iSCSI boot firmware table as the kernel shows it: Documentation/ABI/testing/sysfs-ibft.
struct BootFirmwareTable {
    let sysroot: Sysroot

    private static let folder = "/sys/firmware/ibft"

    /// The folder of each target that says what it is.
    private var folders: [String] {
        sysroot.names(in: Self.folder).prefix(64).filter { $0.hasPrefix("target") }.map { "\(Self.folder)/\($0)" }
            .filter { sysroot.text("\($0)/target-name") != nil && sysroot.text("\($0)/ip-addr") != nil }
    }

    /// Fills in what the firmware boots from over iSCSI; secrets are not read.
    func read(into inventory: inout ISCSIInventory) {
        let folder = Self.folder
        inventory.bootInitiator = sysroot.text("\(folder)/initiator/initiator-name")
        for target in folders {
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

    /// Keeps the CHAP accounts of the targets that `read` found; all else leaves them unread.
    func keepAccounts(in secrets: ISCSISecrets) {
        var inventory = ISCSIInventory()
        read(into: &inventory)
        for (target, folder) in zip(inventory.boot, folders) {
            func side(_ user: String, _ password: String) -> ISCSISecrets.Account.Side? {
                .init(user: sysroot.text("\(folder)/\(user)"), password: sysroot.text("\(folder)/\(password)"))
            }
            guard let initiator = side("chap-name", "chap-secret") else { continue }
            secrets.add(
                .init(initiator: initiator, target: side("rev-chap-name", "rev-chap-name-secret")), of: target)
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
