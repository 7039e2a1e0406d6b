// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// FAT made by mkfs.fat(8), filled by mcopy(1).
@Suite(.enabled(if: Tool.isInstalled("mkfs.vfat", "mcopy"))) struct FATReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func image(_ arguments: [String], megabytes: Int, many: Int = 300) throws -> String {
        let tree = try folder.folder("tree")
        try Trees.make(in: tree, many: many, isForWindows: true)
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        try Tool.output("mkfs.vfat", arguments + [file])
        let names = try Folder.names(in: tree).map { "\(tree)/\($0)" }
        let result = try Tool.run(
            "mcopy", ["-s", "-i", file] + names + ["::"], environment: ["LC_ALL=C.UTF-8", "MTOOLS_SKIP_CHECK=1"])
        #expect(result.status == 0, "\(result.errors)")
        return file
    }

    @Test(
        arguments: [
            (["-F", "12", "-s", "8"], 12), (["-F", "16", "-n", "ESP"], 40), (["-F", "32", "-S", "512", "-s", "1"], 40),
            (["-F", "32", "-S", "4096"], 300),
        ] as [([String], Int)])
    func readsWhatWasPutIn(_ arguments: [String], megabytes: Int) throws {
        let file = try image(arguments, megabytes: megabytes)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        #expect(reader.kind == .vfat && reader.state == .clean)
        #expect(
            Trees.differences(try Trees.ofReader(reader), try Trees.ofKernel(folder.file("tree"))) == [])
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", file])
        #expect(blkid.contains("\nTYPE=vfat\n") && blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-n") ? "ESP" : nil))
        // Case is ignored.
        #expect(try reader.text("ETC/Os-Release") == "ID=test\nVERSION_ID=\"1\"\n")
        #expect(try reader.locate("etc/none") == nil)
        let large = try #require(try reader.locate("sizes/1300007"))
        let whole = try SmallFile.read("\(folder.file("tree"))/sizes/1300007", limit: 2 << 20)
        for (offset, count) in [(0, 1), (511, 3), (4095, 70_000), (1_300_000, 100), (1_300_007, 1)] {
            let part = try reader.content(of: large, at: Int64(offset), count: count)
            #expect(part == Array(whole[offset..<min(offset + count, whole.count)]), "\(offset)")
        }
    }

    /// A chain that leads back to itself, in an entry that says it is 4 GiB long, ends with the volume.
    @Test func refusesAChainWithoutEnd() throws {
        let file = folder.file("image")
        try Tool.output("mkfs.vfat", ["-F", "16", "-s", "1", "-C", file, "4000"])
        try Tool.output("sh", ["-c", "seq 1000 | mcopy -i \(file) - ::LOOP.TXT"])
        var volume = try MemoryVolume(file: file)
        let name = Array("LOOP    TXT".utf8)
        let place = try #require(
            (0..<volume.content.count - 32).first { Array(volume.content[$0..<$0 + 11]) == name })
        let cluster = Int(volume.content[place + 26]) | Int(volume.content[place + 27]) << 8
        let table = (Int(volume.content[14]) | Int(volume.content[15]) << 8) * 512
        volume.content.replaceSubrange(
            table + cluster * 2..<table + cluster * 2 + 2, with: [UInt8(cluster & 0xff), UInt8(cluster >> 8)])
        volume.content.replaceSubrange(place + 28..<place + 32, with: [0xff, 0xff, 0xff, 0xff])
        let reader = try #require(try FileSystemKind.open(volume))
        let id = try #require(try reader.locate("loop.txt"))
        #expect(throws: FileSystemError.self) {
            try reader.content(of: id, at: Int64(UInt32.max) - 10, count: 10)
        }
        #expect(try reader.content(of: id, at: 0, count: 10) == Array("1\n2\n3\n4\n5\n".utf8))
    }

    @Test(arguments: [16, 32]) func tellsWhatIsNotClean(_ width: Int) throws {
        let file = try image(["-F", "\(width)"], megabytes: 40, many: 3)
        var volume = try MemoryVolume(file: file)
        #expect(try FileSystemKind.open(volume)?.state == .clean)
        volume.content[width == 32 ? 65 : 37] |= 1
        #expect(try FileSystemKind.open(volume)?.state == .dirty)
        volume = try MemoryVolume(file: file)
        let reserved = Int(volume.content[14]) | Int(volume.content[15]) << 8
        // The entry of cluster 1 in the first table: its highest bits, the upper four of FAT32 left out.
        volume.content[reserved * 512 + (width == 32 ? 7 : 3)] &= width == 32 ? 0x07 : 0x7f
        #expect(try FileSystemKind.open(volume)?.state == .dirty)
    }

    @Test(arguments: [["-F", "12", "-s", "8"], ["-F", "16"], ["-F", "32"]])
    func damageIsAnErrorAtMost(_ arguments: [String]) throws {
        let volume = try MemoryVolume(
            file: try image(arguments, megabytes: arguments.contains("12") ? 12 : 36, many: 40))
        // The tables and the first directories.
        let ranges = Damage.metadata(Array(volume.content.prefix(700 << 10)), blockSize: 512) { block in
            block.withUnsafeBytes { !$0.isAllZero } && block.filter { $0 == 0 }.count > 50
        }
        Damage.flip(volume.content, in: ranges + [0..<90], count: 120, seed: 3, type: "vfat")
        for length in [0, 1, 511, 512, 1 << 20] {
            #expect((try? FileSystemKind.open(MemoryVolume(Array(volume.content.prefix(length))))) == nil, "\(length)")
        }
    }
}
