// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import DiskImage
internal import DiskLayout
internal import SystemPackage
internal import TestSupport
internal import Testing
internal import Verification

/// Errors at every kind of place of a partitioned disk: what is lost is told by volume and by file.
@Suite(.enabled(if: Tool.isInstalled("sfdisk", "mke2fs", "debugfs", "ddrescuelog")))
struct LostFileTests {
    private static let partition: Int64 = 2 << 20
    private let length: Int64
    private let folder: TemporaryFolder
    private let disk: String
    private let volume: String

    init() throws { try self.init(megabytes: 8) }

    /// A GPT disk with ext4 as its second partition, on which a file of so many megabytes and a small one are.
    private init(megabytes: Int) throws {
        length = Int64(megabytes + 72) << 20
        folder = try TemporaryFolder(in: try #require(TemporaryFolder.parentOnDisk))
        disk = folder.file("disk.img")
        volume = folder.file("volume")
        let tree = try folder.folder("tree")
        try Tool.output("mkdir", ["-p", "\(tree)/var/lib/db"])
        try SampleContent.write(SampleContent.bytes(.random, length: megabytes << 20), to: "\(tree)/var/lib/db/big")
        try SampleContent.write(SampleContent.bytes(.random, length: 100_000, seed: 2), to: "\(tree)/var/small")
        try Tool.output("truncate", ["-s", "\(length - Self.partition - (1 << 20))", volume])
        try Tool.output("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, volume])
        try Tool.output("truncate", ["-s", "\(length)", disk])
        let layout = "label: gpt\nstart=2048, size=2048\nstart=4096\n"
        try Tool.output("sh", ["-c", "printf '\(layout.replacing("\n", with: "\\n"))' | sfdisk -q '\(disk)'"])
        try Tool.output("dd", ["if=\(volume)", "of=\(disk)", "bs=1M", "seek=2", "conv=notrunc", "status=none"])
    }

    /// First byte on the disk of block `index` of the file `path`.
    private func place(of path: String, block index: Int = 0) throws -> Int64 {
        let blocks = try Tool.output("debugfs", ["-R", "blocks \(path)", volume]).split { " \n".contains($0) }
        return Self.partition + (try #require(Int64(blocks[index]))) * 4096
    }

    /// Captures with `bad` places, free space left out or not, and expects a map that ddrescuelog takes.
    private func capture(_ bad: Range<Int64>, skipping: Bool = true) throws -> (DiskRecord, CloneState) {
        let plan = FaultPlan(.init(.read, in: bad, .fail(.ioError)))
        let source = CountingSource(FaultySource(WithoutHoles(base: try FileSource(disk)), plan))
        var captured = CaptureDisk(name: "sda", source: source)
        if skipping {
            let survey = try AllocationSurvey.read([source])
            captured.map = survey.maps[0]
            captured.places = survey.places[0]
        }
        var options = CaptureOptions(format: .raw)
        options.retries = 0
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try CaptureRun(folder, options).capture(disks: [captured])
        #expect(clock.now - start < .seconds(60))
        #expect(source.bytesRead < 4 * source.lengthInBytes, "\(source.bytesRead) of \(source.lengthInBytes) bytes")
        let state = outcome.manifest.state
        #expect(
            try CloneVerification(folder: outcome.folder).run().verdict == (state == .complete ? .verified : .degraded))
        if state == .degraded {
            let bytes = try Tool.output(
                "ddrescuelog", ["--list-blocks=-", "--block-size=512", "\(outcome.folder)/sda.map"])
            #expect(bytes.split(separator: "\n").count == outcome.manifest.disks[0].bytes.unreadable / 512)
        }
        // Everything else is there.
        let image = "\(outcome.folder)/sda.raw"
        if !skipping {
            if bad.lowerBound > 0 { try Tool.output("cmp", ["-n", "\(bad.lowerBound)", disk, image]) }
            try Tool.output("cmp", ["-i", "\(bad.upperBound)", disk, image])
        }
        return (outcome.manifest.disks[0], state)
    }

    private func expect(
        _ bad: Range<Int64>, skipping: Bool = true, _ content: [LostContentRecord]
    ) throws {
        let (record, state) = try capture(bad, skipping: skipping)
        #expect(state == .degraded && record.bytes.unreadable == bad.upperBound - bad.lowerBound)
        let loss = try #require(record.losses?.first { $0.volume?.hasSuffix("2") == true }, "\(record.losses ?? [])")
        #expect(loss.type == "ext4" && loss.lengthInBytes == bad.upperBound - bad.lowerBound)
        #expect(loss.content == content, "\(loss)")
    }

    @Test(arguments: [true, false]) func inAFile(skipping: Bool) throws {
        let place = try place(of: "/var/small", block: 3)
        try expect(
            place + 512..<place + 1024, skipping: skipping,
            [LostContentRecord(kind: "file", path: "/var/small", detail: nil, lengthInBytes: 512)])
    }

    @Test func inHundredMegabytesOfAFile() throws {
        let large = try LostFileTests(megabytes: 110)
        let place = try large.place(of: "/var/lib/db/big", block: 256)
        let (record, state) = try large.capture(place..<place + 100 << 20)
        #expect(state == .degraded && record.bytes.unreadable == 100 << 20)
        let content = try #require(record.losses?.first { $0.type == "ext4" }?.content)
        #expect(content.first?.kind == "file" && content.first?.path == "/var/lib/db/big", "\(content)")
        #expect(content.reduce(0) { $0 + $1.lengthInBytes } == 100 << 20)
        #expect((content.first?.lengthInBytes ?? 0) > 90 << 20)
    }

    @Test func inADirectory() throws {
        let place = try place(of: "/var/lib")
        try expect(
            place..<place + 512,
            [LostContentRecord(kind: "directory", path: "/var/lib", detail: nil, lengthInBytes: 512)])
    }

    @Test func inAnInodeTable() throws {
        let text = try Tool.output("debugfs", ["-R", "imap <2>", volume])
        let words = text.split { " ,\n\t".contains($0) }
        let word = try #require(words.firstIndex(of: "located"))
        let block = try #require(Int64(words[word + 3]))
        let place = Self.partition + block * 4096
        // The root's inode is lost: what files there are is not known, but what lies here is.
        try expect(
            place..<place + 512,
            [LostContentRecord(kind: "metadata", path: nil, detail: "inode table of group 0", lengthInBytes: 512)])
    }

    @Test func inFreeSpace() throws {
        let free = try #require(
            try AllocationSurvey.read([FileSource(disk)]).maps[0].gaps.max { $0.length < $1.length })
        let bad = free.offset + 8192..<free.offset + 8704
        let (record, state) = try capture(bad)
        #expect(state == .complete && record.bytes.unreadable == 0 && record.losses == nil)
        try expect(
            bad, skipping: false, [LostContentRecord(kind: "free", path: nil, detail: nil, lengthInBytes: 512)])
    }

    /// Without a superblock nobody knows what the volume is; without a GPT nothing is in a volume.
    @Test(arguments: [(Self.partition + 1024, true), (512, false), (0, false), (-512, false)])
    func whereNoFileIs(place: Int64, isInVolume: Bool) throws {
        let place = place < 0 ? length + place : place
        let (record, state) = try capture(place..<place + 512)
        #expect(state == .degraded && record.unreadable == [ByteRange(offset: place, length: 512)])
        let losses = try #require(record.losses)
        #expect(losses.count == 1 && losses[0].lengthInBytes == 512 && losses[0].content == nil, "\(losses)")
        #expect((losses[0].volume != nil) == isInVolume)
    }

    @Test(arguments: [false, true]) func hundredMegabytesAtAnEnd(isLast: Bool) throws {
        let large = try LostFileTests(megabytes: 60)
        let place = isLast ? large.length - (100 << 20) : 0
        let (record, state) = try large.capture(place..<place + 100 << 20, skipping: false)
        #expect(state == .degraded && record.unreadable == [ByteRange(offset: place, length: 100 << 20)])
    }
}
