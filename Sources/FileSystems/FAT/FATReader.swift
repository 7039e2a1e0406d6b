// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// Reads FAT12, FAT16 and FAT32 with long names, such as EFI system partitions.
///
/// Microsoft, "FAT: General Overview of On-Disk Format", fatgen103. A file's number is the byte of its directory entry.
final class FATReader: FileSystemReader {
    /// Most clusters of a chain: a file of 4 GiB in clusters of 512 bytes.
    private static let maximumClusters = 1 << 23
    /// Most bytes of a directory: 65,536 entries of 32 bytes.
    static let maximumDirectory = 2 << 20

    let volume: String
    let kind = FileSystemKind.vfat
    let uuid: String?
    let label: String?
    let state: FileSystemState
    /// The root has no entry.
    let root = FileID(0)

    let bytes: VolumeBytes
    let boot: FATBootSector

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        self.bytes = bytes
        volume = bytes.name
        boot = try FATBootSector(bytes)
        uuid = boot.serialNumber
        var found = FileSystemState.clean
        // The entry of cluster 1 says whether it was unmounted and no error was seen; FAT12 has no such bits.
        if boot.width != 12 {
            var window = Window()
            let mark = try Self.entry(1, bytes, boot, &window)
            let mask: UInt32 = boot.width == 16 ? 0xc000 : 0x0c00_0000
            if mark & mask != mask { found = .dirty }
        }
        // Linux and Windows keep it in the boot sector too.
        if boot.isMarkedDirty { found = .dirty }
        state = found
        label = try Self.label(bytes, boot)
    }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        guard file != root else { return FileStatus(id: root, type: .directory, sizeInBytes: 0) }
        let entry = try entry(file)
        return FileStatus(
            id: file, type: entry.isDirectory ? .directory : .file,
            sizeInBytes: entry.isDirectory ? 0 : Int64(entry.size))
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        var entries: [DirectoryEntry] = []
        var name = FATLongName()
        for run in try runs(ofDirectory: directory) {
            let fields = try bytes.fields(at: run.offset, count: run.count)
            for place in stride(from: 0, to: fields.count - 31, by: 32) {
                let first = fields.byte(place)
                if first == 0 { return entries }
                let attributes = fields.byte(place + 11)
                if first == 0xe5 {
                    name = FATLongName()
                } else if attributes & 0x3f == 0x0f {
                    name.add(fields.part(place, 32))
                } else {
                    let short = ByteFields(fields.part(place, 32))
                    let text = name.text(for: short) ?? FATLongName.shortName(short)
                    name = FATLongName()
                    if attributes & 8 == 0, text != ".", text != ".." {
                        entries.append(DirectoryEntry(name: text, id: FileID(UInt64(run.offset) + UInt64(place))))
                    }
                }
            }
        }
        return entries
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        let folded = name.lowercased()
        return try entries(of: directory).first { $0.name.lowercased() == folded }?.id
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        guard file != root else { throw error(file, .notFile) }
        let entry = try entry(file)
        guard !entry.isDirectory else { throw error(file, .notFile) }
        let size = Int64(entry.size)
        guard offset >= 0, count > 0, offset < size else { return [] }
        let wanted = Int(min(Int64(count), size - offset))
        guard wanted <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        var result = [UInt8](repeating: 0, count: wanted)
        let last = (offset + Int64(wanted) - 1) / Int64(boot.clusterSize)
        var position: Int64 = 0
        for run in try runs(from: entry.cluster, most: Int(last) + 1, file) {
            let from = max(position, offset)
            let to = min(position + Int64(run.count), offset + Int64(wanted))
            if from < to {
                try bytes.copy(
                    Int(to - from), from: run.offset + (from - position), to: Int(from - offset), of: &result)
            }
            position += Int64(run.count)
        }
        guard position >= offset + Int64(wanted) else { throw error(file, .damaged("its chain ends before its size")) }
        return result
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String { throw error(link, .notLink) }

    private struct Entry {
        var isDirectory: Bool
        var cluster: UInt32
        var size: UInt32
    }

    private func entry(_ file: FileID) throws(FileSystemError) -> Entry {
        guard let offset = Int64(exactly: file.number), offset % 32 == 0 else { throw error(file, .notFound) }
        let fields = try bytes.fields(at: offset, count: 32)
        let high = boot.width == 32 ? UInt32(fields.little(20, as: UInt16.self)) << 16 : 0
        return Entry(
            isDirectory: fields.byte(11) & 0x10 != 0, cluster: high | UInt32(fields.little(26, as: UInt16.self)),
            size: fields.little(28))
    }

    /// Returns where the bytes of a directory are.
    private func runs(ofDirectory directory: FileID) throws(FileSystemError) -> [(offset: Int64, count: Int)] {
        let most = max(Self.maximumDirectory / boot.clusterSize, 1)
        guard directory != root else {
            if boot.width != 32 { return [(boot.rootOffset, boot.rootSize)] }
            return try runs(from: boot.rootCluster, most: most, root)
        }
        let entry = try entry(directory)
        guard entry.isDirectory else { throw error(directory, .notDirectory) }
        return try runs(from: entry.cluster, most: most, directory)
    }

    /// Returns the clusters of a chain, up to `most` of them, neighbours together.
    private func runs(
        from first: UInt32, most: Int, _ file: FileID
    ) throws(FileSystemError) -> [(offset: Int64, count: Int)] {
        var runs: [(offset: Int64, count: Int)] = []
        var cluster = first
        var count = 0
        var window = Window()
        while count < min(most, Self.maximumClusters) {
            guard let offset = boot.offset(ofCluster: cluster) else {
                throw error(file, .damaged("its chain leads to cluster \(cluster)"))
            }
            if let last = runs.last, last.offset + Int64(last.count) == offset, last.count < 1 << 24 {
                runs[runs.count - 1].count += boot.clusterSize
            } else {
                runs.append((offset, boot.clusterSize))
            }
            count += 1
            // A chain that bites its tail is longer than the volume in the end.
            guard count <= Int(boot.clusterCount) else { throw error(file, .damaged("its chain has no end")) }
            cluster = try Self.entry(cluster, bytes, boot, &window)
            if cluster >= boot.endMark { break }
        }
        return runs
    }

    /// A piece of the table: entries of a chain lie close together.
    struct Window {
        var start: Int64 = 0
        var fields = ByteFields([])
    }

    /// Returns the entry of `cluster` in the table in force.
    static func entry(
        _ cluster: UInt32, _ bytes: VolumeBytes, _ boot: FATBootSector, _ window: inout Window
    ) throws(FileSystemError) -> UInt32 {
        let offset = boot.tableOffset + Int64(cluster) * Int64(boot.width) / 8
        if offset < window.start || offset + 4 > window.start + Int64(window.fields.count) {
            window.start = offset
            // Behind the table follows at least a sector of something.
            let count = Int(min(4096, max(bytes.lengthInBytes - offset, 4)))
            window.fields = try bytes.fields(at: offset, count: count)
        }
        let value: UInt32 = window.fields.little(Int(offset - window.start))
        switch boot.width {
        case 12: return cluster % 2 == 0 ? value & 0xfff : value >> 4 & 0xfff
        case 16: return value & 0xffff
        default: return value & 0x0fff_ffff
        }
    }

    /// Returns the label in the root directory, or the boot sector's.
    private static func label(_ bytes: VolumeBytes, _ boot: FATBootSector) throws(FileSystemError) -> String? {
        var offset = boot.rootOffset
        var count = boot.rootSize
        if boot.width == 32 {
            guard let place = boot.offset(ofCluster: boot.rootCluster) else { return boot.label }
            (offset, count) = (place, boot.clusterSize)
        }
        let fields = try bytes.fields(at: offset, count: min(count, 64 << 10))
        for place in stride(from: 0, to: fields.count - 31, by: 32) {
            if fields.byte(place) == 0 { break }
            let attributes = fields.byte(place + 11)
            if fields.byte(place) != 0xe5, attributes & 8 != 0, attributes & 0x3f != 0x0f {
                return FATBootSector.trimmed(fields.text(place, 11))
            }
        }
        return boot.label
    }
}
