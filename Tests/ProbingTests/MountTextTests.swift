// SPDX-License-Identifier: GPL-3.0-or-later

internal import CLinux
internal import Testing

@testable internal import Probing

/// Lines of mountinfo as the kernel writes them, and as nobody should.
struct MountTextTests {
    @Test func readsWhatTheKernelWrites() throws {
        let mounts = BlockStack.parseMounts(
            """
            28 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
            40 28 259:17 / /mnt/with\\040space rw shared:7 master:3 - xfs /dev/nvme0n1p1 rw,attr2
            41 28 0:45 / /data ro,relatime - btrfs /dev/sdc rw,ssd
            42 28 7:0 / /iso ro,relatime - iso9660 /dev/loop0 ro,norock

            """)
        #expect(mounts.map(\.device) == [cl_makedev(8, 2), cl_makedev(259, 17), cl_makedev(0, 45), cl_makedev(7, 0)])
        #expect(mounts.map(\.mountPoint) == ["/", "/mnt/with space", "/data", "/iso"])
        #expect(mounts.map(\.source) == ["/dev/sda2", "/dev/nvme0n1p1", "/dev/sdc", "/dev/loop0"])
        // A read-only mount point of a file system that is writable elsewhere proves nothing.
        #expect(mounts.map(\.isReadOnly) == [false, false, false, true])
    }

    @Test(arguments: [
        "", " ", "-", "- - - - - - - - - -", "28 1 8:2 / / rw - ext4", "28 1 8:2 / / rw shared:1 - ext4 /dev/sda2",
        "28 1 8 / / rw x - ext4 /dev/sda2 rw", "28 1 8:2:3 / / rw x - ext4 /dev/sda2 rw",
        "28 1 -8:2 / / rw x - ext4 /dev/sda2 rw", "28 1 8:4294967296 / / rw x - ext4 /dev/sda2 rw",
        "28 1 : / / rw x - ext4 /dev/sda2 rw", "28 1 a:b / / rw x - ext4 /dev/sda2 rw", "\0\0\0 \0 \0 \0 \0 \0 \0 \0 -",
        "28 1 8:2 / / rw a b c d e f g h i j k l m n",
    ])
    func leavesOutWhatItCannotRead(line: String) {
        let good = "28 1 8:2 / /good rw x - ext4 /dev/sda2 rw"
        #expect(BlockStack.parseMounts("\(line)\n\(good)\n").map(\.mountPoint) == ["/good"])
    }

    @Test func everyTruncationEndsWell() {
        let line = "40 28 259:17 / /mnt/with\\040space rw shared:7 - xfs /dev/nvme0n1p1 rw,attr2"
        for length in 0...line.utf8.count {
            #expect(BlockStack.parseMounts(String(line.prefix(length))).count <= 1)
        }
    }

    @Test func undoesTheKernelsEscapes() {
        let cases = [
            ("/a\\040b", "/a b"), ("\\011\\012\\134", "\t\n\\"), ("\\", "\\"), ("\\0", "\\0"), ("\\04", "\\04"),
            ("\\999", "\\999"), ("\\400", "\\400"), ("\\377", "\u{fffd}"), ("\\+12", "\\+12"), ("\\-01", "\\-01"),
            ("\\134040", "\\040"), ("ü\\040ü", "ü ü"), ("", ""),
        ]
        for (text, expected) in cases { #expect(BlockStack.unescape(text) == expected, "\(text)") }
    }
}
