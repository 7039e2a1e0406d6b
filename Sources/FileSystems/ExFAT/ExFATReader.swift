// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Reads exFAT, the file system of large cards and sticks.
///
/// Microsoft, "exFAT file system specification". A file's number is the byte of its first directory entry; its tree is
/// 1 where the directory's clusters follow each other without a chain.
final class ExFATReader: FileSystemReader {
    /// Most bytes of a directory.
    static let maximumDirectory: Int64 = 256 << 20

    let volume: String
    let kind = FileSystemKind.exfat
    var uuid: String? { boot.serialNumber }
    let label: String?
    let state: FileSystemState
    /// The root has no entry.
    let root = FileID(0)

    let bytes: VolumeBytes
    let boot: ExFATBootSector
    /// Where the allocation bitmaps lie, the first one first.
    let bitmaps: [ExFATPlace]
    let upperCasePlace: ExFATPlace
    private let upperCase: ExFATUpperCase

    var rootPlace: ExFATPlace { ExFATPlace(first: boot.rootCluster, isContiguous: false, length: nil) }

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        self.bytes = bytes
        volume = bytes.name
        let boot = try ExFATBootSector(bytes)
        self.boot = boot
        state = boot.isMarkedDirty || boot.hasMediaFailure ? .dirty : .clean
        var label: String?
        var bitmaps: [UInt8: ExFATPlace] = [:]
        var table: (place: ExFATPlace, checksum: UInt32)?
        let place = ExFATPlace(first: boot.rootCluster, isContiguous: false, length: nil)
        try Self.scan(place, "the root", bytes, boot) { entries throws(FileSystemError) in
            var place = entries.place(at: 0)
            // These three kinds have no such flag.
            place.isContiguous = false
            switch entries.type {
            case ExFATEntries.bitmap:
                let number = entries.fields.byte(1) & 1
                guard bitmaps.updateValue(place, forKey: number) == nil else {
                    throw FileSystemError(bytes.name, .damaged("it has two allocation bitmaps of number \(number)"))
                }
            case ExFATEntries.upperCase:
                guard table == nil else { throw FileSystemError(bytes.name, .damaged("it has two up-case tables")) }
                table = (place, entries.fields.little(4))
            case ExFATEntries.label:
                let units = (0..<min(Int(entries.fields.byte(1)), 11)).map {
                    entries.fields.little(2 + 2 * $0, as: UInt16.self)
                }
                label = units.isEmpty ? nil : String(decoding: units, as: UTF16.self)
            default: break
            }
            return true
        }
        self.label = label
        self.bitmaps = (0..<UInt8(boot.tableCount)).compactMap { bitmaps[$0] }
        guard let table, bitmaps.count == boot.tableCount, self.bitmaps.count == boot.tableCount else {
            throw FileSystemError(bytes.name, .damaged("its allocation bitmap or its up-case table is missing"))
        }
        upperCasePlace = table.place
        guard let length = table.place.length, length > 0, length <= 128 << 10 else {
            throw FileSystemError(bytes.name, .damaged("its up-case table's size"))
        }
        let content = try Self.content(table.place, at: 0, count: Int(length), "the up-case table", bytes, boot)
        guard ExFATUpperCase.checksum(content) == table.checksum else {
            throw FileSystemError(bytes.name, .damaged("its up-case table's checksum"))
        }
        upperCase = ExFATUpperCase(content)
    }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        guard file != root else { return FileStatus(id: root, type: .directory, sizeInBytes: 0) }
        let entries = try entries(at: file)
        return FileStatus(
            id: file, type: entries.isDirectory ? .directory : .file,
            sizeInBytes: entries.isDirectory ? 0 : entries.content.length ?? 0)
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        let place = try place(ofDirectory: directory)
        var found: [DirectoryEntry] = []
        try Self.scan(place, "inode \(directory.number)", bytes, boot) { entries throws(FileSystemError) in
            guard entries.isFile else { return true }
            guard found.count < Self.maximumEntries else {
                throw error(directory, .tooLarge(limit: Self.maximumEntries))
            }
            let id = FileID(tree: place.isContiguous ? 1 : 0, UInt64(entries.offset))
            found.append(DirectoryEntry(name: String(decoding: entries.units, as: UTF16.self), id: id))
            return true
        }
        return found
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        let folded = upperCase.folded(name)
        return try entries(of: directory).first {
            $0.name.utf16.count == folded.count && upperCase.folded($0.name) == folded
        }?.id
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        guard file != root else { throw error(file, .notFile) }
        let entries = try entries(at: file)
        guard !entries.isDirectory else { throw error(file, .notFile) }
        let size = entries.content.length ?? 0
        guard offset >= 0, count > 0, offset < size else { return [] }
        let wanted = Int(min(Int64(count), size - offset))
        guard wanted <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        let valid = Int(min(max(entries.validLength - offset, 0), Int64(wanted)))
        let name = "inode \(file.number)"
        return try Self.content(entries.content, at: offset, count: valid, name, bytes, boot)
            + [UInt8](repeating: 0, count: wanted - valid)
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String { throw error(link, .notLink) }

    private func place(ofDirectory directory: FileID) throws(FileSystemError) -> ExFATPlace {
        guard directory != root else { return rootPlace }
        let entries = try entries(at: directory)
        guard entries.isDirectory else { throw error(directory, .notDirectory) }
        return entries.content
    }

    /// Reads a file's entries, which may go on in the directory's next cluster.
    private func entries(at file: FileID) throws(FileSystemError) -> ExFATEntries {
        guard var offset = Int64(exactly: file.number), offset % Int64(ExFATEntries.size) == 0,
            offset >= boot.heapOffset, offset < boot.lengthInBytes
        else { throw error(file, .notFound) }
        var content: [UInt8] = []
        var wanted = 1
        var chains = ExFATChains(bytes, boot)
        while content.count < wanted * ExFATEntries.size {
            content += try bytes.fields(at: offset, count: ExFATEntries.size).bytes
            if wanted == 1 {
                guard content[0] == ExFATEntries.file, let count = ExFATEntries.following(ByteFields(content)) else {
                    throw error(file, .notFound)
                }
                wanted += count
            }
            offset += Int64(ExFATEntries.size)
            if (offset - boot.heapOffset) % boot.clusterSize == 0, file.tree == 0 {
                let cluster = UInt32((offset - 1 - boot.heapOffset) / boot.clusterSize) + 2
                guard content.count < wanted * ExFATEntries.size else { break }
                guard let next = boot.offset(ofCluster: try chains.next(cluster)) else {
                    throw error(file, .damaged("its directory's chain ends in it"))
                }
                offset = next
            }
            guard offset < boot.lengthInBytes || content.count >= wanted * ExFATEntries.size else {
                throw error(file, .damaged("its entries lie outside"))
            }
        }
        let entries = ExFATEntries(offset: Int64(file.number), fields: ByteFields(content))
        if let fault = entries.fault { throw error(file, .damaged(fault)) }
        return entries
    }

    /// Calls `body` with the entries of a directory, those that make no sense passed over unless `isStrict`.
    static func scan(
        _ place: ExFATPlace, _ file: String, _ bytes: VolumeBytes, _ boot: ExFATBootSector, isStrict: Bool = false,
        _ body: (ExFATEntries) throws(FileSystemError) -> Bool
    ) throws(FileSystemError) {
        guard (place.length ?? 0) <= maximumDirectory else {
            throw FileSystemError(bytes.name, file: file, .damaged("a directory longer than any can be"))
        }
        var collector = ExFATCollector(isStrict: isStrict, volume: bytes.name)
        var chains = ExFATChains(bytes, boot)
        let most = boot.clusters(maximumDirectory)
        try chains.follow(place, most: most, file) { offset, clusters throws(FileSystemError) in
            var position = offset
            let end = offset + clusters * boot.clusterSize
            while position < end {
                let fields = try bytes.fields(at: position, count: Int(min(end - position, 64 << 10)))
                for start in stride(from: 0, to: fields.count, by: ExFATEntries.size) {
                    let entry = fields.part(start, ExFATEntries.size)
                    if let entries = try collector.add(entry, at: position + Int64(start)) {
                        guard try body(entries) else { return false }
                    }
                    if collector.isAtEnd { return false }
                }
                position += Int64(fields.count)
            }
            return true
        }
        try collector.finish()
    }

    /// Reads `count` bytes from `offset` of what lies at `place`.
    static func content(
        _ place: ExFATPlace, at offset: Int64, count: Int, _ file: String, _ bytes: VolumeBytes,
        _ boot: ExFATBootSector
    ) throws(FileSystemError) -> [UInt8] {
        guard count > 0 else { return [] }
        var result = [UInt8](repeating: 0, count: count)
        var chains = ExFATChains(bytes, boot)
        var position: Int64 = 0
        let end = offset + Int64(count)
        try chains.follow(place, most: boot.clusters(end), file) { start, clusters throws(FileSystemError) in
            let length = clusters * boot.clusterSize
            let (from, to) = (max(position, offset), min(position + length, end))
            if from < to {
                try bytes.copy(Int(to - from), from: start + (from - position), to: Int(from - offset), of: &result)
            }
            position += length
            return true
        }
        guard position >= end else {
            throw FileSystemError(bytes.name, file: file, .damaged("its chain ends before its size"))
        }
        return result
    }
}
