// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Crypto

/// The first look at a disk's chunk file: all of it is hashed and held against the manifest.
struct ChunkFileCheck {
    let folder: PinnedFolder
    let disk: DiskRecord
    let cloneUUID: [UInt8]
    let options: CloneVerification.Options
    let log: ProblemLog
    let cancellation: CancellationFlag

    private var file: String { disk.chunks.file }

    /// Returns the file and its header when they can be worked with, even if something is wrong with them.
    func run() -> (source: FileSource, header: ChunkFileHeader)? {
        guard let source = OpenedFile.open(file, in: folder, disk: disk.name, options: options, log: log) else {
            return nil
        }
        if source.lengthInBytes != disk.chunks.lengthInBytes {
            log.add(
                OpenedFile.wrongLength(
                    file, disk: disk.name, found: source.lengthInBytes, expected: disk.chunks.lengthInBytes))
        }
        do throws(BlockError) {
            let digest = try digest(of: source)
            guard !cancellation.isCancelled else { return nil }
            if digest != disk.chunks.digest {
                report("\(file) is damaged: its SHA-256 is not the manifest's, so that digests in it prove nothing")
            }
            let length = Int(min(source.lengthInBytes, Int64(ChunkFileHeader.byteCount)))
            let bytes = try source.bytes(at: 0, count: length)
            return header(bytes, of: source).map { (source, $0) }
        } catch {
            log.add(Problem(.unreadable, error.description, disk: disk.name, file: file))
            return nil
        }
    }

    private func header(_ bytes: [UInt8], of source: FileSource) -> ChunkFileHeader? {
        do throws(FormatError) {
            let header = try ChunkFileHeader(decoding: bytes, fileLength: source.lengthInBytes, file: file)
            guard header.cloneUUID == cloneUUID else {
                throw .foreign(file: file, reason: "it belongs to another clone")
            }
            guard header.diskLength == disk.lengthInBytes else {
                throw .foreign(
                    file: file,
                    reason: "it is of a disk of \(header.diskLength) bytes, \(disk.name) has \(disk.lengthInBytes)")
            }
            if header.contentDigest != disk.contentDigest {
                report("\(file) names another content digest of \(disk.name) than the manifest")
            }
            if header.dataChunks != disk.chunks.data || header.lostChunks != disk.chunks.lost {
                report("\(file) counts other chunks of \(disk.name) than the manifest")
            }
            do throws(ChunkMapWindow.Failure) {
                try checkMap(source, header)
                return header
            } catch {
                switch error {
                case .io(let error):
                    log.add(Problem(.unreadable, error.description, disk: disk.name, file: file))
                case .format(let error): throw error
                }
            }
        } catch {
            report(error.description)
        }
        return nil
    }

    /// Walks the state map window by window: a map may be larger than the memory there is.
    private func checkMap(_ source: FileSource, _ header: ChunkFileHeader) throws(ChunkMapWindow.Failure) {
        var window = ChunkMapWindow(file: file)
        var data = 0
        var lost = 0
        while window.end < header.chunkCount {
            guard !cancellation.isCancelled else { return }
            try window.advance(source, header)
            let totals = window.map.totals
            data += totals.data
            lost += totals.lost
        }
        guard data == header.dataChunks, lost == header.lostChunks else {
            throw .format(.damaged(file: file, reason: "its state map contradicts the counts of its header"))
        }
    }

    private func digest(of source: FileSource) throws(BlockError) -> CloneFormat.Digest {
        var hash = SHA256()
        let buffer = AlignedBuffer(count: 1 << 20)
        var offset: Int64 = 0
        while offset < source.lengthInBytes, !cancellation.isCancelled {
            let count = Int(min(Int64(buffer.bytes.count), source.lengthInBytes - offset))
            try source.read(into: buffer.prefix(count), at: offset)
            hash.update(bufferPointer: UnsafeRawBufferPointer(buffer.prefix(count)))
            offset += Int64(count)
        }
        return CloneFormat.Digest(hash.finalize())
    }

    private func report(_ message: String) {
        log.add(Problem(.chunkFile, message, disk: disk.name, file: file))
    }
}
