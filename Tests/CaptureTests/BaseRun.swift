// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import Glibc
internal import TestSupport

/// Clones of one disk file, one after the other, in one target folder.
struct BaseRun {
    let folder: TemporaryFolder
    let target: String
    let disk: String

    init(_ content: [UInt8], in parent: String = "/tmp") throws {
        folder = try TemporaryFolder(in: parent)
        target = try folder.folder("target")
        disk = try SampleContent.write(content, to: folder.file("sda.img"))
    }

    /// Captures the disk, against `base` where one is named.
    func capture(
        _ options: CaptureOptions = CaptureOptions(), base: String? = nil, kind: BaseRecord.Kind = .overlay,
        source: (any BlockSource)? = nil, machine: String = "test"
    ) throws -> CloneCapture.Outcome {
        let base = try base.map { try CaptureBase(folder: $0, target: target, kind: kind) }
        return try CloneCapture(
            disks: [CaptureDisk(name: "sda", source: source ?? FileSource(disk))], target: target,
            machine: MachineIdentity(name: machine), agent: Program(name: "test", version: "0"), options: options,
            base: base
        ).run(progress: CaptureProgress(), cancellation: CancellationFlag())
    }

    /// Overwrites the disk from `offset`.
    func change(at offset: Int, _ bytes: [UInt8]) throws {
        let piece = try SampleContent.write(bytes, to: folder.file("piece"))
        try Tool.output(
            "dd", ["if=\(piece)", "of=\(disk)", "oflag=seek_bytes", "seek=\(offset)", "conv=notrunc", "bs=1M"])
    }

    /// Makes zeros of `length` bytes from `offset`: a hole of the file.
    func punch(at offset: Int, _ length: Int) throws {
        try Tool.output("fallocate", ["--punch-hole", "--offset", "\(offset)", "--length", "\(length)", disk])
    }
}

extension CloneCapture.Outcome {
    /// The record of the first disk.
    var first: DiskRecord { manifest.disks[0] }
    /// Path of its image.
    var image: String { "\(folder)/\(first.image.file)" }
}
