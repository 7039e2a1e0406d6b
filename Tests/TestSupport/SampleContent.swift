// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc

/// Disk contents that tests use.
public enum SampleContent {
    /// Kinds of content, each with what it is to provoke.
    public enum Kind: String, Sendable, CaseIterable {
        /// Nothing but zeros, as one hole.
        case empty
        /// Random bytes throughout: nothing to skip or compress.
        case random
        /// Text that compresses, random bytes, written zeros and holes in turns, at odd offsets.
        case mixed
    }

    /// Returns `length` bytes of `kind`, the same for the same seed.
    public static func bytes(_ kind: Kind, length: Int, seed: UInt64 = 1) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        switch kind {
        case .empty: return [UInt8](repeating: 0, count: length)
        case .random: return generator.bytes(length)
        case .mixed:
            var bytes: [UInt8] = []
            bytes.reserveCapacity(length)
            while bytes.count < length {
                let count = min(Int.random(in: 1...400_000, using: &generator), length - bytes.count)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes += generator.bytes(count)
                case 1:
                    let line = Array("line \(generator.next() % 1000) of a log that compresses well\n".utf8)
                    // By doubling: a loop over bytes takes seconds in a debug build.
                    var text = line
                    while text.count < count { text += text }
                    bytes += text[..<count]
                default: bytes += [UInt8](repeating: 0, count: count)
                }
            }
            return bytes
        }
    }

    /// Writes `bytes` to a new file, runs of zero blocks of 4096 bytes as holes, and returns its path.
    @discardableResult
    public static func write(_ bytes: [UInt8], to path: String) throws -> String {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ToolError("cannot create \(path): errno \(errno)") }
        defer { close(descriptor) }
        try bytes.withUnsafeBytes { buffer in
            for start in stride(from: 0, to: buffer.count, by: 4096) {
                let block = UnsafeRawBufferPointer(rebasing: buffer[start..<min(start + 4096, buffer.count)])
                guard !block.isAllZero else { continue }
                guard pwrite(descriptor, block.baseAddress, block.count, off_t(start)) == block.count else {
                    throw ToolError("cannot write \(path): errno \(errno)")
                }
            }
        }
        guard ftruncate(descriptor, off_t(bytes.count)) == 0 else { throw ToolError("ftruncate: errno \(errno)") }
        return path
    }
}

extension [UInt8] {
    /// Returns the index of the first byte that is not as in `other`, nil when both are the same.
    ///
    /// For expectations: at the speed of memcmp(3), and a failure prints a number, not megabytes.
    public func firstDifference(from other: ArraySlice<UInt8>) -> Int? {
        withUnsafeBytes { mine in
            other.withUnsafeBytes { theirs in
                let common = Swift.min(mine.count, theirs.count)
                if let one = mine.baseAddress, let two = theirs.baseAddress, memcmp(one, two, common) != 0 {
                    return (0..<common).first { mine[$0] != theirs[$0] }
                }
                return mine.count == theirs.count ? nil : common
            }
        }
    }

    /// Returns the index of the first byte that is not as in `other`, nil when both are the same.
    public func firstDifference(from other: [UInt8]) -> Int? { firstDifference(from: other[...]) }
}
