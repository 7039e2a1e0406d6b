// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage

/// The files of one disk in a clone's folder: made anew, or taken up where an earlier run left them.
struct DiskFiles {
    let folder: String
    let disk: CaptureDisk
    let cloneUUID: [UInt8]
    let options: CaptureOptions

    private var imagePath: String { "\(folder)/\(disk.name).\(options.format.rawValue)" }
    private var chunkPath: String { "\(folder)/\(disk.name).chunks" }
    private var journalPath: String { "\(folder)/\(disk.name).journal" }
    private var length: Int64 { disk.source.lengthInBytes }

    /// Opens image, chunk file and journal, and returns the capture that fills them.
    func open(
        progress: CaptureProgress, cancellation: CancellationFlag, events: EventLog, pacer: Pacer?
    ) throws(CaptureError) -> DiskCapture {
        let result: Result<DiskCapture, CaptureError>
        do throws(BlockError) {
            if Folder.exists(journalPath), Folder.exists(imagePath) {
                result = try reopen(progress, cancellation, events, pacer)
            } else {
                result = try begin(progress, cancellation, pacer)
            }
        } catch {
            throw .io(error)
        }
        return try result.get()
    }

    /// Makes the files anew: what is left of them without a journal, nobody could vouch for.
    private func begin(
        _ progress: CaptureProgress, _ cancellation: CancellationFlag, _ pacer: Pacer?
    ) throws(BlockError) -> Result<DiskCapture, CaptureError> {
        for path in [imagePath, chunkPath, journalPath] { try Folder.remove(path) }
        let image = try FileSink(creating: imagePath, direct: options.writesDirect)
        return try make(image, state: DiskResume.State(), resume: nil, progress, cancellation, pacer)
    }

    private func reopen(
        _ progress: CaptureProgress, _ cancellation: CancellationFlag, _ events: EventLog, _ pacer: Pacer?
    ) throws(BlockError) -> Result<DiskCapture, CaptureError> {
        let image = try FileSink(resuming: imagePath, direct: options.writesDirect)
        let probe: any ImageWriter
        // Units as the earlier run cut them, whatever the source is read by now.
        let unitLength = DiskResume.unitLength(ofJournal: journalPath)
        do throws(CaptureError) { probe = try makeWriter(image, unitLength) } catch { return .failure(error) }
        let threads = options.threadCount(unitLength: probe.unitLength)
        guard
            let resume = DiskResume(
                path: journalPath, cloneUUID: cloneUUID, diskLength: length, unitLength: probe.unitLength,
                threads: threads, base: disk.base, cancellation: cancellation)
        else { return try begin(progress, cancellation, pacer) }
        let state: DiskResume.State
        do throws(CaptureError) { state = try resume.verify(probe) } catch { return .failure(error) }
        if cancellation.isCancelled { return .failure(.cancelled(folder: folder)) }
        events.append(
            CloneEvent(.diskResumed, disk: disk.name, message: "\(state.unitCount) units re-read and found whole"))
        try Folder.remove(chunkPath)
        return try make(image, state: state, resume: resume, progress, cancellation, pacer)
    }

    private func make(
        _ image: FileSink, state: DiskResume.State, resume: DiskResume?, _ progress: CaptureProgress,
        _ cancellation: CancellationFlag, _ pacer: Pacer?
    ) throws(BlockError) -> Result<DiskCapture, CaptureError> {
        let writer: any ImageWriter
        do throws(CaptureError) { writer = try makeWriter(image, resume?.unitLength) } catch { return .failure(error) }
        var chunks = ChunkFileWriter(try FileSink(creating: chunkPath), cloneUUID: cloneUUID, diskLength: length)
        let journal =
            resume == nil ? try FileSink(creating: journalPath) : try FileSink(resuming: journalPath)
        var resumed: ResumedDisk?
        if let resume {
            try journal.setLength(state.journalEnd)
            do throws(CaptureError) {
                resumed = try ResumedDisk(
                    resume, state, disk: DiskExtents(disk), writer: writer, chunks: &chunks, progress: progress)
            } catch {
                return .failure(error)
            }
        } else {
            let header = DiskJournal(unitLength: writer.unitLength, cloneUUID: cloneUUID, diskLength: length)
            try journal.write(header.encodedHeader(), at: 0)
            try journal.synchronize()
            // The names of image and journal must be there before anything relies on them.
            try Folder.synchronize(folder)
        }
        let inFlight = Int64(options.threadCount(unitLength: writer.unitLength) * writer.unitLength)
        let checkpoints = CheckpointLog(
            journal: journal, journalEnd: state.journalEnd, firstTicket: state.unitCount, image: image,
            maximumLoss: options.interruptionCost, inFlight: inFlight, sharers: options.sharers)
        return .success(
            DiskCapture(
                disk: DiskExtents(disk), writer: writer, chunkFile: chunks, options: options, folder: folder,
                progress: progress, cancellation: cancellation, checkpoints: checkpoints, resumed: resumed,
                pacer: pacer, base: disk.base, parallelReads: disk.access.parallelReads))
    }

    private func makeWriter(_ sink: FileSink, _ unitLength: Int?) throws(CaptureError) -> any ImageWriter {
        let unitLength = unitLength ?? disk.access.requestLength
        switch options.format {
        case .raw: return RawImageWriter(sink, diskLength: length, unitLength: unitLength)
        case .qcow2:
            do throws(ImageError) {
                return try Qcow2Writer(
                    sink, diskLength: length, options: options.qcow2Options(of: disk), unitLength: unitLength)
            } catch {
                throw .image(error)
            }
        }
    }
}
