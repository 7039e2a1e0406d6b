// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import TestSupport
internal import Testing
internal import Verification

/// Every way to store a disk, held against the disk by qemu-img and by our own verification.
@Suite(.enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
struct CaptureMatrixTests {
    static let options: [CaptureOptions] =
        [
            CaptureOptions(format: .raw), CaptureOptions(format: .raw, writesDirect: true),
            CaptureOptions(writesDirect: true),
        ]
        + [4096, 64 << 10, 2 << 20].flatMap { size in
            ImageCompression.allCases.map { CaptureOptions(compression: $0, clusterSize: size) }
        }

    @Test(arguments: options, SampleContent.Kind.allCases)
    func imagesEqualTheirDisk(options: CaptureOptions, kind: SampleContent.Kind) throws {
        // Direct I/O needs a real file system: /tmp may be one in memory.
        let folder = try TemporaryFolder(in: options.writesDirect ? "/var/tmp" : "/tmp")
        // A whole number of chunks; one that is a multiple of nothing but the sector; less than a cluster.
        for length in [8 << 20, 7 << 20 | 5 << 9, 1536] {
            let content = SampleContent.bytes(kind, length: length, seed: UInt64(length))
            let source = try SampleContent.write(content, to: folder.file("\(length).img"))
            let outcome = try CaptureRun(folder, options).capture([source])
            let disk = try #require(outcome.manifest.disks.first)
            let image = "\(outcome.folder)/\(disk.image.file)"
            if options.format == .qcow2 { try Tool.output("qemu-img", ["check", "-f", "qcow2", image]) }
            try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", options.format.rawValue, source, image])
            if options.format == .raw { try Tool.output("cmp", [source, image]) }
            #expect(disk.contentDigest == CaptureRun.contentDigest(of: content))
            #expect(disk.bytes.read + disk.bytes.skipped == Int64(length))
            let report = try CloneVerification(folder: outcome.folder).run()
            #expect(report.verdict == .verified, "\(report.problems)")
            #expect(report.disks.first?.contentDigest == disk.contentDigest)
        }
    }

    /// What is stored depends on content and options, not on the threads or the memory it was captured with.
    @Test(arguments: [ImageCompression.none, .zlib, .zstd])
    func threadsAndMemoryChangeNothing(compression: ImageCompression) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.mixed, length: 24 << 20 | 1 << 9, seed: 42)
        let source = try SampleContent.write(content, to: folder.file("disk.img"))
        var images = Set<String>()
        var digests = Set<CloneFormat.Digest>()
        for (jobs, memory) in [(1, 256 << 20), (2, 256 << 20), (13, 256 << 20), (nil, 1 << 20), (nil, 5 << 20)] {
            let run = CaptureRun(folder, CaptureOptions(compression: compression, memoryLimit: memory, jobs: jobs))
            let outcome = try run.capture([source])
            images.insert(try Tool.output("sha256sum", ["\(outcome.folder)/disk.qcow2"]).prefix(64).description)
            digests.insert(try #require(outcome.manifest.disks.first).contentDigest)
        }
        #expect(images.count == 1)
        #expect(digests == [CaptureRun.contentDigest(of: content)])
    }

    @Test func keepsTheOrderOfSeveralDisks() throws {
        let folder = try TemporaryFolder()
        let names = ["zeta", "alpha", "mid"]
        var sources: [String] = []
        for (index, name) in names.enumerated() {
            let content = SampleContent.bytes(.mixed, length: (index + 1) << 20, seed: UInt64(index))
            sources.append(try SampleContent.write(content, to: folder.file("\(name).img")))
        }
        let outcome = try CaptureRun(folder, CaptureOptions()).capture(sources)
        #expect(outcome.manifest.disks.map(\.name) == names)
        #expect(outcome.manifest.disks.map(\.order) == [0, 1, 2])
        #expect(try CloneVerification(folder: outcome.folder).run().verdict == .verified)
        #expect(
            try Folder.names(in: outcome.folder)
                == [
                    "alpha.chunks", "alpha.qcow2", "domain.xml", "events.jsonl", "manifest.json", "mid.chunks",
                    "mid.qcow2", "zeta.chunks", "zeta.qcow2",
                ])
    }

    @Test func tellsOfTheHolesItSkipped() throws {
        let folder = try TemporaryFolder()
        var content = [UInt8](repeating: 0, count: 64 << 20)
        content[0] = 1
        content[50 << 20] = 1
        let source = try SampleContent.write(content, to: folder.file("disk.img"))
        let outcome = try CaptureRun(folder, CaptureOptions()).capture([source])
        let disk = try #require(outcome.manifest.disks.first)
        #expect(disk.skippedExtents.map(\.reason) == ["hole in the source file", "hole in the source file"])
        #expect(disk.skipped.first?.lengthInBytes == disk.bytes.skipped)
        #expect(disk.bytes.read == 8192)
        #expect((disk.chunks.data, disk.chunks.zero, disk.chunks.lost) == (2, 62, 0))
    }
}

/// A capture in a test's folder.
struct CaptureRun {
    var folder: TemporaryFolder
    var options: CaptureOptions

    init(_ folder: TemporaryFolder, _ options: CaptureOptions) {
        self.folder = folder
        self.options = options
    }

    /// Captures files, each named as in the test's folder, into a target of its own.
    func capture(_ paths: [String]) throws -> CloneCapture.Outcome {
        try capture(
            disks: paths.map { path in
                let name = path.split(separator: "/").last?.split(separator: ".").first ?? "disk"
                return CaptureDisk(name: String(name), source: try FileSource(path))
            })
    }

    /// Captures disks into a target of its own.
    func capture(
        disks: [CaptureDisk], cancellation: CancellationFlag = CancellationFlag()
    ) throws -> CloneCapture.Outcome {
        let target = try folder.folder("target-\(UUIDText.random())")
        return try CloneCapture(
            disks: disks, target: target, machine: MachineIdentity(name: "test"),
            agent: Program(name: "test", version: "0"), options: options
        ).run(progress: CaptureProgress(), cancellation: cancellation)
    }

    /// The content digest, from its definition.
    static func contentDigest(of content: [UInt8]) -> CloneFormat.Digest {
        var root = ContentDigest(diskLength: Int64(content.count))
        for (index, start) in stride(from: 0, to: content.count, by: Chunk.size).enumerated() {
            let chunk = Array(content[start..<min(start + Chunk.size, content.count)])
            if chunk.contains(where: { $0 != 0 }) {
                root.appendZeros(upTo: index)
                root.append(Digest(of: chunk))
            }
        }
        return root.finish()
    }
}
