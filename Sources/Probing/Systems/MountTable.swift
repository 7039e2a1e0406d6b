// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// What an installed system mounts: its fstab and mount units.
///
/// fstab(5), systemd.mount(5). Options are looked at, never kept: they may hold passwords.
struct MountTable {
    /// A line, with what is needed of its options.
    struct Line {
        var entry: MountEntry
        /// The btrfs subvolume that is mounted.
        var subvolume: String?
    }

    /// Most lines that are kept.
    private static let maximumLines = 4096
    private static let networkTypes: Set<String> = [
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "curlftpfs", "davfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs",
        "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "sshfs",
    ]
    private static let pseudoTypes: Set<String> = [
        "autofs", "binfmt_misc", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
        "fusectl",
        "hugetlbfs", "ipathfs", "mqueue", "nfsd", "overlay", "overlayfs", "proc", "pstore", "ramfs", "rpc_pipefs",
        "securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs", "usbfs", "usbdevfs", "xenfs",
    ]

    private(set) var lines: [Line] = []
    private let volumes: [KnownVolume]

    init(volumes: [KnownVolume]) { self.volumes = volumes }

    /// Reads the text of an fstab.
    mutating func read(fstab text: String) {
        for line in ConfigurationText.lines(text) {
            let words = ConfigurationText.words(line)
            guard words.count >= 3 else { continue }
            add(
                source: BlockStack.unescape(words[0]), at: BlockStack.unescape(words[1]), type: words[2],
                options: words.count > 3 ? words[3] : "")
        }
    }

    /// Reads the text of a mount unit.
    mutating func read(unit text: String) {
        let sections = Sections(text)
        guard let source = sections.value("mount", "what"), let point = sections.value("mount", "where") else { return }
        add(
            source: source, at: point, type: sections.value("mount", "type") ?? "auto",
            options: sections.value("mount", "options") ?? "")
    }

    private mutating func add(source: String, at point: String, type: String, options: String) {
        guard lines.count < Self.maximumLines else { return }
        let options = options.split(separator: ",").map(String.init)
        let volume = volumes.first { $0.isNamed(source) }
        let entry = MountEntry(
            source: Self.withoutPassword(source), mountPoint: point, type: type,
            resolution: Self.resolution(source, type, options, volume), device: volume?.device)
        let subvolume = options.first { $0.hasPrefix("subvol=") }.map { String($0.dropFirst(7)) }
        guard !lines.contains(where: { $0.entry == entry && $0.subvolume == subvolume }) else { return }
        lines.append(Line(entry: entry, subvolume: subvolume))
    }

    private static func resolution(
        _ source: String, _ type: String, _ options: [String], _ volume: KnownVolume?
    ) -> String {
        if type == "swap" { return "swap" }
        if networkTypes.contains(type) { return "network" }
        if volume != nil { return "local" }
        if pseudoTypes.contains(type) || options.contains("bind") || options.contains("rbind") { return "pseudo" }
        let isTagged = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="].contains { source.hasPrefix($0) }
        if isTagged || source.hasPrefix("/dev/") {
            return options.contains("_netdev") ? "network" : "unresolved"
        }
        // A file of this system, mounted by a loop device.
        if source.hasPrefix("/"), !source.hasPrefix("//") { return "local" }
        if ["none", "proc", "sysfs", "tmpfs", "devpts"].contains(source) || type == "none" { return "pseudo" }
        let isRemote = source.hasPrefix("//") || source.contains(":/") || source.contains("://")
        return isRemote || options.contains("_netdev") ? "network" : "unresolved"
    }

    /// Returns `source` without what stands between a user's name and the host: `https://user:secret@host/`.
    static func withoutPassword(_ source: String) -> String {
        guard let slashes = source.firstRange(of: "//") else { return source }
        let rest = source[slashes.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        guard let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") else {
            return source
        }
        return String(source[..<colon]) + String(source[at...])
    }
}
