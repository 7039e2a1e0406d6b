// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization
internal import Verification

/// A disk as an earlier clone has it: the digests of its chunks, looked up as they are needed.
///
/// Memory: two bits a chunk, eight bytes for each 4096 of them, and a few windows of digests.
final class BaseDisk: Sendable {
    /// Chunks that share one entry of `ranks`.
    private static let stride = 4096
    /// Digests read at once.
    private static let windowLength = 1024
    /// Windows in memory: threads work on units that lie close together.
    private static let maximumWindows = 4

    fileprivate struct Window {
        var first: Int
        var bytes: [UInt8]
    }

    /// What the earlier clone's manifest says of the disk.
    let record: DiskRecord
    /// How the two clones relate.
    let kind: BaseRecord.Kind
    /// What a new image calls the earlier one.
    let backing: BackingName
    /// The earlier image, where its storage may be shared.
    let shared: SharedImage?
    private let file: FileSource
    private let map: ChunkMap
    private let digestsOffset: Int64
    private let digestCount: Int
    /// Number of digests before every 4096th chunk.
    private let ranks: [Int]
    private let windows = Mutex<[Window]>([])

    /// Reads the chunk file of `record`, which is all of it held against its digest in the manifest.
    ///
    /// - Parameter chain: what the earlier clone itself needs.
    init(
        _ record: DiskRecord, folder: String, clone: BaseRecord, cloneUUID: String, chain: CloneChain
    ) throws(CaptureError) {
        self.record = record
        kind = clone.kind
        let name = record.chunks.file
        guard let format = ImageFormat(rawValue: record.image.format) else {
            throw .invalid("\(folder)/\(record.image.file) has a format that is not known here", hint: nil)
        }
        backing = BackingName(file: "../\(clone.cloneId)/\(record.image.file)", format: format)
        do {
            for part in [name, record.image.file] {
                guard Folder.isPlainFile("\(folder)/\(part)") else {
                    throw FormatError.damaged(file: part, reason: "it is missing from the base, or is no plain file")
                }
            }
            file = try FileSource("\(folder)/\(name)", direct: .never)
            let bytes = try file.bytes(at: 0, count: min(ChunkFileHeader.byteCount, Int(file.lengthInBytes)))
            let header = try ChunkFileHeader(decoding: bytes, fileLength: file.lengthInBytes, file: name)
            guard try FileDigest.sha256(of: file) == record.chunks.digest, header.diskLength == record.lengthInBytes,
                header.cloneUUID == UUIDText.bytes(cloneUUID), header.contentDigest == record.contentDigest
            else { throw FormatError.damaged(file: name, reason: "it is not what the base's manifest says") }
            map = try ChunkMap(
                decoding: file.bytes(at: Int64(ChunkFileHeader.byteCount), count: header.mapLength), header: header,
                file: name)
            digestsOffset = header.digestsOffset
            digestCount = header.dataChunks + header.lostChunks
        } catch let error as BlockError {
            throw .io(error)
        } catch let error as FormatError {
            throw .format(error)
        } catch {
            throw .invalid("\(folder)/\(name) cannot be read: \(error)", hint: nil)
        }
        shared = clone.kind == .copy ? Self.shared(record, folder, chain) : nil
        var ranks: [Int] = []
        var rank = 0
        for index in 0..<map.count {
            if index.isMultiple(of: Self.stride) { ranks.append(rank) }
            if map[index] != .zero { rank += 1 }
        }
        self.ranks = ranks
    }

    /// Opens the earlier image; nil when that cannot be: then nothing is shared, and all is written.
    private static func shared(_ record: DiskRecord, _ folder: String, _ chain: CloneChain) -> SharedImage? {
        guard let format = ImageFormat(rawValue: record.image.format),
            let file = try? FileSource("\(folder)/\(record.image.file)", direct: .never)
        else { return nil }
        let image = try? DiskImage.open(
            file, format: format, backing: chain.backing(of: record, .init(freshness: .cached)))
        return image.map { SharedImage($0, in: file) }
    }

    /// Returns the first chunk from `chunk` on that has content, or nil.
    func firstContent(from chunk: Int) -> Int? { map.firstNonZero(from: chunk) }

    /// Compares a unit whose first chunk is `first` with the base.
    ///
    /// A chunk that the base could not read whole is never the same.
    func states(from first: Int, _ digests: [Digest?]) throws(BlockError) -> [BackingState] {
        var states: [BackingState] = []
        for (index, digest) in digests.enumerated() {
            let chunk = first + index
            switch (map[chunk], digest) {
            case (.zero, nil): states.append(.equal)
            case (.zero, _): states.append(.zero)
            case (.data, let digest?): states.append(try self.digest(of: chunk) == digest ? .equal : .different)
            case (.data, nil), (.lost, _): states.append(.different)
            }
        }
        return states
    }

    /// Returns the bytes with content that are the same, of a unit whose first chunk is `first`.
    func equalBytes(from first: Int, _ digests: [Digest?], _ states: [BackingState]) -> Int64 {
        var count: Int64 = 0
        for (index, state) in states.enumerated() where state == .equal && digests[index] != nil {
            count += Int64(Chunk.length(of: first + index, diskLength: record.lengthInBytes))
        }
        return count
    }

    /// Returns the digest of `chunk`, which has one.
    private func digest(of chunk: Int) throws(BlockError) -> Digest? {
        var place = ranks[chunk / Self.stride]
        for earlier in (chunk / Self.stride * Self.stride)..<chunk where map[earlier] != .zero { place += 1 }
        let first = place / Self.windowLength * Self.windowLength
        if let found = windows.withLock({ $0.first { $0.first == first }?.digest(at: place) }) { return found }
        let window = Window(
            first: first,
            bytes: try file.bytes(
                at: digestsOffset + Int64(first * Digest.byteCount),
                count: min(Self.windowLength, digestCount - first) * Digest.byteCount))
        windows.withLock { windows in
            windows.append(window)
            if windows.count > Self.maximumWindows { windows.removeFirst() }
        }
        return window.digest(at: place)
    }
}

extension BaseDisk.Window {
    func digest(at place: Int) -> Digest? {
        let start = (place - first) * Digest.byteCount
        guard start >= 0, start + Digest.byteCount <= bytes.count else { return nil }
        return Digest(bytes: bytes[start..<start + Digest.byteCount])
    }
}
