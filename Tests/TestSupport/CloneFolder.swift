// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat

/// A disk of a clone made for a test, stored as a raw image.
public struct CloneDisk: Sendable {
    /// Its name, the base of its files' names.
    public var name: String
    /// Its content.
    public var content: [UInt8]
    /// Chunks of zeros that are written to the image all the same: no holes there.
    public var writtenZeros: Set<Int> = []
    /// Chunks that the source could not read.
    public var lost: Set<Int> = []

    /// Makes a disk.
    public init(name: String, content: [UInt8], writtenZeros: Set<Int> = [], lost: Set<Int> = []) {
        self.name = name
        self.content = content
        self.writtenZeros = writtenZeros
        self.lost = lost
    }
}

/// A clone in a folder of its own, written byte by byte from the format's description, removed with the last reference.
public final class CloneFolder: Sendable {
    private let scratch: TemporaryFolder
    /// The clone's folder.
    public var path: String { scratch.path }
    /// The manifest as it was first written.
    public let manifest: Manifest

    /// Writes a clone of `disks`.
    public init(_ disks: [CloneDisk], uuid: String = "3f6c1c1e-8a5e-4c59-9d5a-0f2b7c6d8e90") throws {
        scratch = try TemporaryFolder()
        var records: [DiskRecord] = []
        for (order, disk) in disks.enumerated() {
            records.append(try Self.write(disk, order: order, uuid: uuid, to: scratch.path))
        }
        manifest = Manifest(
            cloneId: "test-20261122T103000Z", cloneUuid: uuid, machine: MachineIdentity(name: "test"),
            agent: Program(name: "test", version: "0"), startedAt: "2026-11-22T10:30:00Z",
            finishedAt: "2026-11-22T10:31:00Z", disks: records)
        try Folder.writeDurably(manifest.sealed(), to: Manifest.fileName, in: scratch.path)
    }

    private static func write(_ disk: CloneDisk, order: Int, uuid: String, to path: String) throws -> DiskRecord {
        let length = Int64(disk.content.count)
        let image = try FileSink(creating: "\(path)/\(disk.name).raw")
        try image.setLength(length)
        var map = ChunkMap(count: Chunk.count(length: length))
        var content = ContentDigest(diskLength: length)
        var digests: [UInt8] = []
        for chunk in 0..<map.count {
            let start = chunk * Chunk.size
            let bytes = Array(disk.content[start..<start + Chunk.length(of: chunk, diskLength: length)])
            let isZero = bytes.withUnsafeBytes { $0.isAllZero }
            if !isZero || disk.writtenZeros.contains(chunk) { try image.write(bytes, at: Int64(start)) }
            let isLost = disk.lost.contains(chunk)
            guard isLost || !isZero else { continue }
            map[chunk] = isLost ? .lost : .data
            content.appendZeros(upTo: chunk)
            content.append(Digest(of: bytes), lost: isLost)
            digests += Digest(of: bytes).bytes
        }
        try image.close()
        let totals = map.totals
        let header = ChunkFileHeader(
            cloneUUID: UUIDText.bytes(uuid) ?? [], diskLength: length, dataChunks: totals.data,
            lostChunks: totals.lost, contentDigest: content.finish())
        let file = header.encoded() + map.bytes + digests
        try Folder.writeDurably(file, to: "\(disk.name).chunks", in: path)
        let unreadable = Int64(disk.lost.count) * 512
        return DiskRecord(
            name: disk.name, order: order, source: "/dev/\(disk.name)", lengthInBytes: length,
            logicalSectorSizeInBytes: 512, physicalSectorSizeInBytes: 512, contentDigest: header.contentDigest,
            image: ImageRecord(
                file: "\(disk.name).raw", format: "raw", compression: "none", clusterSizeInBytes: nil,
                headerDigest: nil, lengthInBytes: length),
            chunks: ChunkRecord(
                file: "\(disk.name).chunks", lengthInBytes: Int64(file.count), digest: Digest(of: file),
                zero: map.count - totals.data - totals.lost, data: totals.data, lost: totals.lost),
            bytes: ByteTotals(read: length - unreadable, skipped: 0, unreadable: unreadable), skipped: [],
            skippedExtents: [])
    }
}

extension CloneFolder {
    /// Writes a clone of a disk of zeros, of any `length` in bytes: its image is one hole.
    public convenience init(emptyDisk name: String, length: Int64) throws {
        try self.init([CloneDisk(name: name, content: [])])
        try setLength("\(name).raw", to: length)
        let header = ChunkFileHeader(
            cloneUUID: UUIDText.bytes(manifest.cloneUuid) ?? [], diskLength: length, dataChunks: 0, lostChunks: 0,
            contentDigest: ContentDigest(diskLength: length).finish())
        let file = header.encoded() + [UInt8](repeating: 0, count: header.mapLength)
        try replace("\(name).chunks", with: file)
        try reseal {
            $0.disks[0].lengthInBytes = length
            $0.disks[0].contentDigest = header.contentDigest
            $0.disks[0].image.lengthInBytes = length
            $0.disks[0].chunks.lengthInBytes = Int64(file.count)
            $0.disks[0].chunks.digest = Digest(of: file)
            $0.disks[0].chunks.zero = header.chunkCount
            $0.disks[0].bytes.read = length
        }
    }

    /// Returns the content of `file`.
    public func bytes(_ file: String) throws -> [UInt8] { try SmallFile.read("\(path)/\(file)", limit: 1 << 30) }

    /// Replaces `file`, or makes it.
    public func replace(_ file: String, with bytes: [UInt8]) throws {
        try Folder.writeDurably(bytes, to: file, in: path, replacing: true)
    }

    /// Inverts the bits of `mask` in byte `offset` of `file`, in place.
    public func flip(_ file: String, at offset: Int64, mask: UInt8 = 1) throws {
        try FileDamage.flip("\(path)/\(file)", at: offset, mask: mask)
    }

    /// Sets the length of `file`.
    public func setLength(_ file: String, to length: Int64) throws {
        try FileDamage.truncate("\(path)/\(file)", to: length)
    }

    /// Removes `file`.
    public func remove(_ file: String) throws { try Folder.remove("\(path)/\(file)") }

    /// Changes the manifest and seals it again: what an attacker, or a bug, could do.
    public func reseal(_ change: (inout Manifest) -> Void) throws {
        var changed = manifest
        change(&changed)
        try replace(Manifest.fileName, with: changed.sealed())
    }
}
