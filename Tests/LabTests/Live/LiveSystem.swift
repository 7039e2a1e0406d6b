// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport

/// The live system under test, as image-build/iso leaves it: the ISO, and beside it what a boot server hands out.
struct LiveSystem: Sendable {
    /// COLDCLONE_ISO, or where image-build/iso puts it.
    static let isoPath: String =
        getenv("COLDCLONE_ISO").map { String(cString: $0) } ?? "\(Fixtures.root)/.build/iso/coldclone.iso"

    /// Whether there is one; for `.enabled(if:)`.
    static let isBuilt: Bool = access(isoPath, R_OK) == 0

    /// Name of the file that `coldclone.root=` fetches.
    static let rootFile = "filesystem.squashfs"

    /// The folder of all of it.
    static let folder: String = String(isoPath[..<(isoPath.lastIndex(of: "/") ?? isoPath.startIndex)])

    let kernel = "\(folder)/vmlinuz"
    /// Archives that the boot loader hands over one after the other.
    let initramfs = ["\(folder)/initrd"]
    /// What makes the live system fetch its root needs one more.
    let networkInitramfs = ["\(folder)/initrd", "\(folder)/initrd-net"]
    /// The kernel command line, with the first serial port as the only console.
    let commandLine: [String]

    /// Reads what the build says of it.
    init() throws {
        let text = try SmallFile.text("\(Self.folder)/cmdline", limit: 4096)
        commandLine = text.split { $0 == " " || $0 == "\n" }.map(String.init) + ["console=ttyS0,115200"]
    }
}
