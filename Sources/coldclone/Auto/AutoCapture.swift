// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Glibc
internal import SystemPackage

/// Names of the folders of one machine's clones, the newest first.
struct MachineClones {
    /// Those with a manifest.
    private(set) var complete: [String] = []
    /// Those with a journal and no manifest.
    private(set) var interrupted: [String] = []

    /// Looks in `folder` for clones of the machine `machine`.
    init(in folder: String, of machine: String) {
        let prefix = FileName.sanitize(machine, fallback: "machine") + "-"
        for name in ((try? Folder.names(in: folder)) ?? []).reversed() {
            // Behind the machine's name stands the time, and nothing else: web is not web-01.
            guard name.hasPrefix(prefix), name.utf8.count == prefix.utf8.count + Timestamp().compact.utf8.count,
                FileName.isSafe(name)
            else { continue }
            if Folder.exists("\(folder)/\(name)/\(Manifest.fileName)") {
                complete.append(name)
            } else if Folder.exists("\(folder)/\(name)/\(Journal.fileName)") {
                interrupted.append(name)
            }
        }
    }
}

/// The capture of an unattended run: goes on with what an earlier run left, and with its own when the target fails.
struct AutoCapture {
    let configuration: JobConfiguration
    let reporter: AutoReporter
    let mount: TargetMount
    let disks: [CaptureDisk]
    let used: UsedSpace
    let identity: MachineIdentity
    /// What the disks are called now.
    let entries: [String]
    /// Clones that were there before this run.
    let earlier: Set<String>

    /// Captures, mounting the target again when it fails.
    func run(_ work: CloneWork) throws -> CloneCapture.Outcome {
        let clock = ContinuousClock()
        let start = clock.now
        var attempt = 0
        while true {
            do {
                let outcome = try attemptOnce(work)
                reporter.tell(
                    .captured(
                        folder: outcome.folder, state: outcome.manifest.state.rawValue,
                        read: outcome.manifest.disks.reduce(0) { $0 + $1.bytes.read },
                        seconds: (clock.now - start) / .seconds(1)))
                return outcome
            } catch let error as CaptureError where isTargetsFault(error) && attempt < configuration.retries {
                attempt += 1
                reporter.tell(.targetFailed(why: error.description, attempt: attempt, of: configuration.retries))
                mount.unmount(afterFailure: true)
                try mount.mount(sources: disks.compactMap { $0.source as? FileSource })
            }
        }
    }

    private func attemptOnce(_ work: CloneWork) throws -> CloneCapture.Outcome {
        let clones = MachineClones(in: mount.path, of: work.machineName)
        let candidates = clones.interrupted.filter {
            configuration.resume || !earlier.contains($0)
        }
        for name in candidates {
            let folder = "\(mount.path)/\(name)"
            do {
                let resume = try CloneResume(folder: folder)
                try check(resume)
                reporter.tell(.resuming(folder))
                return try capturing(work) { try $0.resume(resume, disks, knowing: used) }
            } catch CaptureError.notResumable(_, let reason) {
                reporter.tell(.notResumed(folder: folder, why: reason))
            } catch CaptureError.format(let error) {
                reporter.tell(.notResumed(folder: folder, why: error.description))
            }
        }
        return try begin(work, against: clones.complete)
    }

    /// Begins a new clone, against a base where the job wants that and one serves.
    private func begin(_ work: CloneWork, against complete: [String]) throws -> CloneCapture.Outcome {
        let base = try base(work, of: complete)
        reporter.tell(.capturing(disks: disks.count, folder: mount.path))
        return try capturing(work, isNew: true) {
            try $0.begin(used, disks, identity: identity, target: mount.path, base: base)
        }
    }

    private func base(_ work: CloneWork, of complete: [String]) throws -> CaptureBase? {
        switch configuration.base {
        case .none: return nil
        case .clone(let name): return try base(name, work)
        case .latest:
            guard let name = complete.first else {
                reporter.tell(.noBase(why: "the target has no complete clone of this machine"))
                return nil
            }
            do { return try base(name, work) } catch CaptureError.invalid(let why, _) {
                // Other disks now, a chain as long as it may be, a base that is damaged.
                reporter.tell(.noBase(why: why))
                return nil
            }
        }
    }

    private func base(_ name: String, _ work: CloneWork) throws -> CaptureBase {
        let base = try CaptureBase(
            folder: "\(mount.path)/\(name)", target: mount.path, kind: configuration.baseCopy ? .copy : .overlay)
        try base.check(disks, machine: identity, options: work.options)
        reporter.tell(.againstBase(name))
        return base
    }

    /// Refuses a clone that is of other disks, before anything is said of going on with it.
    private func check(_ resume: CloneResume) throws(CaptureError) {
        guard resume.journal.disks.map(\.lengthInBytes) == disks.map(\.source.lengthInBytes) else {
            throw .notResumable(folder: mount.path, reason: "it is of other disks")
        }
    }

    /// Runs `body` with what was told so far, showing its progress.
    private func capturing(
        _ work: CloneWork, isNew: Bool = false, _ body: (CloneWork) throws -> CloneCapture.Outcome
    ) throws -> CloneCapture.Outcome {
        // Counters of their own: what an earlier attempt has read is counted again.
        var work = CloneWork(opening: work.opening, options: work.options, freeSpace: work.freeSpace)
        work.preceding = reporter.takeEvents(forNewClone: isNew)
        let progress = work.progress
        let reporter = reporter
        let display = ProgressReporter(
            isRewriting: false, secondsBetweenLines: 10, write: { reporter.tell(.progress($0)) },
            sample: { progress.sample })
        defer { display.finish() }
        return try body(work)
    }

    /// Tells whether the target failed in a way that mounting it again may mend: a server that started again, a cable.
    private func isTargetsFault(_ error: CaptureError) -> Bool {
        guard mount.canBeMountedAgain, let cause = error.blockError else { return false }
        let isOnTarget = cause.path == mount.path || cause.path.hasPrefix(mount.path + "/")
        guard isOnTarget, case .system(let errno) = cause.cause else { return false }
        let lasting: [Int32] = [ENOSPC, EDQUOT, EACCES, EPERM, EEXIST, EFBIG, ENAMETOOLONG, ENOMEM, EMFILE, EINVAL]
        return !lasting.contains(errno.rawValue)
    }
}
