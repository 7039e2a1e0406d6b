// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import SystemPackage
internal import TestSupport
internal import Testing

/// One suite for every writer: what it wrote is what our reader and qemu-img read.
@Suite(.enabled(if: Tool.isInstalled("qemu-img"), "qemu-utils is not installed"))
struct ImageWriterTests {
    /// A way to write an image.
    struct Style: Sendable, CustomTestStringConvertible {
        var format: ImageFormat
        var options = Qcow2Writer.Options()

        var testDescription: String { "\(format) \(options.clusterSize) \(options.compression)" }

        func writer(_ sink: any BlockSink, diskLength: Int64) throws -> any ImageWriter {
            switch format {
            case .raw: RawImageWriter(sink, diskLength: diskLength)
            case .qcow2: try Qcow2Writer(sink, diskLength: diskLength, options: options)
            }
        }
    }

    static let styles: [Style] =
        [Style(format: .raw)]
        + [512, 4096, 65536, 2 << 20].flatMap { size in
            ImageCompression.allCases.map { Style(format: .qcow2, options: .init(clusterSize: size, compression: $0)) }
        }

    @Test(arguments: styles, SampleContent.Kind.allCases)
    func writesWhatOthersRead(style: Style, kind: SampleContent.Kind) throws {
        let folder = try TemporaryFolder()
        for length in [0, 512, 1 << 20, 5 << 20 | 7 << 9] {
            let content = SampleContent.bytes(kind, length: length, seed: 5)
            let path = folder.file("\(length).\(style.format.rawValue)")
            let summary = try ImageMaker.write(
                content, style.writer(FileSink(creating: path), diskLength: Int64(length)))
            let file = try FileSource(path)
            #expect(file.lengthInBytes == summary.fileLength)
            let reader = try DiskImage.open(file, format: style.format)
            #expect(reader.lengthInBytes == Int64(length))
            #expect(try reader.bytes(at: 0, count: length).firstDifference(from: content) == nil)
            try reader.checkStructure { problem in
                Issue.record("\(problem)")
                return false
            }
            if style.format == .qcow2 { try Tool.output("qemu-img", ["check", "-f", "qcow2", path]) }
            guard length > 0 else { continue }
            let source = try SampleContent.write(content, to: folder.file("\(length).source"))
            try Tool.output("qemu-img", ["compare", "-f", "raw", "-F", style.format.rawValue, source, path])
        }
    }

    @Test(arguments: styles)
    func leavesZerosOut(style: Style) throws {
        let folder = try TemporaryFolder()
        let content = [UInt8](repeating: 0, count: 16 << 20)
        let path = folder.file("image")
        try ImageMaker.write(content, style.writer(FileSink(creating: path), diskLength: Int64(content.count)))
        let blocks = try Tool.output("stat", ["-c", "%b", path]).split(separator: "\n").first.flatMap { Int($0) }
        // Nothing but header and tables: six clusters, of which the largest are 2 MiB.
        let tables = style.format == .raw ? 0 : 6 * style.options.clusterSize + 512 * 600
        #expect(try #require(blocks) * 512 <= tables)
    }

    @Test(arguments: styles)
    func reportsFailedWrites(style: Style) throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 4 << 20)
        let faults: [FaultPlan.Fault] = [
            .init(.write, skipping: 1, .fail(.noSpace)), .init(.setLength, .fail(.ioError)),
            .init(.synchronize, .fail(.ioError)), .init(.close, .fail(.staleNFSFileHandle)),
        ]
        for (index, fault) in faults.enumerated() {
            let sink = FaultySink(try FileSink(creating: folder.file("\(index)")), FaultPlan(fault))
            let error = #expect(throws: ImageError.self) {
                try ImageMaker.write(content, style.writer(sink, diskLength: Int64(content.count)))
            }
            guard case .io? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func neverLeavesAHeaderOnAnUnfinishedImage() throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 4 << 20)
        let path = folder.file("image")
        let plan = FaultPlan(.init(.synchronize, times: 1, .fail(.ioError)))
        let sink = FaultySink(try FileSink(creating: path), plan)
        _ = try? ImageMaker.write(content, Qcow2Writer(sink, diskLength: Int64(content.count), options: .init()))
        #expect(throws: ImageError.self) { try DiskImage.open(FileSource(path), format: .qcow2) }
    }

    @Test(arguments: [0, 3, 256, 4 << 20])
    func refusesImpossibleClusterSizes(size: Int) {
        #expect(throws: ImageError.self) { try Qcow2Writer.check(.init(clusterSize: size), diskLength: 1 << 20) }
    }

    @Test(arguments: [ImageCompression.zlib, .zstd], [Int.min, -1, 0, 23, Int.max])
    func refusesLevelsThatDoNotExist(compression: ImageCompression, level: Int) {
        #expect(throws: ImageError.self) {
            try Qcow2Writer.check(.init(compression: compression, level: level), diskLength: 1 << 20)
        }
    }

    @Test func refusesADiskThatItsTablesCannotHold() {
        #expect(throws: ImageError.self) { try Qcow2Writer.check(.init(clusterSize: 512), diskLength: 8 << 40) }
        #expect(throws: ImageError.self) {
            try Qcow2Writer.check(.init(compression: .zstd, level: 99), diskLength: 1 << 20)
        }
    }
}

/// What is compressed, and what is left as it is.
struct CompressionChoiceTests {
    @Test(arguments: [ImageCompression.zlib, .zstd])
    func onlyWhatShrinksIsCompressed(compression: ImageCompression) throws {
        let folder = try TemporaryFolder()
        let line = Array("the same words over and over again\n".utf8)
        let text = (0..<1 << 20).map { line[$0 % line.count] }
        let random = SampleContent.bytes(.random, length: 1 << 20)
        // A block of random bytes repeated: evenly distributed, and still worth compressing.
        let pattern = (0..<1 << 20).map { random[$0 % 512] }
        let lengths = try [text, random, pattern].enumerated().map { index, content in
            try ImageMaker.write(content, to: folder.file("\(index)"), .init(compression: compression)).fileLength
        }
        let tables: Int64 = 6 * 65536
        #expect(lengths[0] <= tables + 65536)
        #expect(lengths[1] >= 1 << 20)
        #expect(lengths[2] <= tables + 262144)
    }
}
