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
    private let freeSpace: FreeSpaceRecord?
    private let base: CaptureBase?

    /// Prepares the capture of `disks`, in the machine's order, into a new folder below `target`, which exists.
    ///
    /// - Parameters:
    ///   - freeSpace: what became of free space, for the manifest.
    ///   - base: an earlier clone below `target`, of which only the changes are stored.
    public init(
        disks: [CaptureDisk], target: String, machine: MachineIdentity, agent: Program, options: CaptureOptions,
        freeSpace: FreeSpaceRecord? = nil, base: CaptureBase? = nil
    ) {
        self.base = base
        self.freeSpace = freeSpace
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
    /// Whatever goes wrong, there is no manifest then: what the folder holds is no clone yet, and `CloneResume` goes on
    /// with it.
    /// - Parameter preceding: what happened before, for the clone's events.
    /// - Throws: `CaptureError`, `cancelled` included.
    public func run(
        progress: CaptureProgress, cancellation: CancellationFlag, preceding: [CloneEvent] = []
    ) throws(CaptureError) -> Outcome {
        let disks = try base?.applied(to: disks, machine: machine, options: options) ?? disks
        try options.check(disks)
        let started = Timestamp()
        let id = try createFolder(at: started)
        var journal = Journal(
            cloneId: id, cloneUuid: UUIDText.random(), startedAt: started.rfc3339, machine: machine,
            imageFormat: options.format.rawValue, compression: options.compression.rawValue, level: options.level,
            clusterSizeInBytes: options.clusterSize,
            disks: disks.map {
                JournalDisk(
                    name: $0.name, source: $0.source.name, lengthInBytes: $0.source.lengthInBytes,
                    identity: DiskIdentity.digest(of: $0.source), allocation: $0.map?.digest)
            })
        journal.freeSpace = freeSpace
        journal.base = base?.record
        if options.adaptsCompression { journal.adaptsCompression = true }
        let session = CaptureSession(
            folder: "\(target)/\(id)", journal: journal, disks: disks, agent: agent, options: options,
            progress: progress, cancellation: cancellation)
        let events = try beginJournal(of: session)
        for event in preceding { events.append(event) }
        events.append(CloneEvent(.captureStarted, message: "\(agent.name) \(agent.version)"))
        return try session.run(events)
    }

    /// Creates the clone's folder, named after the machine and the time, and returns its name.
    ///
    /// Two machines of one name may begin in one second: the later one gets the next second that is free.
    private func createFolder(at time: Timestamp) throws(CaptureError) -> String {
        let name = FileName.sanitize(machine.name, fallback: "machine")
        var seconds = 0
        while true {
            let id = "\(name)-\(time.adding(seconds: seconds).compact)"
            do throws(BlockError) {
                try Folder.create("\(target)/\(id)")
                return id
            } catch {
                guard error.isAlreadyThere, seconds < 60 else { throw .io(error) }
                seconds += 1
            }
        }
    }

    private func beginJournal(of session: CaptureSession) throws(CaptureError) -> EventLog {
        let bytes = try CaptureSession.encoded(session.journal)
        do throws(BlockError) {
            try Folder.writeDurably(bytes, to: Journal.fileName, in: session.folder)
            try Folder.synchronize(target)
            return try EventLog(folder: session.folder)
        } catch {
            throw .io(error)
        }
    }
}
