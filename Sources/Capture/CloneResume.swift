// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
internal import DiskImage
internal import DiskLayout

/// Goes on with a capture that was interrupted: a signal, a power cut, a target that went away.
///
/// What an earlier run left is re-read from the target before it is trusted; the source must be the same.
public struct CloneResume: Sendable {
    private let folder: String
    /// What the earlier run set out to do.
    public let journal: Journal

    /// Reads the journal in the clone's `folder`.
    ///
    /// - Throws: `CaptureError` when there is none, or when the clone is complete.
    public init(folder: String) throws(CaptureError) {
        self.folder = folder
        guard !Folder.exists("\(folder)/\(Manifest.fileName)") else {
            throw .notResumable(folder: folder, reason: "it is complete: it has a manifest")
        }
        let bytes: [UInt8]
        do throws(BlockError) {
            bytes = try SmallFile.read("\(folder)/\(Journal.fileName)", limit: Manifest.maximumLength)
        } catch {
            if error.isNotFound { throw .notResumable(folder: folder, reason: "it has no journal") }
            throw .io(error)
        }
        do throws(FormatError) {
            journal = try Journal(opening: bytes, file: Journal.fileName)
        } catch {
            throw .format(error)
        }
    }

    /// Captures what is missing from `disks`, which are the journal's in its order, and writes the manifest.
    ///
    /// Their maps are made anew as the journal's `freeSpace` says; their names are the journal's.
    /// Format and compression are those of the earlier run; memory, threads and retries those of `options`.
    /// - Throws: `CaptureError`; the clone can be resumed again.
    public func run(
        disks named: [CaptureDisk], agent: Program, options: CaptureOptions,
        progress: CaptureProgress, cancellation: CancellationFlag, preceding: [CloneEvent] = []
    ) throws(CaptureError) -> CloneCapture.Outcome {
        guard named.count == journal.disks.count else {
            throw .notResumable(
                folder: folder, reason: "it is of \(journal.disks.count) disks, and \(named.count) are named")
        }
        var disks: [CaptureDisk] = []
        for (entry, disk) in zip(journal.disks, named) {
            try check(disk.source, entry)
            guard disk.map?.digest == entry.allocation else {
                throw .notResumable(
                    folder: folder, reason: "another part of \(disk.source.name) is in use than at the begin")
            }
            var disk = disk
            disk.name = entry.name
            disks.append(disk)
        }
        var options = options
        guard let format = ImageFormat(rawValue: journal.imageFormat),
            let compression = ImageCompression(rawValue: journal.compression)
        else { throw .notResumable(folder: folder, reason: "its format is not known to this release") }
        options.format = format
        options.compression = compression
        options.adaptsCompression = journal.adaptsCompression ?? false
        options.level = journal.level
        options.clusterSize = journal.clusterSizeInBytes
        if let record = journal.base {
            disks = try CaptureBase(of: folder, record).applied(
                to: disks, machine: journal.machine, options: options)
        }
        try options.check(disks)
        let events: EventLog
        do throws(BlockError) { events = try EventLog(resuming: folder) } catch { throw .io(error) }
        for event in preceding { events.append(event) }
        events.append(CloneEvent(.captureResumed, message: "\(agent.name) \(agent.version)"))
        let session = CaptureSession(
            folder: folder, journal: journal, disks: disks, agent: agent, options: options, progress: progress,
            cancellation: cancellation)
        return try session.run(events)
    }

    private func check(_ source: any BlockSource, _ entry: JournalDisk) throws(CaptureError) {
        guard source.lengthInBytes == entry.lengthInBytes else {
            throw .notResumable(
                folder: folder,
                reason: "\(source.name) has \(source.lengthInBytes) bytes, \(entry.name) had \(entry.lengthInBytes)")
        }
        guard let expected = entry.identity else { return }
        guard DiskIdentity.digest(of: source) == expected else {
            throw .notResumable(
                folder: folder,
                reason: "\(source.name) is not the disk \(entry.name) that it was begun with, or was changed since")
        }
    }
}
