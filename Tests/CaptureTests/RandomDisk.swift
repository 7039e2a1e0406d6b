// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport

/// A disk with a random layout of aged volumes: GPT or MBR, partitions, and logical volumes that LVM itself placed.
struct RandomDisk {
    /// A volume, and where on the disk it lies.
    struct Placed {
        var volume: AgedVolume
        /// Ranges of the disk, in the volume's order.
        var pieces: [Range<Int64>]
    }

    let file: String
    let length: Int64
    private(set) var volumes: [Placed] = []
    /// Bytes that must be read whatever the volumes say: tables, gaps, metadata of LVM.
    private(set) var overhead: Int64 = 0

    /// What `seed` says, in `folder`.
    init(seed: UInt64, in folder: TemporaryFolder) throws {
        var generator = SeededGenerator(seed: seed)
        file = folder.file("disk.img")
        let count = Int.random(in: 1...3, using: &generator)
        let group = Bool.random(using: &generator) ? Int.random(in: 0..<count, using: &generator) : -1
        var sizes: [Int] = []
        var kinds: [AgedVolume.Kind?] = []
        for index in 0..<count {
            let kind = AgedVolume.Kind.allCases.randomElement(using: &generator) ?? .ext4
            kinds.append(index == group ? nil : kind)
            let size = kind.minimumSize + Int.random(in: 0...80, using: &generator)
            sizes.append(index == group ? 560 : size)
        }
        let total = sizes.reduce(8, +)
        length = Int64(total) << 20
        try Tool.output("truncate", ["-s", "\(total)M", file])
        let isGPT = Bool.random(using: &generator)
        var script = "label: \(isGPT ? "gpt" : "dos")\n"
        var start = 1
        for (index, size) in sizes.enumerated() {
            let type = kinds[index] == nil ? ", type=\(isGPT ? "E6D6D379-F507-44C2-A23C-238F2A3DF928" : "8e")" : ""
            script += "start=\(start)MiB, size=\(size)MiB\(type)\n"
            start += size
        }
        try Tool.output("bash", ["-c", "sfdisk -q \(file) <<'END'\n\(script)END"])
        // Free space between table and partitions, and behind them.
        overhead = 8 << 20
        start = 1
        for (index, size) in sizes.enumerated() {
            let first = Int64(start) << 20
            if let kind = kinds[index] {
                let volume = try AgedVolume(kind, size: size, file: folder.file("volume\(index)"), using: &generator)
                try place(volume, [first..<first + volume.length])
            } else {
                try addGroup(at: first, length: Int64(size) << 20, folder, &generator)
            }
            start += size
        }
    }

    private mutating func place(_ volume: AgedVolume, _ pieces: [Range<Int64>]) throws {
        var position: Int64 = 0
        for piece in pieces {
            let count = piece.upperBound - piece.lowerBound
            try Self.copy(volume.file, position, to: file, piece.lowerBound, count)
            position += count
        }
        try Tool.output("rm", [volume.file])
        volumes.append(Placed(volume: volume, pieces: pieces))
    }

    private static func copy(_ from: String, _ skip: Int64, to: String, _ seek: Int64, _ count: Int64) throws {
        try Tool.output(
            "dd",
            [
                "if=\(from)", "of=\(to)", "bs=1M", "iflag=skip_bytes,count_bytes", "oflag=seek_bytes", "skip=\(skip)",
                "seek=\(seek)", "count=\(count)", "conv=notrunc,sparse", "status=none",
            ])
    }

    /// Writes the bytes of a volume of `image`, a copy of this disk, to `output`.
    static func extract(_ placed: Placed, from image: String, to output: String) throws {
        try Tool.output("truncate", ["-s", "\(placed.volume.length)", output])
        var position: Int64 = 0
        for piece in placed.pieces {
            try copy(image, piece.lowerBound, to: output, position, piece.upperBound - piece.lowerBound)
            position += piece.upperBound - piece.lowerBound
        }
    }

    /// Has LVM make a volume group on a part of the disk, with volumes that came and went.
    ///
    /// Without a device-mapper LVM still writes its metadata; where the extents lie, its own report says.
    private mutating func addGroup(
        at first: Int64, length: Int64, _ folder: TemporaryFolder, _ generator: inout SeededGenerator
    ) throws {
        let physical = folder.file("physical.img")
        try Tool.output("truncate", ["-s", "\(length)", physical])
        // What was there before: extents that no volume has now are not zero.
        try Tool.output(
            "dd", ["if=/dev/urandom", "of=\(physical)", "bs=1M", "seek=400", "count=20", "conv=notrunc", "status=none"])
        let name = "vg\(generator.next() % 1_000_000)"
        let device = try LoopDevice(physical)
        func lvm(_ arguments: [String]) throws -> String {
            let configuration = """
                devices { obtain_device_list_from_udev=0 use_devicesfile=0 filter=["a|^\(device.path)$|","r|.*|"] } \
                activation { udev_sync=0 udev_rules=0 monitoring=0 } backup { backup=0 archive=0 }
                """
            return try Tool.output("lvm", arguments + ["--driverloaded", "n", "--config", configuration])
        }
        func create(_ volume: String, _ size: Int) throws {
            _ = try lvm(["lvcreate", "-q", "-an", "-Zn", "-Wn", "-L", "\(size)M", "-n", volume, name])
        }
        _ = try lvm(["pvcreate", "-q", device.path])
        _ = try lvm(["vgcreate", "-q", "-s", "\([1, 4, 16].randomElement(using: &generator) ?? 4)M", name, device.path])
        try create("gone", 32)
        try create("first", 64)
        _ = try lvm(["lvremove", "-q", "-y", "\(name)/gone"])
        // Larger than the gap that was left: it lies in two pieces.
        try create("second", 128)
        let kinds: [AgedVolume.Kind] = [.ext4, .ext3, .btrfs, .ntfs, .swap]
        for (volume, size) in [("first", 64), ("second", 128)] {
            let kind = kinds.filter { $0.minimumSize <= size }.randomElement(using: &generator) ?? .ext4
            let report = try lvm(
                [
                    "lvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "seg_pe_ranges,vg_extent_size",
                    "--segments", "\(name)/\(volume)",
                ])
            let start = try lvm(["pvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "pe_start", device.path])
            let base = Int64(start.filter(\.isNumber)) ?? 0
            var pieces: [Range<Int64>] = []
            for line in report.split(separator: "\n") {
                let fields = line.split(separator: " ")
                guard fields.count == 2, let range = fields[0].split(separator: ":").last?.split(separator: "-"),
                    range.count == 2, let low = Int64(range[0]), let high = Int64(range[1]),
                    let extent = Int64(fields[1])
                else { throw ToolError("lvs said \(line)") }
                pieces.append(first + base + low * extent..<first + base + (high + 1) * extent)
            }
            let aged = try AgedVolume(kind, size: size, file: folder.file("\(volume).img"), using: &generator)
            guard pieces.reduce(0, { $0 + $1.upperBound - $1.lowerBound }) == aged.length else {
                throw ToolError("lvs said \(report)")
            }
            try place(aged, pieces)
        }
        // The group's metadata, last: they lie where no volume does.
        try Self.copyMetadata(physical, to: file, first)
        overhead += 2 << 20
        try Self.copy(physical, 400 << 20, to: file, first + 400 << 20, 20 << 20)
    }

    private static func copyMetadata(_ physical: String, to file: String, _ first: Int64) throws {
        try copy(physical, 0, to: file, first, 1 << 20)
    }
}
