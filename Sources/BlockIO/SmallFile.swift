// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Reading of whole small files with a bound, for manifests, job files and sysfs attributes.
public enum SmallFile {
    /// Returns the content of `path`, refusing more than `limit` bytes; files of unknown length are read to their end.
    ///
    /// - Throws: `BlockError` when it cannot be read or is larger.
    public static func read(_ path: String, limit: Int) throws(BlockError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw BlockError(.open, path, .system(.current)) }
        return try read(descriptor, path, limit)
    }

    /// Returns the content of the file `name` of `folder`, refusing more than `limit` bytes and symbolic links.
    ///
    /// - Throws: `BlockError` when it cannot be read or is larger.
    public static func read(_ name: String, in folder: PinnedFolder, limit: Int) throws(BlockError) -> [UInt8] {
        try read(try folder.open(file: name), "\(folder.path)/\(name)", limit)
    }

    /// Reads `descriptor` to its end and closes it.
    private static func read(_ descriptor: Int32, _ path: String, _ limit: Int) throws(BlockError) -> [UInt8] {
        defer { close(descriptor) }
        var content: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            switch retryingOnInterrupt({ Glibc.read(descriptor, &piece, piece.count) }) {
            case .success(0): return content
            case .success(let count): content += piece[..<count]
            case .failure(let errno): throw BlockError(.read, path, .system(errno))
            }
            guard content.count <= limit else {
                throw BlockError(.read, path, .invalid("it is longer than the \(limit) bytes it may have"))
            }
        }
    }

    /// Returns the content of `path` as UTF-8 text, invalid bytes replaced, refusing more than `limit` bytes.
    public static func text(_ path: String, limit: Int) throws(BlockError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }
}
