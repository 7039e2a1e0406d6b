// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import DiskLayout
internal import TestSupport
internal import Testing
internal import Verification

/// Disks whose free space is left out: what is in use is there, to the byte, and little else was read.
@Suite(.enabled(if: LoopDevice.areAvailable && Mount.isPossible))
struct FreeSpaceTests {
    static let seeds: [UInt64] = Array(1...40)

    @Test(arguments: seeds)
    func everyLayoutKeepsItsFiles(seed: UInt64) throws {
        let folder = try TemporaryFolder()
        let disk = try RandomDisk(seed: seed, in: folder)
        let names = disk.volumes.map { "\($0.volume.kind) of \($0.volume.length >> 20) MiB in \($0.pieces.count)" }
        let story = Comment(rawValue: "seed \(seed): \(names.joined(separator: ", "))")
        let source = try FileSource(disk.file)
        let survey = try AllocationSurvey.read([source])
        #expect(survey.maps.count == 1, story)
        for use in survey.volumes where use.type != nil { #expect(use.wholeReason == nil, story) }
        let outcome = try CloneCapture(
            disks: [CaptureDisk(name: "sda", source: WithoutHoles(base: source), map: survey.maps[0])],
            target: folder.path, machine: MachineIdentity(name: "test"), agent: Program(name: "test", version: "0"),
            options: CaptureOptions(format: .raw)
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified, story)

        let used = disk.volumes.reduce(disk.overhead) { $0 + $1.volume.used }
        let read = outcome.manifest.disks[0].bytes.read
        #expect(read <= used * 103 / 100 + 64 << 20, story)
        let image = "\(outcome.folder)/sda.raw"
        for (index, placed) in disk.volumes.enumerated() {
            let copy = folder.file("copy\(index)")
            try RandomDisk.extract(placed, from: image, to: copy)
            if placed.volume.kind == .none {
                let original = folder.file("original\(index)")
                try RandomDisk.extract(placed, from: disk.file, to: original)
                try Tool.output("cmp", [original, copy])
                continue
            }
            try AgedVolume.check(placed.volume.kind, copy)
            guard placed.volume.kind != .swap else { continue }
            #expect(try AgedVolume.listing(placed.volume.kind, copy) == placed.volume.listing, story)
        }
    }
}

/// A file whose holes are not told: everything in it would be read, as from a device.
struct WithoutHoles: SourceWrapper {
    let base: any BlockSource
}
