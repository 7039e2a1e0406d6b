// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// Opening of a clone's files, with the problems that this may show.
enum OpenedFile {
    /// Opens `file` for checking past what the page cache holds of it, or says what is wrong and returns nil.
    static func open(
        _ file: String, in folder: PinnedFolder, disk: String, options: CloneVerification.Options, log: ProblemLog
    ) -> FileSource? {
        do throws(BlockError) {
            let source = try FileSource(file, in: folder, direct: options.freshness == .direct ? .always : .never)
            guard !source.isBlockDevice else {
                log.add(Problem(.image, "\(file) is a device, not a file of the clone", disk: disk, file: file))
                return nil
            }
            // In both cases: what is not aligned for direct reads goes through the cache.
            source.dropCache()
            source.expectSequentialReads()
            return source
        } catch {
            if error.isNotFound {
                log.add(Problem(.missingFile, "\(file) of \(disk) is missing", disk: disk, file: file))
            } else {
                log.add(Problem(.unreadable, error.description, disk: disk, file: file))
            }
            return nil
        }
    }

    /// Returns the problem of a file whose length is not the manifest's.
    static func wrongLength(_ file: String, disk: String, found: Int64, expected: Int64) -> Problem {
        Problem(
            .wrongLength, "\(file) has \(found) bytes where the manifest says \(expected)", disk: disk, file: file)
    }
}
