// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import Probing

/// A place that a clone could be written to, as `coldclone bench` tells it.
struct BenchCandidate: Encodable {
    /// What it is and where the wire goes.
    var target: TargetCandidates.Candidate
    /// Bytes that can still be stored there; nil where nothing is mounted.
    var freeBytes: Int64?
    /// What it takes a second, durable at the end; nil where it was not measured.
    var bytesPerSecond: Double?
    /// The same past the page cache; nil where that is not to be had.
    var directBytesPerSecond: Double?
    /// Why it was not measured.
    var problem: String?
    /// The compression that makes a capture to it fastest, and what it then takes a second.
    var recommendedCompression: String?
    var expectedBytesPerSecond: Double?
    /// Seconds for 10^11 bytes of content, and for what a capture would read.
    var secondsForHundredGigabytes: Double?
    var secondsForSources: Double?

    /// Makes one that is not measured.
    init(_ target: TargetCandidates.Candidate) { self.target = target }

    /// Measures writing to the folder; what it refuses is noted.
    mutating func measure(_ measurement: ThroughputMeasurement, direct: Bool?) throws {
        guard let folder = target.folder else { return }
        do throws(CaptureError) {
            freeBytes = try? Folder.freeSpace(in: folder)
            bytesPerSecond = try measurement.write(to: folder, direct: direct ?? false).bytesPerSecond
            if direct == nil, (try? Folder.isOnPlainDiskFileSystem(folder)) == true {
                directBytesPerSecond = try measurement.write(to: folder, direct: true).bytesPerSecond
            }
        } catch {
            if case .cancelled = error { throw error }
            problem = error.description
        }
    }
}
