// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Probing

/// One unattended run, from the look at the machine to the receiver's verdict.
struct AutoRun {
    let configuration: JobConfiguration
    let reporter: AutoReporter
    let cancellation: CancellationFlag
    let log: Log

    /// What a run that did its work leaves.
    struct Result {
        /// The clone's name.
        var clone: String
        /// What is said of it.
        var verdict: String
        var code = ExitCode.done
    }

    private var patience: Patience {
        Patience(reporter: reporter, cancellation: cancellation, seconds: configuration.waitNetwork)
    }

    /// Does what the job says.
    ///
    /// - Throws: what stopped it; nothing is mounted then, and what was captured can be gone on with.
    func run() throws -> Result {
        guard let target = configuration.target else {
            throw AutoError(
                "no job says where the clone goes",
                hint: "coldclone.target=nfs://server/export on the kernel command line, or target: in a job")
        }
        let names = MachineNames(MachineProbe(Sysroot()).hardware())
        let receiver = ReceiverClient(configuration, reporter, cancellation)
        // Who has given the job has taken the token.
        if let receiver, !configuration.jobs.contains(receiver.jobPlace) {
            reporter.tell(.askingReceiver(receiver.url))
            let job = try receiver.job(of: names)
            reporter.tell(.receiverAnswers(job == nil ? "token good" : "token good, it has a job for this machine"))
        }
        let sources = AutoSources(configuration: configuration, log: log, patience: patience)
        let machine = try look(sources)
        let entries = try sources.entries(machine)
        reporter.tell(.sources(entries.map(\.path)))
        let mount = TargetMount(target, patience)
        let outcome: CloneCapture.Outcome
        let digest: Digest
        do {
            try mount.mount(sources: entries.map(\.path).filter { $0.hasPrefix("/") }.map { try FileSource($0) })
            outcome = try capture(entries, sources, mount)
            digest = Digest(
                of: try SmallFile.read("\(outcome.folder)/\(Manifest.fileName)", limit: Manifest.maximumLength))
        } catch {
            mount.unmount(afterFailure: true)
            throw error
        }
        CloneEvent.append(reporter.takeEvents(), to: outcome.folder)
        if mount.canBeMountedAgain {
            // What is not unmounted is durable all the same: the capture has seen to that.
            let reason = reporter.watching("unmounting the target") { mount.unmount() }
            reporter.tell(reason.map { .stayedMounted($0) } ?? .unmounted(target.description))
        }
        return try conclude(outcome.manifest, digest, receiver)
    }

    /// Looks at the machine, and stops at what would make the clone useless.
    private func look(_ sources: AutoSources) throws -> Machine {
        reporter.tell(.probing)
        let inspection = MachineInspection(sysroot: Sysroot())
        let machine =
            sources.areImageFiles
            ? try inspection.images(configuration.disks.map(\.description)) : inspection.machine()
        reporter.tell(
            .probed(
                disks: machine.disks.count, controllers: machine.controllers.count, findings: machine.findings.count))
        for finding in machine.findings { reporter.tell(.finding(finding)) }
        let critical = machine.findings.filter { $0.severity == .critical }
        guard let worst = critical.first else { return machine }
        guard configuration.force else {
            throw AutoError(
                "\(worst.subject): \(worst.what): \(worst.why)",
                hint: "\(worst.action); force: on captures what there is all the same")
        }
        reporter.tell(.goesOnByForce("\(critical.count) critical findings"))
        return machine
    }

    // MARK: Capture

    private func capture(
        _ entries: [SourceWords.Entry], _ sources: AutoSources, _ mount: TargetMount
    ) throws -> CloneCapture.Outcome {
        let opening = SourceOpening(
            session: sources.sessions, connections: 1, log: log, cancellation: cancellation)
        var options = CaptureOptions(
            format: configuration.format == .raw ? .raw : .qcow2, compression: configuration.compression.image)
        options.adaptsCompression = configuration.compression == .auto
        options.choosesDirect = true
        var work = CloneWork(
            opening: opening, options: options, freeSpace: FreeSpaceRecord(mode: configuration.freeSpace))
        work.name = configuration.name
        let disks = try opening.open(entries, targetFolder: mount.path)
        let found = MachineClones(in: mount.path, of: work.machineName)
        reporter.tell(.lookingForUnused)
        let used = try work.usedSpace(of: disks)
        let estimate = AutoEstimate(
            configuration: configuration, options: options, reporter: reporter, cancellation: cancellation)
        // What an interrupted clone has already needs no room any more, and what a base has needs none.
        let isWhole = found.interrupted.isEmpty && (configuration.base == .none || configuration.baseCopy)
        try reporter.watching("measuring source and target") {
            try estimate.check(used.applied(to: disks), used.record, mount.path, isWhole: isWhole)
        }
        let identity = work.identity(of: entries.map(\.path))
        return try AutoCapture(
            configuration: configuration, reporter: reporter, mount: mount, disks: disks, used: used,
            identity: identity, entries: entries.map(\.path), earlier: Set(found.interrupted)
        ).run(work)
    }

    // MARK: Verdict

    private func conclude(_ manifest: Manifest, _ digest: Digest, _ receiver: ReceiverClient?) throws -> Result {
        let name = manifest.cloneId
        var result = Result(clone: name, verdict: manifest.state.rawValue)
        if manifest.state == .degraded { result.code = .degraded }
        guard let receiver else { return result }
        let receipt: Receipt
        do {
            try receiver.verify(name)
            guard configuration.waitReceipt > 0 else { return result }
            reporter.tell(.waitingForReceipt(clone: name))
            receipt = try receiver.receipt(of: name, seconds: configuration.waitReceipt)
        } catch let error as AutoError where error.code != .cancelled {
            throw AutoError(
                "the clone \(name) is complete, and not verified: \(error.description)",
                hint: error.hint ?? "coldclone-receiver verify \(name)")
        }
        reporter.tell(.verdict(receipt.verdict.rawValue))
        guard receipt.manifestDigest == digest, receipt.cloneUuid == manifest.cloneUuid else {
            throw AutoError(
                "the receipt of \(name) is of another clone", hint: "is the receiver's folder the target's own?",
                code: .verificationFailed)
        }
        result.verdict = receipt.verdict.rawValue
        switch receipt.verdict {
        case .verified: break
        case .degraded: result.code = .degraded
        case .failed:
            throw AutoError(
                "the clone \(name) does not verify: \(receipt.problems.first?.message ?? "")",
                hint: "capture it again, to another target", code: .verificationFailed)
        }
        return result
    }
}

extension JobCompression {
    /// How clusters are compressed when they are.
    var image: ImageCompression {
        switch self {
        case .none: .none
        case .zlib: .zlib
        case .zstd, .auto: .zstd
        }
    }
}
