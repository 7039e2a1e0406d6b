// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
public import DiskImage

/// The clones that an overlay's images cannot be read without, the nearest first.
///
/// Each is looked for in one place only, the folder beside its successor's that bears the recorded name, and must have
/// the very manifest that its successor recorded. What an image's header names is compared with that, never followed.
public struct CloneChain: Sendable {
    /// Why a chain cannot be used.
    public struct Failure: Error, Sendable, Hashable {
        /// What is wrong, in a sentence.
        public var message: String
    }

    private struct Link: Sendable {
        var record: BaseRecord
        var folder: PinnedFolder
        var manifest: Manifest
    }

    private let links: [Link]

    /// What each clone's successor recorded of it, the nearest first.
    public var records: [BaseRecord] { links.map(\.record) }

    /// Opens the manifests behind the clone in `folder`, whose base is `record`.
    ///
    /// A clone that was copied from its base does not need it: its chain is empty.
    /// - Throws: `Failure` for a base that is missing, incomplete or another one.
    public init(behind folder: PinnedFolder, _ record: BaseRecord?) throws(Failure) {
        var links: [Link] = []
        var folder = folder
        var next = record
        while let record = next, record.kind == .overlay {
            // Depths fall by one from clone to clone, so that the walk ends.
            guard links.last.map({ $0.record.depth == record.depth + 1 }) ?? (record.depth < BaseRecord.maximumDepth)
            else { throw Failure(message: "the clones behind \(record.cloneId) are not as many as recorded") }
            folder = try Self.folder(of: record, beside: folder)
            let manifest = try Self.manifest(of: record, in: folder)
            links.append(Link(record: record, folder: folder, manifest: manifest))
            next = manifest.base
        }
        guard links.count == (record?.depth ?? 0) else {
            throw Failure(message: "there are \(links.count) clones behind it, and not as many as recorded")
        }
        self.links = links
    }

    private static func folder(
        of record: BaseRecord, beside folder: PinnedFolder
    ) throws(Failure) -> PinnedFolder {
        do throws(BlockError) { return try folder.sibling(record.cloneId) } catch {
            throw Failure(message: "its base, the clone \(record.cloneId), is not in the folder beside it")
        }
    }

    private static func manifest(of record: BaseRecord, in folder: PinnedFolder) throws(Failure) -> Manifest {
        let reading: ManifestReading
        do throws(VerificationError) { reading = try ManifestReading(folder: folder) } catch {
            throw Failure(message: "its base cannot be read: \(error.description)")
        }
        guard let manifest = reading.manifest else {
            throw Failure(
                message: "its base, the clone \(record.cloneId): \(reading.problem?.message ?? "no manifest")")
        }
        guard reading.digest == record.manifestDigest, manifest.cloneUuid == record.cloneUuid,
            manifest.cloneId == record.cloneId
        else {
            throw Failure(message: "\(record.cloneId) is not the clone that it was made against: its manifest differs")
        }
        return manifest
    }

    /// Opens the image behind that of `disk`; nil when the disk's image stands alone.
    ///
    /// - Throws: `Failure` when it is missing or not what its own clone's manifest says.
    public func backing(of disk: DiskRecord, _ options: CloneVerification.Options) throws(Failure) -> BackingImage? {
        try backing(of: disk, from: 0, options)
    }

    private func backing(
        of disk: DiskRecord, from index: Int, _ options: CloneVerification.Options
    ) throws(Failure) -> BackingImage? {
        guard index < links.count, let base = disk.base else { return nil }
        let link = links[index]
        func failure(_ reason: String) -> Failure {
            Failure(message: "\(link.record.cloneId)/\(base.imageFile) \(reason)")
        }
        guard let record = link.manifest.disks.first(where: { $0.image.file == base.imageFile }),
            let format = ImageFormat(rawValue: record.image.format), record.image.format == base.imageFormat,
            record.lengthInBytes == disk.lengthInBytes, record.contentDigest == base.contentDigest
        else { throw failure("is not the image of \(disk.name) that its manifest names") }
        let behind = try backing(of: record, from: index + 1, options)
        do {
            let file = try FileSource(
                base.imageFile, in: link.folder, direct: options.freshness == .direct ? .always : .never)
            guard !file.isBlockDevice else { throw failure("is a device, and no file") }
            file.dropCache()
            guard file.lengthInBytes == record.image.lengthInBytes else {
                throw failure("has \(file.lengthInBytes) bytes where its manifest says \(record.image.lengthInBytes)")
            }
            if format == .qcow2 {
                var problem: String?
                Qcow2HeaderCheck(file: file, record: record.image).run { problem = problem ?? $1 }
                if let problem { throw failure("is damaged: \(problem)") }
            }
            return BackingImage(
                name: BackingName(file: "../\(link.record.cloneId)/\(base.imageFile)", format: format),
                content: try DiskImage.open(file, format: format, backing: behind))
        } catch let error as Failure {
            throw error
        } catch let error as BlockError {
            throw Failure(message: error.description)
        } catch let error as ImageError {
            throw Failure(message: error.description)
        } catch {
            throw failure("cannot be opened")
        }
    }
}
