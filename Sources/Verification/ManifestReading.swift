// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat

/// A clone's manifest as it was found: good, damaged or missing.
public struct ManifestReading: Sendable, Hashable {
    /// The manifest, when nothing is wrong with it.
    public var manifest: Manifest?
    /// SHA-256 of the file, when there is one.
    public var digest: Digest?
    /// What is wrong with it.
    public var problem: Problem?

    /// Reads the manifest in `folder`, at most `Manifest.maximumLength` bytes of it.
    ///
    /// - Throws: `VerificationError` when the file may not be read: that says nothing of the clone.
    public init(folder: PinnedFolder) throws(VerificationError) {
        let file = Manifest.fileName
        let bytes: [UInt8]
        do throws(BlockError) {
            bytes = try SmallFile.read(file, in: folder, limit: Manifest.maximumLength)
        } catch {
            if error.isForbidden { throw .folder(error) }
            problem = Problem(
                .manifest, error.isNotFound ? "no manifest: the clone is incomplete" : error.description, file: file)
            return
        }
        digest = Digest(of: bytes)
        do throws(FormatError) {
            manifest = try Manifest(opening: bytes, file: file)
        } catch {
            problem = Problem(.manifest, error.description, file: file)
        }
    }
}

extension Manifest {
    /// Returns what the manifest says that cannot be true together.
    func contradictions() -> [Problem] {
        var problems: [Problem] = []
        func found(_ reason: String, disk: String? = nil) {
            problems.append(
                Problem(
                    .manifest, "\(Self.fileName) contradicts itself: \(reason)", disk: disk, file: Self.fileName))
        }
        var names = Set<String>()
        for disk in disks {
            if !names.insert(disk.name).inserted { found("two disks are called \(disk.name)", disk: disk.name) }
            if [disk.image.file, disk.chunks.file].contains(where: FolderListing.ownFiles.contains) {
                found("a file of \(disk.name) has the name of another", disk: disk.name)
            }
            let chunks = disk.chunks
            let counts = [chunks.zero, chunks.data, chunks.lost]
            if !add(counts, upTo: Chunk.count(length: disk.lengthInBytes)) {
                found("the chunks of \(disk.name) do not add up to its length", disk: disk.name)
            }
            let bytes = disk.bytes
            if !add([bytes.read, bytes.skipped, bytes.unreadable], upTo: disk.lengthInBytes) {
                found("the bytes of \(disk.name) do not add up to its length", disk: disk.name)
            }
            if (bytes.unreadable > 0) != (chunks.lost > 0) {
                found("\(disk.name) has unreadable bytes or lost chunks, but not both", disk: disk.name)
            }
        }
        if state == .complete, disks.contains(where: { $0.chunks.lost > 0 }) {
            found("it is complete, but chunks are lost")
        }
        return problems
    }

    /// Tells whether `parts`, none negative, add up to `total`; numbers from a file may overflow.
    private func add<Number: FixedWidthInteger>(_ parts: [Number], upTo total: Number) -> Bool {
        var rest = total
        for part in parts {
            guard part >= 0, part <= rest else { return false }
            rest -= part
        }
        return rest == 0
    }
}
