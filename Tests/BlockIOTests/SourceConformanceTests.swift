// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport
internal import Testing

/// What every source must do, held against every source there is.
struct SourceConformanceTests {
    @Test(arguments: [SourceKind.file, .faultless, .raw], SourceAspect.allCases)
    func files(_ kind: SourceKind, _ aspect: SourceAspect) throws { try check(Sample(kind), aspect) }

    @Test(
        .enabled(if: TemporaryFolder.parentOnDisk != nil, "needs a file system on a disk"),
        arguments: SourceAspect.allCases)
    func directFile(_ aspect: SourceAspect) throws { try check(Sample(.directFile), aspect) }

    @Test(
        .enabled(if: LoopDevice.areAvailable, "needs loop devices"), arguments: [SourceKind.loop512, .loop4096],
        SourceAspect.allCases)
    func loopDevices(_ kind: SourceKind, _ aspect: SourceAspect) throws { try check(Sample(kind), aspect) }

    @Test(.enabled(if: Tool.isInstalled("qemu-img"), "needs qemu-img"), arguments: SourceAspect.allCases)
    func qcow2(_ aspect: SourceAspect) throws { try check(Sample(.qcow2), aspect) }

    private func check(_ sample: Sample, _ aspect: SourceAspect) throws {
        let violations = try aspect.violations(
            of: sample.source, content: sample.content, sectorSize: sample.sectorSize)
        #expect(violations.isEmpty, "\(violations)")
    }
}

/// The sources under test.
enum SourceKind: String, Sendable {
    case file, directFile, loop512, loop4096, faultless, raw, qcow2
}

/// A source and what it must read as, with what keeps it alive.
struct Sample {
    let source: any BlockSource
    let content: [UInt8]
    let sectorSize: Int
    private let folder: TemporaryFolder
    private let device: LoopDevice?

    private static let longest = SampleContent.bytes(.mixed, length: 2 << 20, seed: 5) + [1, 2, 3]

    init(_ kind: SourceKind) throws {
        folder = try TemporaryFolder(in: kind == .directFile ? TemporaryFolder.parentOnDisk ?? "/tmp" : "/tmp")
        // The last sector is short where a source can have such a one.
        switch kind {
        case .loop4096: content = Array(Self.longest.prefix(2 << 20))
        case .loop512, .qcow2: content = Array(Self.longest.prefix(2 << 20 - 512))
        default: content = Self.longest
        }
        sectorSize = kind == .loop4096 ? 4096 : 512
        let path = try SampleContent.write(content, to: folder.file("disk"))
        device = kind == .loop512 || kind == .loop4096 ? try LoopDevice(path, sectorSize: sectorSize) : nil
        switch kind {
        case .file: source = try FileSource(path, direct: .never)
        case .directFile:
            try Tool.output("sync", [path])
            let direct = try FileSource(path, direct: .always)
            #expect(direct.isDirect)
            source = direct
        case .loop512, .loop4096: source = try FileSource(device?.path ?? "")
        case .faultless: source = FaultySource(try FileSource(path), FaultPlan())
        case .raw: source = try DiskImage.open(FileSource(path), format: .raw)
        case .qcow2:
            let image = folder.file("disk.qcow2")
            try Tool.output("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "-c", path, image])
            source = try DiskImage.open(FileSource(image), format: .qcow2)
        }
    }
}
