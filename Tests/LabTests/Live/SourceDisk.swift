// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport

/// A disk of a machine, whose image must be after a run what it was before.
struct SourceDisk: Sendable {
    /// What a device names it by: `drive=<name>`.
    var name: String
    var path: String
    var format = "raw"

    var blockDevice: String {
        "driver=\(format),node-name=\(name),discard=unmap,file.driver=file,file.filename=\(path)"
    }
}

/// The disks of a machine as they were before it was switched on.
struct SourceDisks: Sendable {
    let disks: [SourceDisk]
    private let digests: [String]
    private let folder: TemporaryFolder

    /// Copies `images`, of `names`, as the machine's disks.
    ///
    /// Copies: what is kept for other tests stays as it is even when this one fails.
    init(_ images: [String], names: [String]? = nil) throws {
        let folder = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let names = names ?? images.indices.map { "d\($0)" }
        for (image, name) in zip(images, names) {
            try Tool.output("cp", ["--sparse=always", image, folder.file(name)])
        }
        self.folder = folder
        disks = names.map { SourceDisk(name: $0, path: folder.file($0)) }
        digests = try Self.digests(disks)
    }

    /// Whether not a bit of any disk has changed.
    func areUntouched() throws -> Bool { try Self.digests(disks) == digests }

    private static func digests(_ disks: [SourceDisk]) throws -> [String] {
        guard !disks.isEmpty else { return [] }
        return try Tool.output("sha256sum", disks.map(\.path)).split(separator: "\n").map(String.init)
    }
}
