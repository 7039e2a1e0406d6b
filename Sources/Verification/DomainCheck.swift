// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// Holds `domain.xml` against the manifest's digest of it.
enum DomainCheck {
    /// Longest file that is read, in bytes.
    private static let maximumLength = 16 << 20

    /// Returns what is wrong with the domain in `folder`; nil when nothing is, or when the clone has none.
    static func problem(_ manifest: Manifest, folder: PinnedFolder) -> Problem? {
        let file = DomainXML.fileName
        guard let expected = manifest.domainDigest else { return nil }
        do throws(BlockError) {
            let found = Digest(of: try SmallFile.read(file, in: folder, limit: maximumLength))
            guard found != expected else { return nil }
            return Problem(.domain, "\(file) is not the one that the capture wrote: \(found)", file: file)
        } catch {
            let kind: Problem.Kind = error.isNotFound ? .missingFile : .unreadable
            return Problem(kind, error.isNotFound ? "\(file) is missing" : error.description, file: file)
        }
    }
}
