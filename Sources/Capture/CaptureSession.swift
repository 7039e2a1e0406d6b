// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Synchronization
internal import Verification

/// The work of a capture in a clone's folder, whether it is new or goes on.
struct CaptureSession {
    let folder: String
    var journal: Journal
    let disks: [CaptureDisk]
    let agent: Program
    private(set) var options: CaptureOptions
    let progress: CaptureProgress
    private(set) var cancellation: CancellationFlag

    init(
        folder: String, journal: Journal, disks: [CaptureDisk], agent: Program, options: CaptureOptions,
        progress: CaptureProgress, cancellation: CancellationFlag
    ) {
        self.folder = folder
        self.journal = journal
        self.disks = disks
        self.agent = agent
        self.options = options
        self.progress = progress
        self.cancellation = cancellation
    }

    /// Captures what is not captured yet, and writes the manifest.
    func run(_ events: EventLog) throws(CaptureError) -> CloneCapture.Outcome {
        do throws(CaptureError) {
            progress.begin(bytesToRead: try bytesToRead())
            let records = try captureRest(behind: try keepFinished(events), events)
            if cancellation.isCancelled { throw .cancelled(folder: folder) }
            events.append(CloneEvent(.captureFinished, bytesRead: progress.bytesRead))
            events.synchronize()
            return CloneCapture.Outcome(folder: folder, manifest: try finish(tellLosses(records)))
        } catch {
            let isCancelled = if case .cancelled = error { true } else { false }
            events.append(CloneEvent(isCancelled ? .captureCancelled : .captureFailed, message: error.description))
            events.synchronize()
            switch error {
            case .io, .image(.io): throw .interrupted(folder: folder, error)
            default: throw error
            }
        }
    }

    /// Returns the bytes of `journal`.
    static func encoded(_ journal: Journal) throws(CaptureError) -> [UInt8] {
        do { return try journal.encoded() } catch {
            throw .format(.damaged(file: Journal.fileName, reason: "\(error)"))
        }
    }

    private func store(_ journal: Journal) throws(CaptureError) {
        let bytes = try Self.encoded(journal)
        do throws(BlockError) {
            try Folder.writeDurably(bytes, to: Journal.fileName, in: folder, replacing: true)
        } catch {
            throw .io(error)
        }
    }

    private var cloneUUID: [UInt8] { UUIDText.bytes(journal.cloneUuid) ?? [] }

    /// Returns the records of disks that an earlier run finished, re-read and found whole; the rest is done again.
    private func keepFinished(_ events: EventLog) throws(CaptureError) -> [DiskRecord] {
        var kept: [DiskRecord] = []
        for record in journal.finished {
            progress.enter(disk: record.name)
            defer { progress.leave(disk: record.name) }
            let problems: [Problem]
            do throws(VerificationError) {
                problems = try CloneVerification(folder: folder).problems(
                    of: record, cloneUuid: journal.cloneUuid, base: journal.base, cancellation: cancellation)
            } catch {
                if cancellation.isCancelled { throw .cancelled(folder: folder) }
                throw .notResumable(folder: folder, reason: error.description)
            }
            if let problem = problems.first {
                events.append(CloneEvent(.diskStarted, disk: record.name, message: "again: \(problem.message)"))
                break
            }
            progress.addRead(record.bytes.read)
            kept.append(record)
        }
        return kept
    }

    /// Returns what there is to read, for the estimate.
    private func bytesToRead() throws(CaptureError) -> Int64 {
        var total: Int64 = 0
        for disk in disks { total += try Self.bytesToRead(of: disk) }
        return total
    }

    private static func bytesToRead(of disk: CaptureDisk) throws(CaptureError) -> Int64 {
        do throws(BlockError) { return try DiskExtents(disk).bytesToRead() } catch { throw .io(error) }
    }

    /// What the disks' threads share.
    private struct Shared {
        var journal: Journal
        var records: [Int: DiskRecord]
        var nextLane = 0
        var failure: CaptureError?

        mutating func takeLane(of lanes: [[Int]]) -> [Int]? {
            guard failure == nil, nextLane < lanes.count else { return nil }
            defer { nextLane += 1 }
            return lanes[nextLane]
        }
    }

    /// Captures the disks behind those of `kept`: lanes at the same time, disks of one lane one after the other.
    private func captureRest(
        behind kept: [DiskRecord], _ events: EventLog
    ) throws(CaptureError) -> [DiskRecord] {
        var lanes: [[Int]] = []
        for order in disks.indices.dropFirst(kept.count) {
            if let lane = lanes.firstIndex(where: { disks[$0[0]].lane == disks[order].lane }) {
                lanes[lane].append(order)
            } else {
                lanes.append([order])
            }
        }
        var session = self
        session.options.sharers = max(min(lanes.count, options.parallelDisks), 1)
        // One that fails stops the others: what they have is kept for a resumption.
        session.cancellation = cancellation.makeChild()
        let work = (session: session, lanes: lanes)
        if options.choosesDirect {
            var toRead: Int64 = 0
            for order in lanes.joined() { toRead += try Self.bytesToRead(of: disks[order]) }
            let trial = DirectWriteTrial(folder: folder, cancellation: cancellation)
            session.options.writesDirect = trial.pays(bytesToRead: toRead, options)
        }
        let pacer = options.rateLimit.map { Pacer(bytesPerSecond: $0, cancellation: work.session.cancellation) }
        let records = Dictionary(kept.enumerated().map { ($0.offset, $0.element) }) { $1 }
        let shared = Mutex(Shared(journal: journal, records: records))
        do throws(BlockError) {
            try ParallelWork.run(threads: min(lanes.count, work.session.options.sharers)) { _ in
                while let lane = shared.withLock({ $0.takeLane(of: work.lanes) }) {
                    for order in lane {
                        do throws(CaptureError) {
                            let record = try work.session.capture(work.session.disks[order], order, events, pacer)
                            try shared.withLock { shared in work.session.keep(record, order, in: &shared) }.get()
                        } catch {
                            shared.withLock { if $0.failure == nil { $0.failure = error } }
                            return work.session.cancellation.cancel()
                        }
                    }
                }
            }
        } catch {
            throw .io(error)
        }
        return try shared.withLock { shared -> Result<[DiskRecord], CaptureError> in
            if let failure = shared.failure { return .failure(failure) }
            return .success(disks.indices.compactMap { shared.records[$0] })
        }.get()
    }

    /// Keeps a finished disk's record, in the journal once all before it are finished.
    private func keep(_ record: DiskRecord, _ order: Int, in shared: inout Shared) -> Result<Void, CaptureError> {
        shared.records[order] = record
        shared.journal.finished = []
        for order in disks.indices {
            guard let record = shared.records[order] else { break }
            shared.journal.finished.append(record)
        }
        do throws(CaptureError) { return .success(try store(shared.journal)) } catch { return .failure(error) }
    }

    private func capture(
        _ disk: CaptureDisk, _ order: Int, _ events: EventLog, _ pacer: Pacer?
    ) throws(CaptureError) -> DiskRecord {
        progress.enter(disk: disk.name)
        defer { progress.leave(disk: disk.name) }
        events.append(CloneEvent(.diskStarted, disk: disk.name, message: disk.source.name))
        let clock = ContinuousClock()
        let start = clock.now
        let imageFile = "\(disk.name).\(options.format.rawValue)"
        let chunkFile = "\(disk.name).chunks"
        let length = disk.source.lengthInBytes
        let files = DiskFiles(
            folder: folder, disk: disk, cloneUUID: cloneUUID, options: options.fitted(to: disk.access))
        let result = try files.open(
            progress: progress, cancellation: cancellation, events: events, pacer: pacer
        ).run()
        let unreadable = result.unreadable.reduce(0) { $0 + $1.length }
        try writeRescueMap(of: disk, result.unreadable)
        events.append(
            CloneEvent(
                .diskFinished, disk: disk.name, message: unreadable > 0 ? "\(unreadable) bytes are unreadable" : nil,
                bytesRead: result.bytesRead, seconds: (clock.now - start) / .seconds(1)))
        var record = DiskRecord(
            name: disk.name, order: order, source: disk.source.name, lengthInBytes: length,
            logicalSectorSizeInBytes: disk.source.logicalSectorSize,
            physicalSectorSizeInBytes: disk.source.physicalSectorSize, contentDigest: result.header.contentDigest,
            image: imageRecord(imageFile, result.summary),
            chunks: try chunkRecord(chunkFile, result.header),
            bytes: ByteTotals(
                read: result.bytesRead, skipped: length - result.bytesRead - unreadable, unreadable: unreadable),
            skipped: result.skipped.totals, skippedExtents: result.skipped.extents,
            unreadable: Array(result.unreadable.prefix(Manifest.maximumListedExtents)))
        record.base = disk.base.map {
            DiskBaseRecord(
                imageFile: $0.record.image.file, imageFormat: $0.record.image.format,
                contentDigest: $0.record.contentDigest, equalBytes: result.equalBytes)
        }
        record.losses = LossMap.losses(result.unreadable, in: disk.places)
        return record
    }

    /// Tells what files lost, as long as it takes or the time for bad places is.
    private func tellLosses(_ records: [DiskRecord]) -> [DiskRecord] {
        let deadline = options.recoveryTimeLimit.map { ContinuousClock.now + $0 }
        let cancellation = cancellation
        return LossMap.tell(records, of: disks) {
            !cancellation.isCancelled && deadline.map { ContinuousClock.now < $0 } ?? true
        }
    }

    /// Writes the list of all that is missing, for people and for GNU ddrescue.
    private func writeRescueMap(
        of disk: CaptureDisk, _ bad: [ByteRange]
    ) throws(CaptureError) {
        let map = RescueMap(diskLength: disk.source.lengthInBytes, bad: bad)
        do throws(BlockError) {
            // An earlier run may have left one of what could be read since.
            guard !bad.isEmpty else { return try Folder.remove("\(folder)/\(disk.name).map") }
            try Folder.writeDurably(Array(map.text.utf8), to: "\(disk.name).map", in: folder, replacing: true)
        } catch {
            throw .io(error)
        }
    }

    private func imageRecord(_ file: String, _ summary: ImageSummary) -> ImageRecord {
        ImageRecord(
            file: file, format: options.format.rawValue, compression: options.compression.rawValue,
            clusterSizeInBytes: options.format == .qcow2 ? options.clusterSize : nil,
            headerDigest: summary.headerCluster.map { Digest(of: $0) }, lengthInBytes: summary.fileLength)
    }

    private func chunkRecord(
        _ file: String, _ header: ChunkFileHeader
    ) throws(CaptureError) -> ChunkRecord {
        let digest: Digest
        do throws(BlockError) {
            digest = try FileDigest.sha256(of: FileSource("\(folder)/\(file)", direct: .never))
        } catch {
            throw .io(error)
        }
        return ChunkRecord(
            file: file, lengthInBytes: header.fileLength, digest: digest,
            zero: header.chunkCount - header.dataChunks - header.lostChunks, data: header.dataChunks,
            lost: header.lostChunks)
    }

    private func finish(_ records: [DiskRecord]) throws(CaptureError) -> Manifest {
        var manifest = Manifest(
            cloneId: journal.cloneId, cloneUuid: journal.cloneUuid, machine: journal.machine, agent: agent,
            startedAt: journal.startedAt, finishedAt: Timestamp().rfc3339, disks: records)
        manifest.freeSpace = journal.freeSpace
        manifest.base = journal.base
        let inventory = journal.machine.inventory ?? Machine()
        let domain = Array(DomainXML(cloneId: manifest.cloneId, machine: inventory, disks: records).text.utf8)
        manifest.domainDigest = Digest(of: domain)
        let bytes: [UInt8]
        do { bytes = try manifest.sealed() } catch {
            throw .format(.damaged(file: Manifest.fileName, reason: "\(error)"))
        }
        do throws(BlockError) {
            try Folder.writeDurably(domain, to: DomainXML.fileName, in: folder, replacing: true)
            try Folder.synchronize(folder)
            try Folder.writeDurably(bytes, to: Manifest.fileName, in: folder)
            for disk in disks { try Folder.remove("\(folder)/\(disk.name).journal") }
            try Folder.remove("\(folder)/\(Journal.fileName)")
            try Folder.synchronize(folder)
        } catch {
            throw .io(error)
        }
        return manifest
    }
}
