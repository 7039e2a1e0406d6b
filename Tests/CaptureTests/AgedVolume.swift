// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport

/// A volume in a file, made by its real mkfs, filled, and aged: files came and went, so that free space is not zero.
struct AgedVolume {
    /// What can be made; `none` is content that nobody knows.
    enum Kind: String, CaseIterable {
        case ext2, ext3, ext4, xfs, btrfs, ntfs, vfat, exfat, swap, none

        /// Smallest volume that its mkfs makes, in MiB.
        var minimumSize: Int {
            switch self {
            case .xfs: return 300
            case .btrfs: return 120
            default: return 40
            }
        }
    }

    let kind: Kind
    let file: String
    /// Length in bytes.
    let length: Int64
    /// Bytes that are in use, as the system that filled it says.
    private(set) var used: Int64 = 0
    /// SHA-256 of each of its files, as sha256sum(1) lists them.
    private(set) var listing = ""

    /// Makes a volume of `size` MiB in the new file `file`.
    init(_ kind: Kind, size: Int, file: String, using generator: inout SeededGenerator) throws {
        self.kind = kind
        self.file = file
        length = Int64(size) << 20
        try Tool.output("truncate", ["-s", "\(size)M", file])
        try format(&generator)
        switch kind {
        case .swap: used = 1 << 20
        case .none:
            try Tool.output("dd", ["if=/dev/urandom", "of=\(file)", "bs=1M", "count=\(size)", "status=none"])
            used = length
        case .vfat: try fillByMtools(&generator)
        default: try fillMounted(&generator)
        }
    }

    private func format(_ generator: inout SeededGenerator) throws {
        func any(_ choices: [[String]]) -> [String] { choices.randomElement(using: &generator) ?? [] }
        switch kind {
        case .ext2, .ext3, .ext4:
            let sizes = any([["-b", "1024"], ["-b", "2048"], ["-b", "4096"]])
            let features =
                kind == .ext4
                ? any([[], ["-O", "^metadata_csum"], ["-O", "bigalloc"], ["-O", "^64bit,^flex_bg"]]) : []
            try Tool.output("mkfs.\(kind)", ["-q", "-F"] + sizes + features + [file])
        case .xfs:
            let options = any([
                [], ["-m", "crc=0"], ["-b", "size=1024"], ["-m", "rmapbt=1,reflink=1"], ["-s", "size=4096"],
            ])
            try Tool.output("mkfs.xfs", ["-q", "-f"] + options + [file])
        case .btrfs: try Tool.output("mkfs.btrfs", ["-q", "-f"] + any([[], ["--mixed"], ["-m", "single"]]) + [file])
        case .ntfs:
            let cluster = any([["-c", "4096"], ["-c", "512"], ["-c", "65536"]])
            try Tool.output(
                "mkntfs", ["-q", "-F", "-Q", "-s", "512", "-p", "0", "-H", "0", "-S", "0"] + cluster + [file])
        case .vfat: try Tool.output("mkfs.vfat", any([["-F", "16"], ["-F", "32", "-s", "1"]]) + [file])
        case .exfat: try Tool.output("mkfs.exfat", any([[], ["-c", "32K"]]) + [file])
        case .swap:
            // What a system has left there.
            try Tool.output(
                "dd", ["if=/dev/urandom", "of=\(file)", "bs=1M", "count=30", "conv=notrunc", "status=none"])
            try Tool.output("mkswap", ["-q", file])
        case .none: break
        }
    }

    /// Writes files into the current folder of a shell and removes half of them, in rounds.
    private static func life(_ generator: inout SeededGenerator) -> String {
        let seed = Int.random(in: 1...32000, using: &generator)
        return """
            set -e; RANDOM=\(seed)
            for round in 1 2 3; do
                mkdir -p d$round/e
                for i in $(seq 30); do
                    head -c $((RANDOM * (RANDOM % 24 + 1))) /dev/urandom >d$round/f$i
                    head -c $((RANDOM % 3000)) /dev/urandom >d$round/e/small$i
                done
                for i in $(seq $((RANDOM % 2 + 1)) 2 30); do rm d$round/f$i; done
                sync -f . || true
            done
            rm -r d2/e
            """
    }

    private static let list = "find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum"

    private mutating func fillMounted(_ generator: inout SeededGenerator) throws {
        let folder = try TemporaryFolder()
        let mount = try Self.mount(kind, file, at: folder.path, isReadOnly: false)
        try withExtendedLifetime(mount) {
            try Tool.output("bash", ["-c", "cd \(folder.path) && \(Self.life(&generator))"])
            listing = try Tool.output("bash", ["-c", "cd \(folder.path) && \(Self.list)"])
            let numbers = try Tool.output("stat", ["-f", "-c", "%b %f %S", folder.path]).split(separator: " ")
                .compactMap {
                    Int64($0.filter(\.isNumber))
                }
            used = (numbers[0] - numbers[1]) * numbers[2]
        }
    }

    private mutating func fillByMtools(_ generator: inout SeededGenerator) throws {
        let folder = try TemporaryFolder()
        try Tool.output("bash", ["-c", "cd \(folder.path) && \(Self.life(&generator))"])
        try Tool.output(
            "bash", ["-c", "head -c 9M /dev/urandom >\(folder.path)/goes; mcopy -s -i \(file) \(folder.path)/* ::"])
        try Tool.output("mdel", ["-i", file, "::goes"])
        listing = try Self.listing(.vfat, file)
        let sizes = try Tool.output("bash", ["-c", "du -s --block-size=1 \(folder.path) | cut -f1"])
        used = (Int64(sizes.filter(\.isNumber)) ?? 0) + 4 << 20
    }

    private static func mount(_ kind: Kind, _ file: String, at folder: String, isReadOnly: Bool) throws -> Mount {
        let types: [Kind: String] = [.ntfs: "ntfs-3g", .exfat: "exfat-fuse"]
        var options = isReadOnly ? "ro" : "rw"
        if isReadOnly, kind == .xfs { options += ",norecovery" }
        let loop = try LoopDevice(file)
        return try Mount(["-t", types[kind] ?? kind.rawValue, "-o", options, loop.path], at: folder, keeping: loop)
    }

    /// Lists the files of the volume in `file`, mounted read-only.
    static func listing(_ kind: Kind, _ file: String) throws -> String {
        let folder = try TemporaryFolder()
        guard kind != .vfat else {
            try Tool.output("bash", ["-c", "mcopy -s -n -i \(file) ::/* \(folder.path)/"])
            return try Tool.output("bash", ["-c", "cd \(folder.path) && \(list)"])
        }
        let mount = try mount(kind, file, at: folder.path, isReadOnly: true)
        return try withExtendedLifetime(mount) { try Tool.output("bash", ["-c", "cd \(folder.path) && \(list)"]) }
    }

    /// Has the file system on `file` looked at by its own checker, which changes nothing.
    static func check(_ kind: Kind, _ file: String) throws {
        switch kind {
        case .ext2, .ext3, .ext4: try Tool.output("e2fsck", ["-f", "-n", file])
        case .xfs: try Tool.output("xfs_repair", ["-n", "-f", file])
        case .btrfs: try Tool.output("btrfs", ["check", "--readonly", file])
        case .ntfs: try Tool.output("ntfsinfo", ["-m", file])
        case .vfat: try Tool.output("fsck.vfat", ["-n", file])
        case .exfat: try Tool.output("fsck.exfat", ["-n", file])
        case .swap: try Tool.output("swaplabel", [file])
        case .none: break
        }
    }
}
