// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Which files a clone's folder has, and which it should have.
struct FolderListing {
    /// Files of a clone that belong to no single disk.
    static let ownFiles: Set = [
        Manifest.fileName, "\(Manifest.fileName).sig", Receipt.fileName, CloneEvent.fileName, DomainXML.fileName,
    ]
    /// Most unexpected files that are named.
    private static let maximumNamed = 50

    /// Returns a warning for each thing in `names` that a clone of `manifest` does not have, and for what nobody checks.
    static func warnings(names: [String], manifest: Manifest) -> [String] {
        var expected = ownFiles
        for disk in manifest.disks {
            expected.formUnion([disk.image.file, disk.chunks.file, "\(disk.name).map"])
        }
        var warnings: [String] = []
        var unexpected = 0
        // An NFS client renames what is removed while it is open to .nfs*.
        for name in names where !expected.contains(name) && !name.hasPrefix(".nfs") {
            if name == Journal.fileName || manifest.disks.contains(where: { name == "\($0.name).journal" }) {
                warnings.append("\(name) is left over: the capture did not clean up behind itself")
                continue
            }
            unexpected += 1
            if unexpected <= maximumNamed {
                warnings.append("unexpected file \(name.debugDescription): it is no part of the clone")
            }
        }
        if unexpected > maximumNamed { warnings.append("\(unexpected - maximumNamed) more unexpected files") }
        if names.contains("\(Manifest.fileName).sig") {
            warnings.append("\(Manifest.fileName).sig was not checked: this release checks no signatures")
        }
        return warnings
    }
}
