// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// Volumes that end too early, at every byte of what is read first and in many places behind, or at every byte in a long
/// run (COLDCLONE_FLIPS): an error, no trap.
@Suite(
    .enabled(
        if: Tool.isInstalled(
            "mke2fs", "mkfs.vfat", "mcopy", "mkntfs", "ntfscp", "mkfs.exfat", "mkfs.xfs", "mkfs.btrfs"),
        "a tool that makes file systems is not installed"))
struct TruncationTests {
    /// A volume of which only the beginning is there.
    private struct Short: BlockSource {
        let name = "short"
        let base: FileSource
        let lengthInBytes: Int64
        let logicalSectorSize = 512
        let physicalSectorSize = 512

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            try checkRange(offset, buffer.count)
            try base.read(into: buffer, at: offset)
        }
    }

    /// How a small volume is made in `$1`, and where its superblock lies.
    struct Kind: Sendable, CustomTestStringConvertible {
        var type: String
        var script: String
        var superblock: ClosedRange<Int64> = 0...2100
        var testDescription: String { type }
    }

    static let kinds = [
        Kind(type: "ext4", script: "mke2fs -q -t ext4 -b 1024 -d tree \"$1\" 4M"),
        Kind(
            type: "vfat",
            script: "mkfs.vfat -s 1 -F 16 -C \"$1\" 4300 && mcopy -s -i \"$1\" tree/folder tree/file ::"),
        Kind(
            type: "ntfs",
            script: "truncate -s 4M \"$1\" && mkntfs --force -q -Q \"$1\" && ntfscp -q \"$1\" tree/file file"),
        Kind(type: "exfat", script: "truncate -s 4M \"$1\" && mkfs.exfat \"$1\""),
        Kind(type: "xfs", script: "truncate -s 300M \"$1\" && mkfs.xfs -q \"$1\""),
        Kind(
            type: "btrfs",
            script: "truncate -s 16M \"$1\" && mkfs.btrfs -q -M --rootdir tree \"$1\"",
            superblock: 65536...69700),
    ]

    @Test(arguments: kinds)
    func endsWithAnErrorAtMost(_ kind: Kind) throws {
        let folder = try TemporaryFolder()
        let file = folder.file("volume")
        let tree =
            "cd \"$2\"; mkdir -p tree/folder; echo text >tree/folder/text; head -c 70000 /dev/urandom >tree/file; "
        try Tool.output("sh", ["-e", "-c", "{ \(tree)\(kind.script); } >/dev/null", "sh", file, folder.path])
        let base = try FileSource(file)
        let end = base.lengthInBytes
        let whole = try #require(try FileSystemKind.open(Short(base: base, lengthInBytes: end), type: kind.type))
        #expect(Damage.look(at: whole) > 0)
        var lengths = Array(0...2100) + Array(kind.superblock)
        let step = SpaceLies.factor > 1 ? 1 : 509
        lengths += Array(stride(from: 2100, to: min(end, 4 << 20), by: step)) + [end - 512, end - 1]
        for length in lengths {
            let reader = try? FileSystemKind.open(Short(base: base, lengthInBytes: length), type: kind.type)
            // Not even its superblock is whole.
            if length < 512 { #expect(reader == nil, "\(length)") }
            if let reader { Damage.look(at: reader, most: 20) }
        }
    }
}
