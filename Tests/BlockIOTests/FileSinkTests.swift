// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import SystemPackage
internal import TestSupport
internal import Testing

/// Files on the target.
struct FileSinkTests {
    @Test func writesAtAnyOffset() throws {
        let folder = try TemporaryFolder()
        let sink = try FileSink(creating: folder.file("image"))
        try sink.write(Array("tail".utf8), at: 10_000)
        try sink.write(Array("head".utf8), at: 0)
        try sink.write([UInt8](), at: 1 << 40)
        try sink.write([UInt16(0x0102).bigEndian], at: 5000)
        try sink.synchronize()
        try sink.close()
        var expected = [UInt8](repeating: 0, count: 10_004)
        expected.replaceSubrange(0..<4, with: Array("head".utf8))
        expected.replaceSubrange(5000..<5002, with: [1, 2])
        expected.replaceSubrange(10_000..., with: Array("tail".utf8))
        #expect(try SmallFile.read(folder.file("image"), limit: 1 << 20) == expected)
    }

    @Test func setsTheLengthBothWays() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("image")
        let sink = try FileSink(creating: path)
        try sink.write([1, 2, 3] as [UInt8], at: 0)
        try sink.setLength(5)
        #expect(try SmallFile.read(path, limit: 10) == [1, 2, 3, 0, 0])
        try sink.setLength(2)
        #expect(try SmallFile.read(path, limit: 10) == [1, 2])
        let error = #expect(throws: BlockError.self) { try sink.setLength(-1) }
        #expect(error?.description == "cannot resize \(path) at byte -1: Invalid argument")
    }

    @Test func refusesWhatExists() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write([7], to: folder.file("image"))
        #expect(symlink("nowhere", folder.file("link")) == 0)
        for path in [path, folder.file("link"), folder.path, "/dev/full"] {
            let error = #expect(throws: BlockError.self) { try FileSink(creating: path) }
            #expect(error?.description == "cannot create \(path): File exists")
            #expect(error?.hint == "nothing is ever overwritten: choose another name or target")
        }
        #expect(try SmallFile.read(path, limit: 10) == [7])
        #expect(!Folder.exists(folder.file("nowhere")))
    }

    @Test func saysThatTheFolderIsMissing() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("missing/image")
        let error = #expect(throws: BlockError.self) { try FileSink(creating: path) }
        #expect(error?.description == "cannot create \(path): No such file or directory")
    }

    @Test(.enabled(if: Mount.isPossible, "needs root and mount(2)"))
    func saysThatTheTargetIsFull() throws {
        let folder = try TemporaryFolder()
        let options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"]
        let mount = try Mount(options, at: folder.folder("small"), keeping: folder)
        let path = "\(mount.folder)/image"
        let sink = try FileSink(creating: path)
        try sink.write([UInt8](repeating: 1, count: 4096), at: 0)
        let error = #expect(throws: BlockError.self) { try sink.write([UInt8](repeating: 1, count: 1 << 20), at: 4096) }
        // What fitted was written: the message names what did not.
        #expect(error?.description == "cannot write \(path) at byte 65536 (987136 bytes): No space left on device")
        #expect(error?.hint == "free space on the target, or choose another target")
        #expect(try Folder.freeSpace(in: mount.folder) == 0)
        #expect(throws: BlockError.self) { try Folder.writeDurably([1], to: "manifest.json", in: mount.folder) }
        #expect(try Folder.names(in: mount.folder) == ["image"])
    }
}

/// The texts that a technician reads.
struct BlockErrorTests {
    @Test func namesOperationPlaceAndCause() {
        let read = BlockError(.read, "/dev/sdb", offset: 1_048_576, length: 65536, .system(.ioError))
        #expect(read.description == "cannot read /dev/sdb at byte 1048576 (65536 bytes): Input/output error")
        #expect(read.hint == "a bad sector or a failing disk: check cables and SMART health")
        let write = BlockError(.write, "/target/sda.raw", offset: 0, length: 1, .system(.ioError))
        #expect(write.hint == "the target failed: check its cable, network and free space")
        let forbidden = BlockError(.setReadOnly, "/dev/sda", .system(.permissionDenied))
        #expect(forbidden.description == "cannot set read-only /dev/sda: Permission denied")
        #expect(forbidden.isForbidden && forbidden.hint == "run as root")
        let end = BlockError(.read, "/x", offset: 5, length: 2, .unexpectedEnd)
        #expect(end.description == "cannot read /x at byte 5 (2 bytes): it ends before its own length")
        let odd = BlockError(.query, "/x", .invalid("so it is"))
        #expect(odd.description == "cannot query /x: so it is" && odd.hint == nil)
    }
}
