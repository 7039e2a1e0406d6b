// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// Verifies one disk of a clone: its chunk file, its image's structure, and every chunk.
struct DiskVerification {
    let folder: PinnedFolder
    let disk: DiskRecord
    let cloneUUID: [UInt8]
    /// The clones behind, or why they cannot be read.
    let chain: Result<CloneChain, CloneChain.Failure>
    let options: CloneVerification.Options
    let log: ProblemLog
    let progress: VerificationProgress
    let cancellation: CancellationFlag

    /// Adds what is wrong to the log, and returns what was checked.
    ///
    /// - Throws: `VerificationError` when there are no threads.
    func run() throws(VerificationError) -> VerifiedDisk {
        var result = VerifiedDisk(
            name: disk.name, lengthInBytes: disk.lengthInBytes, contentDigest: nil, checkedChunks: 0, zeroChunks: 0)
        let chunkFile = ChunkFileCheck(
            folder: folder, disk: disk, cloneUUID: cloneUUID, options: options, log: log, cancellation: cancellation
        ).run()
        guard let image = openImage(), !cancellation.isCancelled else { return result }
        checkStructure(image)
        guard let chunkFile, !cancellation.isCancelled else { return result }

        let check = ImageCheck(
            image: image, disk: disk, chunkFile: chunkFile, log: log, progress: progress, cancellation: cancellation)
        let found: ImageCheck.Result
        do throws(BlockError) {
            found = try check.run(threads: options.jobs ?? ParallelWork.processorCount)
        } catch {
            throw .machine(error)
        }
        result.contentDigest = found.contentDigest
        result.checkedChunks = found.checkedChunks
        result.zeroChunks = found.zeroChunks
        if let digest = found.contentDigest, digest != disk.contentDigest {
            log.add(
                Problem(
                    .digestMismatch, "\(disk.name) has the content digest \(digest), not that of the manifest",
                    disk: disk.name, file: disk.image.file, offset: 0, length: disk.lengthInBytes))
        }
        return result
    }

    private func openImage() -> (any ImageReader)? {
        let record = disk.image
        guard let format = ImageFormat(rawValue: record.format) else {
            report(.image, "\(record.file) has the format \(record.format.debugDescription), which is not known here")
            return nil
        }
        guard let file = OpenedFile.open(record.file, in: folder, disk: disk.name, options: options, log: log) else {
            return nil
        }
        if file.lengthInBytes != record.lengthInBytes {
            log.add(
                OpenedFile.wrongLength(
                    record.file, disk: disk.name, found: file.lengthInBytes, expected: record.lengthInBytes))
        }
        if format == .qcow2 {
            Qcow2HeaderCheck(file: file, record: record).run { report($0, $1) }
        }
        let backing: BackingImage?
        do throws(CloneChain.Failure) { backing = try chain.get().backing(of: disk, options) } catch {
            report(.missingFile, "\(record.file) cannot be read: \(error.message)")
            return nil
        }
        do throws(ImageError) {
            let image = try DiskImage.open(file, format: format, backing: backing)
            if image.lengthInBytes != disk.lengthInBytes {
                report(
                    .wrongLength,
                    "\(record.file) is of a disk of \(image.lengthInBytes) bytes, \(disk.name) has \(disk.lengthInBytes)"
                )
            }
            return image
        } catch {
            report(.image, error.description)
            return nil
        }
    }

    private func checkStructure(_ image: any ImageReader) {
        do throws(BlockError) {
            try image.checkStructure { problem in
                log.add(
                    Problem(
                        .structure, "\(disk.image.file) is damaged at \(problem.description)", disk: disk.name,
                        file: disk.image.file, clusterOffset: problem.fileOffset))
                return !cancellation.isCancelled
            }
        } catch {
            report(.unreadable, error.description)
        }
    }

    private func report(_ kind: Problem.Kind, _ message: String) {
        log.add(Problem(kind, message, disk: disk.name, file: disk.image.file))
    }
}
