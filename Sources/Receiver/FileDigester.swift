// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Crypto
internal import Synchronization

/// Computes SHA-256 and SHA-512 of whole files, each algorithm on a thread of its own.
///
/// Files are read through the page cache in the order in which the verification reads them, so that the medium is read
/// once. Holes are not read but hashed from a buffer of zeros.
final class FileDigester: Sendable {
    /// The two algorithms of a receipt.
    enum Algorithm: Int, CaseIterable {
        case sha256, sha512
    }

    private struct File {
        var name: String
        var length: Int64
        /// Nil when the file is left out.
        var source: FileSource?
    }

    private static let pieceLength = 1 << 20

    private let files: [File]
    private let stop: [CancellationFlag]
    private let progress: ReceiverProgress
    private let results = Mutex<[[String?]]>([])
    private let finished = Mutex<Set<Int>>([])
    private let notes = Mutex<[String]>([])

    /// Opens `names` in `folder`; what cannot be opened has no digests, and the verification says why.
    init(
        names: [String], folder: PinnedFolder, policy: FileDigestPolicy, progress: ReceiverProgress,
        stop: [CancellationFlag]
    ) {
        var files: [File] = []
        var notes: [String] = []
        for name in names {
            guard let source = try? FileSource(name, in: folder, direct: .never), !source.isBlockDevice else {
                continue
            }
            var file = File(name: name, length: source.lengthInBytes, source: source)
            switch policy {
            case .always: break
            case .never: file.source = nil
            case .auto where Self.hasManyHoles(source):
                file.source = nil
                notes.append(
                    "\(name): file digests were left out, more than 64 GiB of it are holes; --file-digests always")
            case .auto: break
            }
            files.append(file)
        }
        if policy == .never { notes.append("file digests were left out, as asked") }
        self.files = files
        self.stop = stop
        self.progress = progress
        progress.begin(fileBytes: files.reduce(0) { $1.source == nil ? $0 : $0 &+ $1.length })
        self.notes.withLock { $0 = notes }
        results.withLock { $0 = Array(repeating: Array(repeating: nil, count: files.count), count: 2) }
    }

    /// Things to know about digests that are missing.
    var warnings: [String] { notes.withLock { $0 } }

    /// Every file with its digests.
    var digests: [FileDigests] {
        results.withLock { results in
            files.enumerated().map { index, file in
                FileDigests(
                    file: file.name, lengthInBytes: file.length, sha256: results[0][index], sha512: results[1][index])
            }
        }
    }

    /// Hashes all files; a second call for the same algorithm does nothing.
    func run(_ algorithm: Algorithm) {
        guard finished.withLock({ $0.insert(algorithm.rawValue).inserted }) else { return }
        for (index, file) in files.enumerated() {
            guard let source = file.source else { continue }
            let digest: [UInt8]?
            do throws(BlockError) {
                switch algorithm {
                case .sha256: digest = try hash(source, with: SHA256.self, algorithm)
                case .sha512: digest = try hash(source, with: SHA512.self, algorithm)
                }
            } catch {
                notes.withLock { $0.append("\(file.name): no \(algorithm) of the file: \(error.description)") }
                continue
            }
            guard let digest else { return }
            results.withLock { $0[algorithm.rawValue][index] = Hexadecimal.encode(digest) }
        }
    }

    /// Returns the digest of all of `source`, nil when asked to stop.
    private func hash<Hash: HashFunction>(
        _ source: FileSource, with: Hash.Type, _ algorithm: Algorithm
    ) throws(BlockError) -> [UInt8]? {
        var hash = Hash()
        let buffer = AlignedBuffer(count: Self.pieceLength)
        let zeros = AlignedBuffer(count: Self.pieceLength)
        zeros.bytes.clear()
        var extent = Extent(offset: 0, length: 0, kind: .data)
        var offset: Int64 = 0
        while offset < source.lengthInBytes {
            guard !stop.contains(where: \.isCancelled) else { return nil }
            if offset >= extent.end { extent = try source.extent(at: offset) }
            let count = Int(min(Int64(Self.pieceLength), extent.end - offset, source.lengthInBytes - offset))
            if extent.kind == .hole {
                hash.update(bufferPointer: UnsafeRawBufferPointer(zeros.prefix(count)))
            } else {
                try source.read(into: buffer.prefix(count), at: offset)
                hash.update(bufferPointer: UnsafeRawBufferPointer(buffer.prefix(count)))
            }
            offset += Int64(count)
            progress.add(Int64(count), algorithm)
        }
        return Array(hash.finalize())
    }

    private static func hasManyHoles(_ source: FileSource) -> Bool {
        var holes: Int64 = 0
        var offset: Int64 = 0
        // A file too short to have so many need not be walked.
        guard source.lengthInBytes > FileDigestPolicy.mostHoles else { return false }
        while offset < source.lengthInBytes, let extent = try? source.extent(at: offset) {
            if extent.kind == .hole { holes += extent.length }
            if holes > FileDigestPolicy.mostHoles { return true }
            offset = extent.end
        }
        return false
    }
}
