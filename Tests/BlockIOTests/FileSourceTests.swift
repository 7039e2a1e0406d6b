// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport
internal import Testing

/// What files and devices do besides being read.
struct FileSourceTests {
    @Test func namesHolesAsTheFileSystemDoes() throws {
        let folder = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let sink = try FileSink(creating: folder.file("disk"))
        try sink.write([UInt8](repeating: 1, count: 65536), at: 1 << 20)
        try sink.write([UInt8](repeating: 0, count: 65536), at: 2 << 20)
        try sink.setLength(4 << 20)
        try sink.synchronize()
        let source = try FileSource(folder.file("disk"))
        #expect(try source.extent(at: 0) == Extent(offset: 0, length: 1 << 20, kind: .hole))
        #expect(try source.extent(at: 4096) == Extent(offset: 4096, length: 1 << 20 - 4096, kind: .hole))
        #expect(try source.extent(at: 1 << 20) == Extent(offset: 1 << 20, length: 65536, kind: .data))
        // Zeros that were written are data, here as everywhere: finding them is another's task.
        #expect(try source.extent(at: 2 << 20).kind == .data)
        #expect(try source.extent(at: 3 << 20) == Extent(offset: 3 << 20, length: 1 << 20, kind: .hole))
    }

    @Test(arguments: [FileSource.Direct.never, .always])
    func aFileThatShrinksIsNotTakenForZeros(direct: FileSource.Direct) throws {
        let folder = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let path = try SampleContent.write(SampleContent.bytes(.random, length: 1 << 20), to: folder.file("disk"))
        let source = try FileSource(path, direct: direct)
        try Tool.output("truncate", ["-s", "5000", path])
        #expect(source.lengthInBytes == 1 << 20)
        #expect(try source.bytes(at: 0, count: 5000).count == 5000)
        let ranges: [(Int64, Int)] = [(4096, 4096), (4999, 2), (8192, 4096), (1 << 20 - 512, 512)]
        for (offset, count) in ranges {
            let error = #expect(throws: BlockError.self) { try source.bytes(at: offset, count: count) }
            #expect(error?.cause == .unexpectedEnd)
            #expect(error?.hint == "the source changed or shrank while it was read")
        }
        // Behind its new end a hole would be a lie: whoever believed it would write zeros and say nothing.
        let offsets: [Int64] = [5000, 8192, 1 << 20 - 1]
        for offset in offsets {
            let error = #expect(throws: BlockError.self) { try source.extent(at: offset) }
            #expect(error?.cause == .unexpectedEnd)
        }
        #expect(try source.extent(at: 4999).kind == .data)
    }

    @Test func refusesWhatIsNoDisk() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo(folder.file("fifo"), 0o600) == 0)
        for path in [folder.path, folder.file("fifo"), "/dev/null"] {
            let error = #expect(throws: BlockError.self) { try FileSource(path) }
            #expect(error?.description == "cannot open \(path): neither a block device nor a plain file")
        }
    }

    @Test func saysThatThereIsNothing() {
        let error = #expect(throws: BlockError.self) { try FileSource("/x") }
        #expect(error?.description == "cannot open /x: No such file or directory")
        #expect(error?.isNotFound == true && error?.isForbidden == false)
        #expect(error?.hint == "check the path")
    }

    @Test(.enabled(if: LoopDevice.areAvailable, "needs loop devices"))
    func protectsADevice() throws {
        let folder = try TemporaryFolder()
        try Tool.output("truncate", ["-s", "1M", folder.file("disk")])
        let device = try LoopDevice(folder.file("disk"))
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "0\n")
        _ = try FileSource(device.path)
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "0\n")
        for _ in 0..<2 {
            let source = try FileSource(device.path, protect: true)
            #expect(source.isBlockDevice && source.isDirect)
            #expect(try Tool.output("blockdev", ["--getro", device.path]) == "1\n")
        }
        // Some kernels let it be opened for writing, but none lets it be written.
        let descriptor = open(device.path, O_WRONLY | O_CLOEXEC)
        #expect(pwrite(descriptor, [1] as [UInt8], 1, 0) == -1)
        if descriptor >= 0 { close(descriptor) }
    }

    @Test(.enabled(if: TemporaryFolder.parentOnDisk != nil && Tool.isInstalled("fincore"), "needs fincore and a disk"))
    func dropsThePageCache() throws {
        let folder = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        let path = folder.file("disk")
        let sink = try FileSink(creating: path)
        try sink.write(SampleContent.bytes(.random, length: 4 << 20), at: 0)
        try sink.synchronize()
        let source = try FileSource(path, direct: .never)
        _ = try source.bytes(at: 0, count: 4 << 20)
        #expect(try cached(path) == 4 << 20)
        source.dropCache()
        #expect(try cached(path) == 0)
        _ = try source.bytes(at: 0, count: 4096)
        #expect(try cached(path) > 0)
    }

    /// Returns how many bytes of the file are in the page cache.
    private func cached(_ path: String) throws -> Int {
        let output = try Tool.output("fincore", ["--bytes", "--noheadings", "--output", "RES", path])
        return Int(output.filter(\.isNumber)) ?? -1
    }
}
