// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// The name that this machine gives itself towards targets.
public enum InitiatorName {
    /// Where open-iscsi keeps the machine's name.
    public static let path = "/etc/iscsi/initiatorname.iscsi"

    /// Returns the name in `root`'s configuration of open-iscsi, else one made of the machine's UUID.
    ///
    /// The same machine gets the same name each time, so that it can be admitted at the target.
    public static func resolve(root: String = "") -> ISCSIName {
        if let text = try? SmallFile.text(root + path, limit: 64 << 10), let name = parse(text) { return name }
        let sources = ["/sys/class/dmi/id/product_uuid", "/etc/machine-id"]
        let machine = sources.lazy.compactMap { source -> String? in
            let text = (try? SmallFile.text(root + source, limit: 4096))?.lowercased() ?? ""
            let plain = text.filter { $0.isASCII && ($0.isHexDigit || $0 == "-") }
            return plain.count >= 32 ? plain : nil
        }.first
        let prefix = "iqn.2026-11.org.coldclone"
        return ISCSIName("\(prefix):\(machine ?? "agent")") ?? ISCSIName(unchecked: prefix)
    }

    /// Returns the name in the text of initiatorname.iscsi, nil when there is none: `InitiatorName=iqn.…`.
    ///
    /// iscsid(8).
    public static func parse(_ text: String) -> ISCSIName? {
        for line in text.split(whereSeparator: \.isNewline) {
            let plain = line.filter { $0 != " " && $0 != "\t" }
            guard plain.hasPrefix("InitiatorName=") else { continue }
            return ISCSIName(plain.dropFirst("InitiatorName=".count))
        }
        return nil
    }
}
