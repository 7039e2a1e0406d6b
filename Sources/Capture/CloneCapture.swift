// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
internal import DiskImage

/// Captures the disks of one machine into one clone folder.
public struct CloneCapture: Sendable {
    private let disks: [CaptureDisk]
    private let target: String
    private let machine: MachineIdentity
    private let agent: Program
    private let options: CaptureOptions

    /// Prepares the capture of `disks`, in the machine's order, into a new folder below `target`, which exists.
    public init(
        disks: [CaptureDisk], target: String, machine: MachineIdentity, agent: Program, options: CaptureOptions
    ) {
        self.disks = disks
        self.target = target
        self.machine = machine
        self.agent = agent
        self.options = options
    }

    /// What a finished capture left.
    public struct Outcome: Sendable {
        /// The clone's folder.
        public var folder: String
        /// The manifest, as written.
        public var manifest: Manifest
    }

    /// Captures everything and writes the manifest last.
    ///
    /// Whatever goes wrong, there is no manifest then: what the folder holds is no clone.
    /// - Throws: `CaptureError`, `cancelled` included.
    public func run(progress: CaptureProgress, cancellation: CancellationFlag) throws(CaptureError) -> Outcome {
        try check()
        let started = Timestamp()
        let name = FileName.sanitize(machine.name, fallback: "machine")
        let id = "\(name)-\(started.compact)"
        let folder = "\(target)/\(id)"
        progress.begin(bytesToRead: try bytesToRead())
        let journal = Journal(cloneId: id, cloneUuid: UUIDText.random(), startedAt: started.rfc3339)
        let events = try createFolder(folder, journal)
        events.append(CloneEvent(.captureStarted, message: "\(agent.name) \(agent.version)"))
        do throws(CaptureError) {
            var records: [DiskRecord] = []
            for (order, disk) in disks.enumerated() {
                records.append(try capture(disk, order, folder, journal, events, progress, cancellation))
            }
            if cancellation.isCancelled { throw .cancelled(folder: folder) }
            events.append(CloneEvent(.captureFinished, bytesRead: progress.bytesRead))
            events.synchronize()
            let manifest = try finish(folder, journal, records)
            return Outcome(folder: folder, manifest: manifest)
        } catch {
            let isCancelled = if case .cancelled = error { true } else { false }
            events.append(
                CloneEvent(isCancelled ? .captureCancelled : .captureFailed, message: error.description))
            events.synchronize()
            throw error
        }
    }

    private func check() throws(CaptureError) {
        guard !disks.isEmpty else { throw .invalid("there is no disk to capture", hint: nil) }
        if options.format == .raw, options.compression != .none {
            throw .invalid("a raw image cannot be compressed", hint: "use --format qcow2, or --compression none")
        }
        var names = Set<String>()
        for disk in disks {
            guard FileName.isSafe(disk.name), names.insert(disk.name).inserted else {
                throw .invalid("\(disk.name.debugDescription) is no name for a disk, or stands twice", hint: nil)
            }
            guard disk.source.lengthInBytes <= ChunkFileHeader.maximumDiskLength else {
                throw .invalid("\(disk.source.name) is longer than 2^53 bytes", hint: nil)
            }
            guard options.format == .qcow2 else { continue }
            do throws(ImageError) {
                try Qcow2Writer.check(qcow2Options, diskLength: disk.source.lengthInBytes)
            } catch {
                throw .image(error)
            }
        }
    }

    private var qcow2Options: Qcow2Writer.Options {
        .init(clusterSize: options.clusterSize, compression: options.compression, level: options.level)
    }

    /// Returns what there is to read, for the estimate; a source in very many pieces is counted roughly.
    private func bytesToRead() throws(CaptureError) -> Int64 {
        var total: Int64 = 0
        for disk in disks {
            var position: Int64 = 0
            var extents = 0
            while position < disk.source.lengthInBytes, extents < 100_000 {
                do throws(BlockError) {
                    let extent = try disk.source.extent(at: position)
                    if extent.kind != .hole { total += extent.length }
                    position = extent.end
                } catch {
                    throw .io(error)
                }
                extents += 1
            }
            total += disk.source.lengthInBytes - position
        }
        return total
    }

    private func createFolder(_ folder: String, _ journal: Journal) throws(CaptureError) -> EventLog {
        let bytes: [UInt8]
        do { bytes = try journal.encoded() } catch {
            throw .format(.damaged(file: Journal.fileName, reason: "\(error)"))
        }
        do throws(BlockError) {
            try Folder.create(folder)
            try Folder.writeDurably(bytes, to: Journal.fileName, in: folder)
            try Folder.synchronize(target)
            return try EventLog(folder: folder)
        } catch {
            throw .io(error)
        }
    }

    private func capture(
        _ disk: CaptureDisk, _ order: Int, _ folder: String, _ journal: Journal, _ events: EventLog,
        _ progress: CaptureProgress, _ cancellation: CancellationFlag
    ) throws(CaptureError) -> DiskRecord {
        progress.enter(disk: disk.name)
        events.append(CloneEvent(.diskStarted, disk: disk.name, message: disk.source.name))
        let clock = ContinuousClock()
        let start = clock.now
        let imageFile = "\(disk.name).\(options.format.rawValue)"
        let chunkFile = "\(disk.name).chunks"
        let length = disk.source.lengthInBytes
        let writer = try makeWriter("\(folder)/\(imageFile)", length)
        let chunkSink: FileSink
        do throws(BlockError) {
            chunkSink = try FileSink(creating: "\(folder)/\(chunkFile)")
        } catch {
            throw .io(error)
        }
        let chunks = ChunkFileWriter(
            chunkSink, cloneUUID: UUIDText.bytes(journal.cloneUuid) ?? [], diskLength: length)
        let result = try DiskCapture(
            source: disk.source, writer: writer, chunkFile: chunks, options: options, folder: folder,
            progress: progress, cancellation: cancellation
        ).run()
        let unreadable = result.unreadable.reduce(0) { $0 + $1.length }
        if unreadable > 0 { try writeRescueMap(of: disk, result.unreadable, folder) }
        events.append(
            CloneEvent(
                .diskFinished, disk: disk.name, message: unreadable > 0 ? "\(unreadable) bytes are unreadable" : nil,
                bytesRead: result.bytesRead, seconds: (clock.now - start) / .seconds(1)))
        return DiskRecord(
            name: disk.name, order: order, source: disk.source.name, lengthInBytes: length,
            logicalSectorSizeInBytes: disk.source.logicalSectorSize,
            physicalSectorSizeInBytes: disk.source.physicalSectorSize, contentDigest: result.header.contentDigest,
            image: imageRecord(imageFile, result.summary),
            chunks: try chunkRecord(chunkFile, folder, result.header),
            bytes: ByteTotals(
                read: result.bytesRead, skipped: length - result.bytesRead - unreadable, unreadable: unreadable),
            skipped: result.skippedTotal.extents > 0 ? [result.skippedTotal] : [], skippedExtents: result.skipped,
            unreadable: Array(result.unreadable.prefix(Manifest.maximumListedExtents)))
    }

    /// Writes the list of all that is missing, for people and for GNU ddrescue.
    private func writeRescueMap(
        of disk: CaptureDisk, _ bad: [ByteRange], _ folder: String
    ) throws(CaptureError) {
        let map = RescueMap(diskLength: disk.source.lengthInBytes, bad: bad)
        do throws(BlockError) {
            try Folder.writeDurably(Array(map.text.utf8), to: "\(disk.name).map", in: folder)
        } catch {
            throw .io(error)
        }
    }

    private func makeWriter(_ path: String, _ length: Int64) throws(CaptureError) -> any ImageWriter {
        let sink: FileSink
        do throws(BlockError) { sink = try FileSink(creating: path, direct: options.writesDirect) } catch {
            throw .io(error)
        }
        switch options.format {
        case .raw: return RawImageWriter(sink, diskLength: length)
        case .qcow2:
            do throws(ImageError) {
                return try Qcow2Writer(sink, diskLength: length, options: qcow2Options)
            } catch {
                throw .image(error)
            }
        }
    }

    private func imageRecord(_ file: String, _ summary: ImageSummary) -> ImageRecord {
        ImageRecord(
            file: file, format: options.format.rawValue, compression: options.compression.rawValue,
            clusterSizeInBytes: options.format == .qcow2 ? options.clusterSize : nil,
            headerDigest: summary.headerCluster.map { Digest(of: $0) }, lengthInBytes: summary.fileLength)
    }

    private func chunkRecord(
        _ file: String, _ folder: String, _ header: ChunkFileHeader
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

    private func finish(
        _ folder: String, _ journal: Journal, _ records: [DiskRecord]
    ) throws(CaptureError) -> Manifest {
        var manifest = Manifest(
            cloneId: journal.cloneId, cloneUuid: journal.cloneUuid, machine: machine, agent: agent,
            startedAt: journal.startedAt, finishedAt: Timestamp().rfc3339, disks: records)
        let domain = Array(
            DomainXML(cloneId: manifest.cloneId, machine: machine.inventory ?? Machine(), disks: records).text.utf8)
        manifest.domainDigest = Digest(of: domain)
        let bytes: [UInt8]
        do { bytes = try manifest.sealed() } catch {
            throw .format(.damaged(file: Manifest.fileName, reason: "\(error)"))
        }
        do throws(BlockError) {
            try Folder.writeDurably(domain, to: DomainXML.fileName, in: folder)
            try Folder.synchronize(folder)
            try Folder.writeDurably(bytes, to: Manifest.fileName, in: folder)
            try Folder.remove("\(folder)/\(Journal.fileName)")
            try Folder.synchronize(folder)
        } catch {
            throw .io(error)
        }
        return manifest
    }
}
