// SPDX-License-Identifier: GPL-3.0-or-later

internal import CBlkid
internal import CDeflate
internal import CISCSI
internal import CParted
internal import CZlib
internal import CZstd
internal import CloneFormat

/// This release, and the libraries linked into it.
enum Version {
    static let program = Program(name: "coldclone", version: "0.1.0")

    /// What `--version` prints: the program, then a library a line, each asked for its own version.
    static var text: String {
        var blkid: UnsafePointer<CChar>?
        blkid_get_library_version(&blkid, nil)
        return """
            \(program.name) \(program.version)
            libblkid \(blkid.map { String(cString: $0) } ?? "?")
            libparted \(ped_get_version().map { String(cString: $0) } ?? "?")
            libiscsi \(iscsi)
            zlib \(zlibVersion().map { String(cString: $0) } ?? "?")
            libdeflate \(LIBDEFLATE_VERSION_STRING)
            zstd \(ZSTD_versionString().map { String(cString: $0) } ?? "?")
            """
    }

    /// libiscsi has no call that tells its version: a context it makes shows that it is there, its header the API.
    private static var iscsi: String {
        guard let context = iscsi_create_context("iqn.2026-11.org.coldclone:version") else { return "?" }
        defer { iscsi_destroy_context(context) }
        return "API \(LIBISCSI_API_VERSION)"
    }
}
