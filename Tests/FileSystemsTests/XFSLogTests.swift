// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Logs of XFS as a cut of the power leaves them: never taken for clean, where xfs_logprint(8) says otherwise.
@Suite(.enabled(if: XFSVolume.isPossible))
struct XFSLogTests {
    private let folder: TemporaryFolder

    init() throws { folder = try XFSVolume.folder() }

    /// Where the log lies in an image, in bytes.
    private func log(_ volume: XFSVolume) throws -> Range<Int> {
        let text = try volume.database(["convert fsb \(field(volume, "logstart")) byte"])
        let start = try #require(text.firstMatch(of: /\(([0-9]+)\)/).flatMap { Int($0.output.1) })
        return start..<start + (try field(volume, "logblocks") * field(volume, "blocksize"))
    }

    private func field(_ volume: XFSVolume, _ name: String) throws -> Int {
        let text = try volume.database(["sb 0", "p \(name)"])
        return try #require(text.split { $0 == " " || $0 == "\n" }.last.flatMap { Int($0) }, "\(text)")
    }

    /// Writes much to the log, in many small records and in few large ones.
    private func work(_ folder: String, round: Int) throws {
        for index in 0..<400 { try Trees.write("", to: "\(folder)/r\(round)-\(index)") }
        let descriptor = open("\(folder)/synced", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        for index in 0..<150 {
            _ = ftruncate(descriptor, off_t(index * 700 + round))
            #expect(fsync(descriptor) == 0)
        }
        close(descriptor)
        for index in 0..<350 { unlink("\(folder)/r\(round)-\(index)") }
    }

    /// A log that was written while the machine stopped: any part of the last writes may be missing.
    ///
    /// The log as it was before them is laid over the one after, buffer by buffer.
    @Test(arguments: [
        ["-l", "size=2560b"], ["-l", "size=2560b,su=32768"], ["-l", "size=4608b,su=262144", "-d", "agcount=2"],
        ["-l", "size=8192b", "-b", "size=1024"],
    ]) func aLogThatWasCutOffIsNotClean(_ arguments: [String]) throws {
        let volume = try XFSVolume(in: folder, arguments, megabytes: 80)
        let log = try log(volume)
        var generator = SeededGenerator(seed: 17)
        var counts = [0, 0]
        for round in 0..<4 {
            let before = try MemoryVolume(file: volume.file)
            #expect(try state(before) == .clean)
            var during: [[UInt8]] = []
            try volume.mounted { folder in
                for part in 0..<2 {
                    try work(folder, round: round * 2 + part)
                    try Tool.output("sync", ["-f", folder])
                    during.append(Array(try SmallFile.read(volume.file, limit: 1 << 30)[log]))
                }
            }
            let after = Array(try SmallFile.read(volume.file, limit: 1 << 30)[log])
            #expect(try XFSVolume.isCleanForXfsprogs(volume.file))
            let stages = [Array(before.content[log])] + during + [after]
            var torn = before
            try SampleContent.write(torn.content, to: folder.file("torn-\(round)"))
            let file = try FileSink(resuming: folder.file("torn-\(round)"))
            for cut in 0..<10 {
                let pair = Int(generator.next() % UInt64(stages.count - 1))
                let content = tear(stages[pair], stages[pair + 1], most: 8192 << (cut % 6), &generator)
                torn.content.replaceSubrange(log, with: content)
                let isClean = try state(torn) == .clean
                try file.write(content, at: Int64(log.lowerBound))
                // It gives up on some.
                let said = try Tool.run("xfs_logprint", ["-t", folder.file("torn-\(round)")]).output
                let isCleanForXfsprogs = said.contains("<CLEAN>")
                #expect(!isClean || isCleanForXfsprogs, "round \(round), cut \(cut)")
                counts[isClean ? 1 : 0] += 1
            }
        }
        #expect(counts[0] > 20, "\(counts)")
    }

    /// The state as whoever skips free space sees it: with a closer look at the log.
    private func state(_ volume: MemoryVolume) throws -> FileSystemState? {
        guard let reader = try FileSystemKind.open(volume, type: "xfs") else { return nil }
        do throws(FileSystemError) {
            if reader.state == .clean { _ = try reader.spaceUse(SpaceOptions(isChecked: false)) }
        } catch {
            guard error.reason.contains("its log is not whole") else { throw error }
            return .needsRecovery
        }
        return reader.state
    }

    /// Returns `before` with some of what differs in `after`, in pieces of up to `most` bytes.
    private func tear(
        _ before: [UInt8], _ after: [UInt8], most: Int, _ generator: inout SeededGenerator
    ) -> [UInt8] {
        var torn = before
        var place = 0
        while place < before.count {
            let end = min(place + Int.random(in: 1...most / 512, using: &generator) * 512, before.count)
            if generator.next() % 3 > 0 { torn.replaceSubrange(place..<end, with: after[place..<end]) }
            place = end
        }
        return torn
    }

    /// Every stop of the machine at another place of the ring.
    @Test func aMountThatWasCutOffIsNotClean() throws {
        let volume = try XFSVolume(in: folder, ["-l", "size=2560b"], megabytes: 64)
        for round in 0..<4 {
            try volume.mounted { folder in
                try work(folder, round: round)
                try Tool.output("sync", ["-f", folder])
                #expect(try volume.reader().state == .needsRecovery)
                let flags = ["shutdown", "shutdown -f"][round % 2]
                try Tool.output("xfs_io", ["-x", "-c", flags, folder])
            }
            #expect(try volume.reader().state == .needsRecovery)
            #expect(try !XFSVolume.isCleanForXfsprogs(volume.file))
            // Replayed by the kernel, and unmounted.
            try volume.mounted { _ in }
            #expect(try volume.reader().state == .clean)
            _ = try volume.reader().spaceUse(SpaceOptions())
        }
    }

    /// Any bit of the unmount's record that is not as it was, and a log that was never written.
    @Test(arguments: [
        ["-l", "size=2560b"], ["-l", "size=2560b,su=65536"], ["-m", "crc=0", "-l", "version=1,size=10m"],
    ])
    func aLogThatIsDamagedIsNotClean(_ arguments: [String]) throws {
        let volume = try XFSVolume(in: folder, arguments, megabytes: 64)
        if !arguments.contains("crc=0") { try volume.mounted { try work($0, round: 0) } }
        let log = try log(volume)
        var image = try MemoryVolume(file: volume.file)
        #expect(try state(image) == .clean)
        var generator = SeededGenerator(seed: 18)
        let text = try Tool.output("xfs_logprint", ["-t", volume.file])
        let head = try #require(text.firstMatch(of: /head: (\d+)/).flatMap { Int($0.output.1) })
        // Magic number, round, version, length, place, UUID; and the rounds of blocks before and behind the head.
        var header = log.lowerBound + (head - 2) * 512
        while image.content[header..<header + 4] != [0xfe, 0xed, 0xba, 0xbe] { header -= 512 }
        var places = [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 16, 20, 23, 40, 43, 304, 319].map { header + $0 }
        for block in [-1, -2, 0, 1, 100, 3000] where block >= 0 || header < log.lowerBound + (head + block) * 512 {
            places.append(log.lowerBound + (head + block) % (log.count / 512) * 512 + 3)
        }
        for place in places {
            let bit = UInt8(1) << UInt8(generator.next() % 8)
            image.content[place] ^= bit
            #expect(try state(image) != .clean, "byte \(place - header) of the record at \(header)")
            image.content[place] ^= bit
        }
        #expect(try state(image) == .clean)
        // The last block of the ring in the highest round there can be, the first one in any other.
        let end = log.upperBound - 512
        image.content.replaceSubrange(end..<end + 4, with: [0xff, 0xff, 0xff, 0xff])
        #expect(try state(image) != .clean)
        image.content.replaceSubrange(log, with: [UInt8](repeating: 0, count: log.count))
        #expect(try state(image) != .clean)
    }
}
