// SPDX-License-Identifier: GPL-3.0-or-later

public import ArgumentParser
internal import BlockIO
internal import Capture
public import CloneFormat
internal import Console
internal import DiskLayout
internal import Synchronization

extension FreeSpaceMode: ExpressibleByArgument {
    /// Takes a word from the command line.
    public init?(argument: String) {
        self.init(rawValue: argument)
        if case .unknown = self { return nil }
    }

    /// The words there are.
    public static var allValueStrings: [String] { allCases.map(\.rawValue) }
}

/// What becomes of space that nothing uses.
struct FreeSpaceArguments: ParsableArguments {
    @Option(help: "What nothing uses: skip it, or keep it as a forensic copy does.")
    var freeSpace: FreeSpaceMode = .skip

    @Flag(help: "Believe free-space bitmaps without holding them against what files and metadata use.")
    var trustBitmaps = false

    @Flag(help: "Leave out what Windows' pagefile.sys, swapfile.sys and hiberfil.sys hold.")
    var skipPageFiles = false

    func validate() throws {
        if freeSpace == .keep, trustBitmaps || skipPageFiles {
            throw ValidationError(
                "--free-space keep copies everything: leave out --trust-bitmaps and --skip-page-files")
        }
    }

    /// What the manifest says of the choice.
    var record: FreeSpaceRecord {
        FreeSpaceRecord(mode: freeSpace, trustsBitmaps: trustBitmaps, skipsPageFiles: skipPageFiles)
    }
}

/// Finds out what of the disks is in use, and shows that it is at work.
struct UsedSpace {
    /// A map a disk; empty where everything is kept.
    private(set) var maps: [AllocationMap] = []
    private var places: [[VolumePlace]] = []
    /// How free space was told, and what becomes of each volume.
    private(set) var record: FreeSpaceRecord

    /// Looks at `disks` as `record` says.
    ///
    /// - Throws: `CaptureError` when it is cancelled, `BlockError` when there are no threads.
    init(of disks: [CaptureDisk], as record: FreeSpaceRecord, log: Log, cancellation: CancellationFlag) throws {
        self.record = record
        self.record.volumes = []
        guard record.mode == .skip else { return }
        var options = AllocationOptions()
        options.checksUse = !record.trustsBitmaps
        options.skipsPageFiles = record.skipsPageFiles
        options.goesOn = { !cancellation.isCancelled }
        let read = Counter()
        options.onRead = { read.add($0) }
        let reporter = ProgressReporter {
            ProgressSample(label: "looking for unused space", done: read.value, total: nil)
        }
        let survey: AllocationSurvey
        do {
            defer { reporter.finish() }
            survey = try AllocationSurvey.read(disks.map(\.source), options)
        }
        if cancellation.isCancelled { throw CaptureError.cancelled(folder: "the search for unused space") }
        maps = survey.maps
        places = survey.places
        for volume in survey.volumes {
            if let reason = volume.wholeReason { log.write(.info, "\(volume.name) is copied whole: \(reason)") }
        }
        self.record.volumes = survey.volumes.prefix(FreeSpaceRecord.maximumVolumes).map { volume in
            VolumeRecord(
                name: volume.name, type: volume.type, lengthInBytes: volume.lengthInBytes,
                freeInBytes: volume.freeLength, copiedWhole: volume.wholeReason,
                checkedExtents: volume.checkedExtents,
                seconds: (volume.duration / .seconds(1) * 1000).rounded() / 1000,
                disks: volume.disks.map { disks[$0].name })
        }
    }

    /// Returns `disks`, each with its map.
    func applied(to disks: [CaptureDisk]) -> [CaptureDisk] {
        guard maps.count == disks.count else { return disks }
        return disks.indices.map { index in
            var disk = disks[index]
            disk.map = maps[index]
            disk.places = places[index]
            return disk
        }
    }

    private final class Counter: Sendable {
        private let bytes = Atomic<Int64>(0)
        var value: Int64 { bytes.load(ordering: .relaxed) }
        func add(_ count: Int) { bytes.add(Int64(count), ordering: .relaxed) }
    }
}
