// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// Reads qcow2 images of versions 2 and 3 as QEMU writes them; everything in the file is checked before it is believed.
///
/// Memory: the L1 table (at most 32 MiB), 32 MiB of L2 tables, and three clusters for each thread that decompresses.
public final class Qcow2Reader: ImageReader {
    let file: any BlockSource
    let header: Qcow2Header
    let tables: Qcow2Tables
    /// The guest's view of the image behind it.
    private let backing: (any BlockSource)?
    private let decompressors = Mutex<[ClusterDecompressor]>([])

    /// Opens the image in `file`.
    ///
    /// - Parameter backing: the image behind it; one that it does not name by just this name is refused.
    /// - Throws: `ImageError` for damage, and for other backing files, encryption, external data and unknown features.
    public init(_ file: any BlockSource, backing: BackingImage? = nil) throws(ImageError) {
        self.file = file
        header = try Qcow2Header(reading: file)
        if let backing {
            try Self.check(header, against: backing, path: file.name)
        } else if header.backing != nil {
            throw .unsupported(path: file.name, feature: "a backing file")
        }
        self.backing = backing?.content
        tables = try Qcow2Tables(file, header)
    }

    /// Checks that the image behind is the one that the header names, as the same format, and as long.
    private static func check(
        _ header: Qcow2Header, against backing: BackingImage, path: String
    ) throws(ImageError) {
        guard let named = header.backing, named.file == Array(backing.name.file.utf8),
            named.format == Array(backing.name.format.rawValue.utf8)
        else {
            throw .damaged(
                path: path, offset: 8,
                reason: "it does not name the \(backing.name.format.rawValue) image "
                    + "\(backing.name.file) as its backing file")
        }
        guard backing.content.lengthInBytes == header.diskLength else {
            throw .damaged(path: path, offset: 24, reason: "its disk has another length than that of its backing file")
        }
    }

    /// What messages call it: the path.
    public var name: String { file.name }
    /// Length in bytes.
    public var lengthInBytes: Int64 { header.diskLength }
    /// Smallest addressable unit in bytes.
    public var logicalSectorSize: Int { 512 }
    /// Sector size of the medium in bytes.
    public var physicalSectorSize: Int { 512 }
    /// The image's format.
    public var format: ImageFormat { .qcow2 }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        var done = 0
        while done < buffer.count {
            let position = offset + Int64(done)
            let run = try run(at: position, limit: Int64(buffer.count - done))
            let part = buffer.part(done, Int(run.length))
            switch run.mapping {
            case .hole: part.clear()
            case .behind: try readBacking(into: part, at: position)
            case .stored(let fileOffset): try readStored(into: part, at: fileOffset)
            case .compressed(let entry): try readCompressed(entry, into: part, at: position)
            }
            done += part.count
        }
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        try checkRange(offset, 1)
        let first = try run(at: offset, limit: lengthInBytes - offset)
        if case .behind = first.mapping, let backing {
            let extent = try backing.extent(at: offset)
            return Extent(offset: offset, length: min(extent.length, first.length), kind: extent.kind)
        }
        let isHole = first.mapping.isHole
        var end = offset + first.length
        // Bounded, so that one call never walks a whole image.
        var steps = 0
        while end < lengthInBytes, steps < 8192 {
            let next = try run(at: end, limit: lengthInBytes - end)
            guard next.mapping.isHole == isHole, !next.mapping.isBehind else { break }
            end += next.length
            steps += 1
        }
        return Extent(offset: offset, length: end - offset, kind: isHole ? .hole : .data)
    }

    /// Returns the byte in the file at which the cluster of guest byte `offset` is stored; see `ImageReader`.
    public func clusterOffset(of offset: Int64) throws(BlockError) -> Int64? {
        try checkRange(offset, 1)
        switch try run(at: offset, limit: 1).mapping {
        case .hole, .behind: return nil
        case .stored(let fileOffset):
            return fileOffset / Int64(header.layout.clusterSize) * Int64(header.layout.clusterSize)
        case .compressed(let entry): return header.layout.compressedRange(entry).offset
        }
    }

    /// Returns the byte in the file from which the content is stored; see `ImageReader`.
    public func storedOffset(of offset: Int64, count: Int) throws(BlockError) -> Int64? {
        try checkRange(offset, count)
        let run = try run(at: offset, limit: Int64(count))
        guard case .stored(let fileOffset) = run.mapping, run.length == Int64(count),
            fileOffset <= file.lengthInBytes - Int64(count)
        else { return nil }
        return fileOffset
    }

    /// Walks the image's own structures; see `ImageReader`.
    public func checkStructure(_ report: (StructureProblem) -> Bool) throws(BlockError) {
        var check = try Qcow2StructureCheck(self)
        try check.run(report)
    }

    // MARK: Mapping

    /// Where a stretch of the guest is.
    private enum Mapping {
        case hole
        /// In the backing image.
        case behind
        case stored(fileOffset: Int64)
        case compressed(entry: UInt64)

        var isHole: Bool { if case .hole = self { true } else { false } }
        var isBehind: Bool { if case .behind = self { true } else { false } }
    }

    /// What it means that nothing is stored of a stretch.
    private var nothing: Mapping { backing == nil ? .hole : .behind }

    /// Returns where guest byte `offset` is, and for how many bytes, up to `limit`, the file goes on like that.
    private func run(at offset: Int64, limit: Int64) throws(BlockError) -> (mapping: Mapping, length: Int64) {
        let size = Int64(header.layout.clusterSize)
        let perTable = Int64(header.l2Clusters)
        let cluster = offset / size
        let tableIndex = Int(cluster / perTable)
        let tableEnd = (Int64(tableIndex) + 1) * perTable * size
        guard let table = try tables.l2(ofEntry: tableIndex, for: offset) else {
            return (nothing, min(tableEnd - offset, limit))
        }
        let first = try piece(table, offset)
        var end = first.end
        if case .compressed = first.mapping { return (first.mapping, min(end - offset, limit)) }
        while end < tableEnd, end - offset < limit {
            let next = try piece(table, end)
            switch (first.mapping, next.mapping) {
            case (.hole, .hole), (.behind, .behind): end = next.end
            case (.stored(let start), .stored(let continued)) where start + (end - offset) == continued: end = next.end
            default: return (first.mapping, min(end - offset, limit))
            }
        }
        return (first.mapping, min(end - offset, limit))
    }

    /// Returns the mapping of the cluster or subcluster that holds guest byte `offset`, and where it ends.
    private func piece(_ table: Qcow2Tables.L2, _ offset: Int64) throws(BlockError) -> (mapping: Mapping, end: Int64) {
        let size = Int64(header.layout.clusterSize)
        let inCluster = offset % size
        let index = Int(offset / size % Int64(header.l2Clusters))
        let entry = table.entries[index]
        let clusterEnd = offset - inCluster + size
        if entry & Qcow2Layout.compressed != 0 { return (.compressed(entry: entry), clusterEnd) }
        let fileOffset = Int64(entry & Qcow2Layout.offsetMask)
        guard entry & ~header.standardEntryMask == 0 else {
            throw invalid(offset, "its L2 entry, to byte \(fileOffset) of the file, has reserved bits set")
        }
        guard fileOffset % size == 0 else {
            throw invalid(offset, "its L2 entry points into the middle of a cluster, to byte \(fileOffset) of the file")
        }
        if header.hasExtendedL2 {
            let subcluster = size / 32
            let bit = UInt64(inCluster / subcluster)
            let end = offset - inCluster % subcluster + subcluster
            let isAllocated = table.bitmaps[index] >> bit & 1 != 0
            let isZero = table.bitmaps[index] >> (bit + 32) & 1 != 0
            guard !(isAllocated && isZero) else { throw invalid(offset, "a subcluster is both allocated and zero") }
            guard isAllocated else { return (isZero ? .hole : nothing, end) }
            return (.stored(fileOffset: try checked(fileOffset, offset) + inCluster), end)
        }
        if entry & Qcow2Layout.zero != 0 { return (.hole, clusterEnd) }
        if fileOffset == 0 { return (nothing, clusterEnd) }
        return (.stored(fileOffset: try checked(fileOffset, offset) + inCluster), clusterEnd)
    }

    private func checked(_ fileOffset: Int64, _ offset: Int64) throws(BlockError) -> Int64 {
        guard fileOffset >= Int64(header.layout.clusterSize), fileOffset < file.lengthInBytes else {
            throw invalid(offset, "its cluster at byte \(fileOffset) is not within the image file")
        }
        return fileOffset
    }

    private func invalid(_ offset: Int64, _ reason: String) -> BlockError {
        BlockError(.read, name, offset: offset, length: header.layout.clusterSize, .invalid(reason))
    }

    // MARK: Content

    /// Reads stored clusters; QEMU leaves the last one shorter than a cluster when its rest was never written.
    private func readStored(into part: UnsafeMutableRawBufferPointer, at fileOffset: Int64) throws(BlockError) {
        let available = Int(min(Int64(part.count), max(file.lengthInBytes - fileOffset, 0)))
        try file.read(into: part.part(0, available), at: fileOffset)
        part.part(available, part.count - available).clear()
    }

    private func readBacking(into part: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        guard let backing else { return part.clear() }
        try backing.read(into: part, at: offset)
    }

    private func readCompressed(
        _ entry: UInt64, into part: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(BlockError) {
        let (fileOffset, length) = header.layout.compressedRange(entry)
        let available = min(Int64(length), file.lengthInBytes - fileOffset)
        guard available > 0, fileOffset >= Int64(header.layout.clusterSize) else {
            throw invalid(offset, "its compressed cluster at byte \(fileOffset) is not within the image file")
        }
        let decompressor = try takeDecompressor(offset)
        defer { decompressors.withLock { $0.append(decompressor) } }
        let input = decompressor.input.prefix(Int(available))
        try file.read(into: input, at: fileOffset)
        let isWhole = part.count == header.layout.clusterSize
        let output = isWhole ? part : decompressor.output.bytes
        guard decompressor.decompress(UnsafeRawBufferPointer(input), into: output) else {
            throw invalid(offset, "its compressed cluster at byte \(fileOffset) of the file is damaged")
        }
        if !isWhole {
            let start = Int(offset % Int64(header.layout.clusterSize))
            part.copyMemory(from: UnsafeRawBufferPointer(output.part(start, part.count)))
        }
    }

    private func takeDecompressor(_ offset: Int64) throws(BlockError) -> ClusterDecompressor {
        if let decompressor = decompressors.withLock({ $0.popLast() }) { return decompressor }
        guard let new = ClusterDecompressor(isZstd: header.isZstd, clusterSize: header.layout.clusterSize) else {
            throw invalid(offset, "no memory to decompress it")
        }
        return new
    }
}
