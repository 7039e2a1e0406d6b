// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import Probing

/// The work of `capture` and `auto`: a new clone, or one that goes on.
struct CloneWork {
    let opening: SourceOpening
    var options: CaptureOptions
    var freeSpace: FreeSpaceRecord
    /// Name of the machine in the clone's name; nil for its serial number.
    var name: String?
    /// Whether the machine's inventory goes into the manifest.
    var takesInventory = true
    /// What happened before the capture, for the clone's events.
    var preceding: [CloneEvent] = []
    let progress = CaptureProgress()

    init(opening: SourceOpening, options: CaptureOptions, freeSpace: FreeSpaceRecord) {
        self.opening = opening
        self.options = options
        self.freeSpace = freeSpace
    }

    /// Finds out what of `disks` is in use.
    func usedSpace(of disks: [CaptureDisk]) throws -> UsedSpace {
        try UsedSpace(of: disks, as: freeSpace, log: opening.log, cancellation: opening.cancellation)
    }

    /// Captures `disks`, of which `used` is in use, into a new clone below the folder `target`, against `base` if any.
    func begin(
        _ used: UsedSpace, _ disks: [CaptureDisk], identity: MachineIdentity, target: String, base: CaptureBase? = nil
    ) throws -> CloneCapture.Outcome {
        try CloneCapture(
            disks: used.applied(to: disks), target: target, machine: identity, agent: Version.program,
            options: options, freeSpace: used.record, base: base
        ).run(progress: progress, cancellation: opening.cancellation, preceding: preceding)
    }

    /// Goes on with the clone in `folder`.
    ///
    /// - Parameter sources: what the disks are called now; empty for what they were called.
    func resume(_ resume: CloneResume, in folder: String, sources: [String]) throws -> CloneCapture.Outcome {
        let paths = sources.isEmpty ? resume.journal.disks.map(\.source) : sources
        return try self.resume(resume, try opening.open(paths, targetFolder: folder))
    }

    /// Goes on with a clone of `disks`, of which `known` is in use as far as somebody has looked.
    func resume(
        _ resume: CloneResume, _ disks: [CaptureDisk], knowing known: UsedSpace? = nil
    ) throws -> CloneCapture.Outcome {
        // As it was begun: what was left out then must be left out now.
        let used = try resume.journal.freeSpace.map { record in
            if let known, known.record.isToldLike(record) { return known }
            return try UsedSpace(of: disks, as: record, log: opening.log, cancellation: opening.cancellation)
        }
        return try resume.run(
            disks: used?.applied(to: disks) ?? disks, agent: Version.program, options: options, progress: progress,
            cancellation: opening.cancellation, preceding: preceding)
    }

    /// Names the machine, and says what it has when its own disks are captured, not image files of another's.
    func identity(of sources: [String]) -> MachineIdentity {
        let isOwn = sources.contains { $0.hasPrefix("/dev/") || $0 == SourceWords.all }
        var inspection = MachineInspection(sysroot: Sysroot())
        // Health was told before the decision to capture; drives are left to their work now.
        inspection.asksDrives = false
        return MachineIdentity(name: machineName, inventory: isOwn && takesInventory ? inspection.machine() : nil)
    }

    /// What the clones of this machine are named after.
    var machineName: String { name ?? MachineProbe(Sysroot()).serialNumber ?? "machine" }
}

extension FreeSpaceRecord {
    /// Whether both leave out the same of the same disks.
    fileprivate func isToldLike(_ other: FreeSpaceRecord) -> Bool {
        mode == other.mode && trustsBitmaps == other.trustsBitmaps && skipsPageFiles == other.skipsPageFiles
    }
}
