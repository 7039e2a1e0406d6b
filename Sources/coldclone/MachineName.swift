// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// The name a clone gets when none is given.
enum MachineName {
    /// Returns the DMI serial number, or nil where the firmware has none worth the name.
    ///
    /// sysfs, class/dmi/id.
    static var serial: String? {
        guard let text = try? SmallFile.text("/sys/class/dmi/id/product_serial", limit: 4096) else { return nil }
        let serial = text.filter { !$0.isWhitespace }
        let placeholders = [
            "", "none", "notspecified", "tobefilledbyo.e.m.", "systemserialnumber", "0", "defaultstring",
        ]
        return placeholders.contains(serial.lowercased()) ? nil : serial
    }
}
