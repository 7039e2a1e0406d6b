// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat

/// Re-reads a clone's folder and holds it against its manifest.
///
/// Everything is read: every chunk that is not zero is hashed again from the image, and what is promised to be zero is a
/// hole or found to be zero. Memory is a chunk a thread and small windows on the chunk files, whatever the disks' sizes.
public struct CloneVerification: Sendable {
    /// How images are read, so that it is the medium that is checked and not a cache.
    public enum Freshness: Sendable, Hashable {
        /// Past the page cache: for whoever has just written the image.
        case direct
        /// Through the page cache, which is dropped first: for whoever reads the same bytes again close behind.
        case cached
    }

    /// How to verify.
    public struct Options: Sendable, Hashable {
        /// How images are read.
        public var freshness: Freshness
        /// Threads; nil means one a processor.
        public var jobs: Int?

        /// Makes options.
        public init(freshness: Freshness = .direct, jobs: Int? = nil) {
            self.freshness = freshness
            self.jobs = jobs
        }
    }

    private let path: String
    private let opened: PinnedFolder?
    private let options: Options

    /// Takes the path of the clone's folder, which is opened when the work begins.
    public init(folder path: String, options: Options = Options()) {
        self.path = path
        opened = nil
        self.options = options
    }

    /// Takes the clone's folder.
    public init(in folder: PinnedFolder, options: Options = Options()) {
        path = folder.path
        opened = folder
        self.options = options
    }

    private func open() throws(VerificationError) -> PinnedFolder {
        if let opened { return opened }
        do throws(BlockError) { return try PinnedFolder(path) } catch { throw .folder(error) }
    }

    /// Returns what is wrong with the files of one disk, as its record describes them.
    ///
    /// - Parameter base: the clone's base, when it has one.
    /// - Throws: `VerificationError` when it was cancelled, or when there are no threads.
    public func problems(
        of disk: DiskRecord, cloneUuid: String, base: BaseRecord? = nil, cancellation: CancellationFlag
    ) throws(VerificationError) -> [Problem] {
        let log = ProblemLog()
        let folder = try open()
        _ = try DiskVerification(
            folder: folder, disk: disk, cloneUUID: UUIDText.bytes(cloneUuid) ?? [], chain: chain(base, folder),
            options: options, log: log,
            progress: VerificationProgress(), cancellation: cancellation
        ).run()
        guard !cancellation.isCancelled else { throw .cancelled(folder: path) }
        return log.collected.problems
    }

    private func chain(_ base: BaseRecord?, _ folder: PinnedFolder) -> Result<CloneChain, CloneChain.Failure> {
        do throws(CloneChain.Failure) { return .success(try CloneChain(behind: folder, base)) } catch {
            return .failure(error)
        }
    }

    /// Verifies the clone; every fault of it is a problem in the report, none is an error.
    ///
    /// - Throws: `VerificationError` when it was cancelled, or when the folder cannot be read at all.
    public func run(
        progress: VerificationProgress = VerificationProgress(), cancellation: CancellationFlag = CancellationFlag()
    ) throws(VerificationError) -> CloneReport {
        let folder = try open()
        let names: [String]
        do throws(BlockError) { names = try folder.names() } catch { throw .folder(error) }
        let reading = try ManifestReading(folder: folder)
        var report = CloneReport(manifest: reading.manifest, manifestDigest: reading.digest)
        guard let manifest = reading.manifest else {
            report.add(reading.problem.map { [$0] } ?? [])
            return report
        }
        report.warnings = FolderListing.warnings(names: names, manifest: manifest)
        if case .unknown(let word) = manifest.state {
            report.warnings.append("the manifest's state \(word.debugDescription) is not known to this release")
        }
        let log = ProblemLog()
        let chain = chain(manifest.base, folder)
        if let base = manifest.base, base.kind == .overlay {
            report.dependsOn = (try? chain.get().records) ?? [base]
            report.warnings.append(
                "nothing of it can be read without \(report.dependsOn.map(\.cloneId).joined(separator: ", ")), "
                    + "in the folder beside it")
        }
        for problem in manifest.contradictions() { log.add(problem) }
        if let problem = DomainCheck.problem(manifest, folder: folder) { log.add(problem) }

        // Hostile lengths may add up to more than a number holds.
        let lengths = manifest.disks.map(\.lengthInBytes)
        let ends = lengths.reduce(into: [Int64]()) { ends, length in
            let (sum, overflow) = (ends.last ?? 0).addingReportingOverflow(length)
            ends.append(overflow ? .max : sum)
        }
        progress.begin(total: ends.last ?? 0)
        for (disk, end) in zip(manifest.disks, ends) {
            progress.startDisk(disk.name)
            let verification = DiskVerification(
                folder: folder, disk: disk, cloneUUID: UUIDText.bytes(manifest.cloneUuid) ?? [], chain: chain,
                options: options, log: log, progress: progress, cancellation: cancellation)
            report.disks.append(try verification.run())
            guard !cancellation.isCancelled else { throw .cancelled(folder: path) }
            progress.finishDisk(at: end)
        }
        progress.startDisk("")
        let collected = log.collected
        report.add(collected.problems)
        report.problemCount = collected.count
        return report
    }
}
