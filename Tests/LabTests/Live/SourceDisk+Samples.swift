// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport

extension SourceDisks {
    /// Makes `count` small disks `d0`, `d1`, …, each with an ext4 in a partition, and `content` MiB of its own.
    ///
    /// With sectors of 4096 bytes, which sgdisk(8) has no way to say for a file, the file system is the whole disk.
    static func samples(_ count: Int, mebibytes: Int = 48, content: Int = 24, sectorSize: Int = 512) throws
        -> SourceDisks
    {
        let folder = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let offset = sectorSize == 512 ? 1 : 0
        let images = try (0..<count).map { number in
            let image = folder.file("sample\(number)")
            // So many MiB that do not compress, and that no other disk has.
            let make = """
                mkdir \(image).files
                head -c \(content)M /dev/zero | openssl enc -aes-128-ctr -K \(String(repeating: "\(number)", count: 32)) -iv 00 \
                    2>\(image).log >\(image).files/data
                truncate -s \(mebibytes)M \(image)
                \(offset == 0 ? ":" : "sgdisk --new=1:1M:0 \(image)")
                mkfs.ext4 -q -F -b 4096 -E offset=$((\(offset) << 20)) -d \(image).files \(image) \((mebibytes - 2) * 256)
                rm -r \(image).files
                """
            try Tool.output("bash", ["-euc", make])
            return image
        }
        return try SourceDisks(images)
    }
}
