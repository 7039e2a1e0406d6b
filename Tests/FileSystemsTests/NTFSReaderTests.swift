// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// NTFS made by mkntfs(8), filled through the ntfs-3g driver.
@Suite(
    .enabled(
        if: Tool.isInstalled("mkntfs", "ntfs-3g", "ntfscp", "ntfsfix", "setfattr") && LoopDevice.areAvailable
            && Mount.isPossible))
struct NTFSReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    private func image(
        _ arguments: [String] = [], sectorSize: Int = 512, megabytes: Int = 40, _ fill: (String) throws -> Void
    ) throws -> String {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        let loop = try LoopDevice(file, sectorSize: sectorSize)
        try Tool.output("mkntfs", ["-q", "-F", "-f", "-s", "\(sectorSize)"] + arguments + [loop.path])
        let mount = try Mount(
            ["-t", "ntfs-3g", "-o", "compression", loop.path], at: try folder.folder("mnt"), keeping: loop)
        try withExtendedLifetime(mount) { try fill(mount.folder) }
        return file
    }

    @Test(
        arguments: [([], 512), (["-c", "512"], 512), (["-c", "65536", "-L", "Größe"], 512), ([], 4096)]
            as [([String], Int)])
    func readsWhatWasPutIn(_ arguments: [String], sectorSize: Int) throws {
        var expected: [String: String] = [:]
        let megabytes = arguments.contains("65536") ? 160 : 40
        let file = try image(arguments, sectorSize: sectorSize, megabytes: megabytes) { folder in
            try Trees.make(in: folder, many: 500, isForWindows: true)
            // Every second cluster of many: a list of attributes.
            let fragmented = try FileSink(creating: "\(folder)/fragmented")
            var generator = SeededGenerator(seed: 7)
            for block in 0..<500 { try fragmented.write(generator.bytes(4096), at: Int64(block) * 8192) }
            try fragmented.close()
            if arguments.isEmpty {
                try Trees.directory("\(folder)/packed")
                try Tool.output(
                    "setfattr", ["-h", "-n", "system.ntfs_attrib_be", "-v", "0x00000800", "\(folder)/packed"])
                let text = SampleContent.bytes(.mixed, length: 900_001)
                try SampleContent.write(text, to: "\(folder)/packed/text")
            }
            expected = try Trees.ofKernel(folder)
        }
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        #expect(reader.kind == .ntfs && reader.state == .clean)
        #expect(Trees.differences(try Trees.ofReader(reader), expected) == [])
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", file])
        #expect(blkid.contains("\nTYPE=ntfs\n") && blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-L") ? "Größe" : nil))
        #expect(try reader.text("ETC/OS-Release") == "ID=test\nVERSION_ID=\"1\"\n")
        #expect(try reader.locate("etc/none") == nil)
        #expect(throws: FileSystemError.self) { try reader.text("etc") }
        #expect(throws: FileSystemError.self) { try reader.names(in: "etc/os-release") }
        let sparse = try #require(try reader.locate("fragmented"))
        let part = try reader.content(of: sparse, at: 4090, count: 4112)
        #expect(part[6..<4102].allSatisfy { $0 == 0 } && part.count == 4112)
    }

    /// ntfscp refuses a hibernated volume, so that each is made anew.
    @Test(
        arguments: [("HIBR", .hibernated), ("wake", .clean), ("hibr", .hibernated)]
            as [(String, FileSystemState)])
    func tellsAHibernatedSystem(_ head: String, state: FileSystemState) throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "12M", file])
        try Tool.output("mkntfs", ["-q", "-F", "-f", file])
        let path = folder.file("hiberfil")
        try Trees.write(head + String(repeating: "\0", count: 5000), to: path)
        try Tool.output("ntfscp", ["-f", file, path, "hiberfil.sys"])
        #expect(try FileSystemKind.open(FileSource(file))?.state == state)
    }

    /// A short one lies in its record, and one in a compressed folder in a compression unit.
    @Test(arguments: [4, 3, 70_000], [false, true])
    func tellsAHibernatedSystemWhateverItsFileIsLike(_ length: Int, isCompressed: Bool) throws {
        let file = try image(megabytes: 12) { folder in
            if isCompressed {
                try Tool.output("setfattr", ["-h", "-n", "system.ntfs_attrib_be", "-v", "0x00000800", folder])
            }
            let text = "HIBR" + String(repeating: "x", count: 70_000)
            try Trees.write(String(text.prefix(length)), to: "\(folder)/HiberFil.sys")
        }
        #expect(try FileSystemKind.open(FileSource(file))?.state == (length < 4 ? .clean : .hibernated))
    }

    /// Sets the flags of the volume, in its record and in the copy of that.
    private static func set(flags: UInt16, in content: inout [UInt8]) throws {
        let records = stride(from: 0, to: content.count - 4096, by: 512).filter {
            content[$0..<$0 + 4].elementsEqual("FILE".utf8) && content[$0 + 44] == 3 && content[$0 + 22] & 1 == 1
        }
        #expect(records.count == 2)
        for record in records {
            var place = record + Int(content[record + 20])
            while content[place] != 0x70 {
                try #require(content[place] < 0x70)
                place += Int(content[place + 4]) | Int(content[place + 5]) << 8
            }
            let value = place + Int(content[place + 20])
            content[value + 10] = UInt8(truncatingIfNeeded: flags)
            content[value + 11] = UInt8(flags >> 8)
        }
    }

    @Test func tellsAVolumeThatChkdskWasNotDoneWith() throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "12M", file])
        try Tool.output("mkntfs", ["-q", "-F", "-f", file])
        var volume = try MemoryVolume(file: file)
        for flags: UInt16 in [0, 1, 2, 4, 0x20, 0x4000, 0x8000] {
            try Self.set(flags: flags, in: &volume.content)
            #expect(try FileSystemKind.open(volume)?.state == (flags == 0 ? .clean : .dirty), "\(flags)")
        }
    }

    /// A restart page that says that a client still has the log open, unless the volume is clean by its flag.
    @Test(arguments: [(0, .needsRecovery), (2, .clean)] as [(UInt8, FileSystemState)])
    func tellsAnOpenLog(_ flags: UInt8, state: FileSystemState) throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "12M", file])
        try Tool.output("mkntfs", ["-q", "-F", "-f", file])
        var volume = try MemoryVolume(file: file)
        let words = try Tool.output("ntfscluster", ["-f", "-I", "2", file]).split(whereSeparator: { " \n".contains($0) }
        )
        let start = try #require(words.firstIndex(of: "Length").flatMap { Int(words[$0 + 2]) }) * 4096
        let length = try #require(words.firstIndex(of: "Length").flatMap { Int(words[$0 + 3]) }) * 4096
        var page = [UInt8](repeating: 0, count: 4096)
        func set(_ place: Int, _ value: Int, _ count: Int) {
            for index in 0..<count { page[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
        }
        page.replaceSubrange(0..<4, with: Array("RSTR".utf8))
        // Update sequence, page sizes, where the restart area begins, version.
        for (place, value, count) in [
            (4, 30, 2), (6, 9, 2), (16, 4096, 4), (20, 4096, 4), (24, 48, 2), (26, 1, 2), (28, 1, 2),
        ] {
            set(place, value, count)
        }
        // The restart area: clients, none free, the first one in use, flags, sequence number bits, lengths.
        let bits = 67 - (Int.bitWidth - length.leadingZeroBitCount)
        for (place, value, count) in [
            (8, 1, 2), (10, 0xffff, 2), (12, 0, 2), (14, Int(flags), 2), (16, bits, 4), (20, 48 + 160, 2), (22, 48, 2),
            (24, length, 8), (36, 48, 2), (38, 64, 2), (48 + 16, 0xffff, 2), (48 + 18, 0xffff, 2),
        ] { set(48 + place, value, count) }
        for sector in 0..<8 { page[sector * 512 + 510] = 1 }
        page[30] = 1
        for copy in 0..<2 {
            volume.content.replaceSubrange(start + copy * 4096..<start + (copy + 1) * 4096, with: page)
        }
        #expect(try FileSystemKind.open(volume)?.state == state)
    }

    @Test func tellsADirtyVolume() throws {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "12M", file])
        try Tool.output("mkntfs", ["-q", "-F", "-f", file])
        try Tool.output("ntfsfix", [file])
        #expect(try FileSystemKind.open(FileSource(file))?.state == .dirty)
        try Tool.output("ntfsfix", ["-d", file])
        #expect(try FileSystemKind.open(FileSource(file))?.state == .clean)
    }

    @Test func damageIsAnErrorAtMost() throws {
        let file = try image(megabytes: 12) { try Trees.make(in: $0, many: 60, isForWindows: true) }
        let volume = try MemoryVolume(file: file)
        let ranges = Damage.metadata(volume.content, blockSize: 1024) { block in
            block.starts(with: Array("FILE".utf8)) || block.starts(with: Array("INDX".utf8))
        }
        #expect(ranges.count > 50)
        Damage.flip(volume.content, in: ranges + [0..<90], count: 300, seed: 3, type: "ntfs")
        for length in [0, 1, 511, 512, 1 << 20] {
            #expect((try? FileSystemKind.open(MemoryVolume(Array(volume.content.prefix(length))))) == nil, "\(length)")
        }
    }
}
