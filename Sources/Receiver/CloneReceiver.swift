// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
public import CloneFormat
internal import Verification

/// Verifies a clone where it lies, computes its files' digests on the way, and writes the receipt.
public struct CloneReceiver: Sendable {
    /// How to receive.
    public struct Options: Sendable, Hashable {
        /// Threads that check images; nil means one a processor.
        public var jobs: Int?
        /// Which files' digests are computed.
        public var fileDigests: FileDigestPolicy
        /// Whether `receipt.json` is written.
        public var writesReceipt: Bool

        /// Makes options.
        public init(jobs: Int? = nil, fileDigests: FileDigestPolicy = .auto, writesReceipt: Bool = true) {
            self.jobs = jobs
            self.fileDigests = fileDigests
            self.writesReceipt = writesReceipt
        }
    }

    /// What came of it.
    public struct Reception: Sendable {
        /// The verdict and all that it rests on.
        public var receipt: Receipt
        /// Why the receipt was not written to the clone's folder.
        public var receiptError: BlockError?
    }

    private let program: Program
    private let options: Options

    /// Takes the name under which receipts are signed off, and options.
    public init(program: Program, options: Options = Options()) {
        self.program = program
        self.options = options
    }

    /// Verifies the clone in `folder` and writes its receipt, for a bad or unfinished clone too.
    ///
    /// Blocks no thread of the caller's.
    /// - Parameter followingLink: whether `folder` may be a symbolic link: where others write beside it, it may not.
    /// - Throws: `ReceiverError` when there is no verdict: cancelled, or the folder cannot be read.
    public func receive(
        _ path: String, followingLink: Bool = true, progress: ReceiverProgress = ReceiverProgress(),
        cancellation: CancellationFlag = CancellationFlag()
    ) async throws(ReceiverError) -> Reception {
        let startedAt = Timestamp().rfc3339
        let folder: PinnedFolder
        do throws(BlockError) { folder = try PinnedFolder(path, followingLink: followingLink) } catch {
            throw .verification(.folder(error))
        }
        var (report, digester) = try await OwnThread.run { () throws(ReceiverError) in
            try check(folder, progress, cancellation)
        }
        var problems: [Problem] = []
        for (index, disk) in (report.manifest?.disks ?? []).enumerated() where disk.image.format == "qcow2" {
            // An image that our own reader refuses may name other files: nobody else is to open those for it.
            let isRefused = report.problems.contains {
                $0.disk == disk.name && ($0.kind == .image || $0.kind == .missingFile)
            }
            guard !isRefused, report.problemCount <= Receipt.maximumProblems else { continue }
            let opinion = await QemuImg.check("\(path)/\(disk.image.file)", cancellation: cancellation)
            report.disks[index].qemuImgCheck = opinion.word
            if case .failed(let words) = opinion {
                problems.append(
                    Problem(
                        .qemuImgCheck, "qemu-img check of \(disk.image.file): \(words)", disk: disk.name,
                        file: disk.image.file))
            }
        }
        guard !cancellation.isCancelled else { throw .verification(.cancelled(folder: path)) }
        report.add(problems)
        var receipt = Receipt(
            cloneId: report.manifest?.cloneId, cloneUuid: report.manifest?.cloneUuid,
            manifestDigest: report.manifestDigest, receiver: program, startedAt: startedAt,
            finishedAt: Timestamp().rfc3339, verdict: report.verdict, files: digester?.digests ?? [],
            disks: report.disks, problems: report.problems, problemCount: report.problemCount,
            warnings: report.warnings + (digester?.warnings ?? []))
        if !report.dependsOn.isEmpty { receipt.dependsOn = report.dependsOn }
        // A folder that shows no trace of a clone is somebody else's: nothing is left there.
        let isClone = report.manifestDigest != nil || folder.contains(Journal.fileName)
        let writes = options.writesReceipt && isClone
        return Reception(receipt: receipt, receiptError: writes ? write(receipt, to: folder) : nil)
    }

    /// Checks the images and, at the same time, computes the digests of all files.
    private func check(
        _ folder: PinnedFolder, _ progress: ReceiverProgress, _ cancellation: CancellationFlag
    ) throws(ReceiverError) -> (CloneReport, FileDigester?) {
        let verification = CloneVerification(
            in: folder, options: CloneVerification.Options(freshness: .cached, jobs: options.jobs))
        let reading: ManifestReading
        do throws(VerificationError) {
            reading = try ManifestReading(folder: folder)
        } catch {
            throw .verification(error)
        }
        // Set when the verification comes to no verdict: digests are then of no use.
        let stop = CancellationFlag()
        let digester = reading.manifest.map { manifest in
            FileDigester(
                names: manifest.disks.flatMap { [$0.image.file, $0.chunks.file] } + [Manifest.fileName],
                folder: folder, policy: options.fileDigests, progress: progress, stop: [stop, cancellation])
        }
        let slot = Box<Result<CloneReport, VerificationError>>()
        do throws(BlockError) {
            try ParallelWork.run(threads: 1 + FileDigester.Algorithm.allCases.count) { thread in
                if let algorithm = FileDigester.Algorithm(rawValue: thread - 1) {
                    digester?.run(algorithm)
                } else {
                    do throws(VerificationError) {
                        slot.set(
                            .success(
                                try verification.run(progress: progress.verification, cancellation: cancellation)))
                    } catch {
                        stop.cancel()
                        slot.set(.failure(error))
                    }
                }
            }
        } catch {
            throw .verification(.machine(error))
        }
        // Fewer threads than asked may have been started: the rest is done here.
        for algorithm in FileDigester.Algorithm.allCases { digester?.run(algorithm) }
        switch slot.value {
        case .success(let report): return (report, digester)
        case .failure(let error): throw .verification(error)
        case nil: throw .verification(.cancelled(folder: folder.path))
        }
    }

    private func write(_ receipt: Receipt, to folder: PinnedFolder) -> BlockError? {
        guard let bytes = try? JSONText.encode(receipt) else {
            return BlockError(.write, "\(folder.path)/\(Receipt.fileName)", .invalid("it has no JSON form"))
        }
        do throws(BlockError) {
            try folder.writeDurably(bytes, to: Receipt.fileName, replacing: true)
            return nil
        } catch {
            return error
        }
    }
}
