// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage

/// Room and time of a capture, before it begins.
struct AutoEstimate {
    /// Time of a measurement: a run is not to wait for numbers.
    private static let timeLimit = Duration.milliseconds(500)

    let configuration: JobConfiguration
    let options: CaptureOptions
    let reporter: AutoReporter
    let cancellation: CancellationFlag

    /// Stops a capture of `disks` that does not fit into `folder`, before anything is written there; then measures.
    ///
    /// - Parameter isWhole: whether all of it is still to be written.
    func check(_ disks: [CaptureDisk], _ freeSpace: FreeSpaceRecord, _ folder: String, isWhole: Bool) throws {
        var plan = try CapturePlan(disks: disks, freeSpace: freeSpace)
        let free = try Folder.freeSpace(in: folder)
        plan.fit(into: folder, freeInBytes: free, options: options, ratio: nil)
        let all = disks.reduce(Int64(0)) { $0 + $1.source.lengthInBytes }
        let worst = plan.target?.worstCaseInBytes ?? 0
        reporter.tell(.planned(toRead: plan.bytesToRead, ofAll: all, worstCase: worst, free: free))
        let measurement = ThroughputMeasurement(timeLimit: Self.timeLimit, cancellation: cancellation)
        if isWhole, plan.target?.fits == false {
            plan.fit(into: folder, freeInBytes: free, options: options, ratio: try ratio(of: disks, measurement))
            try refuse(plan)
        }
        guard configuration.bench, free >= 256 << 20 else { return }
        do {
            let bench = try BenchReport(
                measuring: disks, plan, folder, measurement, compressing: [options.compression])
            reporter.tell(
                .benched(
                    source: bench.sources.compactMap(\.bytesPerSecond).min(), target: bench.targetBytesPerSecond,
                    seconds: bench.compressions.first?.secondsForSources))
        } catch let error as CaptureError {
            // A bad sector is the capture's business, and so is a target that fails.
            log(error)
        }
        if cancellation.isCancelled { throw AutoError.cancelled }
    }

    private func log(_ error: CaptureError) { reporter.tell(.progress("not measured: \(error.description)")) }

    /// Reads samples of all disks, and returns the length of an image as a share of its content.
    private func ratio(of disks: [CaptureDisk], _ measurement: ThroughputMeasurement) throws -> Double? {
        var sample: [UInt8] = []
        for disk in disks { sample += try measurement.read(disk).sample.prefix(max(64 << 20 - sample.count, 0)) }
        return sample.isEmpty ? nil : try measurement.compute(sample, options).ratio
    }

    private func refuse(_ plan: CapturePlan) throws {
        guard let target = plan.target, !target.fits else { return }
        let needed = HumanBytes.format(target.expectedInBytes ?? target.worstCaseInBytes)
        let text =
            "the target is too small: the clone takes about \(needed), \(HumanBytes.format(target.freeInBytes)) are free"
        guard configuration.force else {
            throw AutoError(text, hint: "free space on the target, name another, or compression: zstd")
        }
        reporter.tell(.goesOnByForce(text))
    }
}
