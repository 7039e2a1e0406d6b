// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport
internal import Testing

/// exFAT made by mkfs.exfat(8), filled through the exfat-fuse driver.
@Suite(.enabled(if: ExFATVolumes.areAvailable)) struct ExFATReaderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk)) }

    @Test(
        arguments: [
            ([], 512, 40), (["-c", "512", "-L", "Größe"], 512, 40), (["-c", "131072"], 512, 160), ([], 4096, 60),
        ] as [([String], Int, Int)])
    func readsWhatWasPutIn(_ arguments: [String], sectorSize: Int, megabytes: Int) throws {
        let (file, tree) = try ExFATVolumes.make(
            in: folder, arguments, sectorSize: sectorSize, megabytes: megabytes, many: 600)
        let reader = try #require(try FileSystemKind.open(FileSource(file)))
        #expect(reader.kind == .exfat && reader.state == .clean)
        #expect(Trees.differences(try Trees.ofReader(reader), tree) == [])
        let blkid = try Tool.output("blkid", ["-p", "-o", "export", file])
        #expect(blkid.contains("\nTYPE=exfat\n") && blkid.contains("\nUUID=\(reader.uuid ?? "none")\n"))
        #expect(reader.label == (arguments.contains("-L") ? "Größe" : nil))
        // Case is ignored, by the volume's own table.
        #expect(try reader.text("ETC/Os-Release") == "ID=test\nVERSION_ID=\"1\"\n")
        #expect(try reader.text("Names/GRÖßE-日本") == "größe-日本")
        #expect(try reader.locate("etc/none") == nil)
        #expect(throws: FileSystemError.self) { try reader.text("etc") }
        #expect(throws: FileSystemError.self) { try reader.names(in: "etc/os-release") }
        let other = try #require(try reader.locate("aged/other"))
        let whole = try reader.read("aged/other", limit: 1 << 20)
        #expect(whole.count == 180_000)
        for (offset, count) in [(0, 1), (511, 3), (4095, 70_000), (179_990, 100)] {
            let part = try reader.content(of: other, at: Int64(offset), count: count)
            #expect(part == Array(whole[offset..<min(offset + count, whole.count)]), "\(offset)")
        }
    }

    @Test func tellsWhatIsNotClean() throws {
        var volume = try MemoryVolume(file: try ExFATVolumes.make(in: folder, many: 3).file)
        #expect(try FileSystemKind.open(volume)?.state == .clean)
        for flag: UInt8 in [2, 4] {
            volume.content[106] ^= flag
            #expect(try FileSystemKind.open(volume)?.state == .dirty)
            volume.content[106] ^= flag
        }
    }

    /// What was never written reads as zeros, whatever lies in its clusters.
    @Test func readsZerosBehindWhatIsValid() throws {
        var volume = try MemoryVolume(file: try ExFATVolumes.make(in: folder, many: 3).file)
        let reader = try #require(try FileSystemKind.open(volume))
        let id = try #require(try reader.locate("sizes/70001"))
        let entry = Int(id.number)
        for (place, byte) in [(0, 0x10), (1, 0x27), (2, 0)] as [(Int, UInt8)] {
            volume.content[entry + 32 + 8 + place] = byte
        }
        #expect(throws: FileSystemError.self) {
            try FileSystemKind.open(volume)?.read("sizes/70001", limit: 1 << 20)
        }
        ExFATVolumes.signEntries(&volume.content, at: entry)
        let whole = try reader.read("sizes/70001", limit: 1 << 20)
        let part = try #require(try FileSystemKind.open(volume)?.read("sizes/70001", limit: 1 << 20))
        #expect(part == whole.prefix(10_000) + [UInt8](repeating: 0, count: 60_001))
    }

    @Test func damageIsAnErrorAtMost() throws {
        let volume = try MemoryVolume(file: try ExFATVolumes.make(in: folder, megabytes: 20, many: 40).file)
        let layout = try ExFATVolumes.Layout(volume.content)
        let directories = Damage.metadata(volume.content, blockSize: 4096) {
            [0x85, 0x83, 0x81].contains($0[$0.startIndex])
        }
        #expect(directories.count > 5)
        Damage.flip(
            volume.content, in: directories + [0..<512, layout.table..<layout.table + 2000], count: 300, seed: 3,
            type: "exfat")
        for length in [0, 1, 511, 512, 1 << 20] {
            #expect((try? FileSystemKind.open(MemoryVolume(Array(volume.content.prefix(length))))) == nil, "\(length)")
        }
    }
}
