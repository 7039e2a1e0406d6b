// SPDX-License-Identifier: GPL-3.0-or-later

/// Reading of whole small files with a bound, for manifests, job files and sysfs attributes.
public enum SmallFile {
    /// Returns the content of `path`, refusing more than `limit` bytes.
    ///
    /// - Throws: `BlockError` when it cannot be read, is no plain file, or is larger.
    public static func read(_ path: String, limit: Int) throws(BlockError) -> [UInt8] {
        let source = try FileSource(path, direct: .never)
        guard !source.isBlockDevice, source.lengthInBytes <= Int64(limit) else {
            throw BlockError(
                .read, path, .invalid("\(source.lengthInBytes) bytes are more than the \(limit) it may have"))
        }
        return try source.bytes(at: 0, count: Int(source.lengthInBytes))
    }
}
