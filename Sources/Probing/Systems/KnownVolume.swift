// SPDX-License-Identifier: GPL-3.0-or-later

/// A volume of this machine, with the names by which an installed system may call it.
public struct KnownVolume: Sendable, Hashable {
    /// What the inventory calls it: `/dev/sda1`.
    public var device: String
    /// libblkid's TYPE.
    public var type: String?
    /// UUID of the file system.
    public var uuid: String?
    /// Label of the file system.
    public var label: String?
    /// UUID of the partition.
    public var partitionUUID: String?
    /// Name of the partition.
    public var partitionLabel: String?
    /// LVM2 volume group.
    public var volumeGroup: String?
    /// LVM2 logical volume.
    public var logicalVolume: String?
    /// Other paths: `/dev/md/name`, links in /dev/disk/by-id and by-path.
    public var aliases: [String] = []

    /// Makes a volume of which only the name is known.
    public init(device: String) { self.device = device }

    /// Tells whether `source`, the first field of a line of fstab(5), names this volume.
    ///
    /// blkid(8), udev's links, and lvm(8): in /dev/mapper dashes of names are doubled.
    func isNamed(_ source: String) -> Bool {
        let source = Self.unescaped(source)
        for (tag, folder, value) in [
            ("UUID=", "by-uuid/", uuid), ("LABEL=", "by-label/", label), ("PARTUUID=", "by-partuuid/", partitionUUID),
            ("PARTLABEL=", "by-partlabel/", partitionLabel),
        ] {
            for prefix in [tag, "/dev/disk/" + folder] where source.hasPrefix(prefix) {
                guard let value, !value.isEmpty else { return false }
                let name = ConfigurationText.unquote(source.dropFirst(prefix.count))
                return tag.hasSuffix("UUID=") ? name.lowercased() == value.lowercased() : name == value
            }
        }
        if source == device || aliases.contains(source) { return true }
        guard let volumeGroup, let logicalVolume else { return false }
        return source == "/dev/\(volumeGroup)/\(logicalVolume)"
            || source == "/dev/mapper/\(Self.doubled(volumeGroup))-\(Self.doubled(logicalVolume))"
    }

    private static func doubled(_ name: String) -> String {
        name.split(separator: "-", omittingEmptySubsequences: false).joined(separator: "--")
    }

    /// Returns `text` with udev's `\x20` put back.
    private static func unescaped(_ text: String) -> String {
        guard text.contains("\\x") else { return text }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x"), rest.count >= 3,
                let value = UInt8(String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
