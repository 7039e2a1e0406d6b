// SPDX-License-Identifier: GPL-3.0-or-later

internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// exFAT volumes made by mkfs.exfat(8) and filled through the exfat-fuse driver, and changes to their bytes.
enum ExFATVolumes {
    static let areAvailable =
        Tool.isInstalled("mkfs.exfat", "fsck.exfat", "dump.exfat", "mount.exfat-fuse") && LoopDevice.areAvailable
        && Mount.isPossible

    /// Makes, fills and ages a volume: files deleted, and others written into the gaps.
    static func make(
        in folder: TemporaryFolder, _ arguments: [String] = [], sectorSize: Int = 512, megabytes: Int = 40,
        many: Int = 300
    ) throws -> (file: String, tree: [String: String]) {
        let file = folder.file("image")
        try Tool.output("truncate", ["--size", "\(megabytes)M", file])
        let loop = try LoopDevice(file, sectorSize: sectorSize)
        try Tool.output("mkfs.exfat", arguments + [loop.path])
        let mount = try Mount(["-t", "exfat-fuse", loop.path], at: try folder.folder("mnt"), keeping: loop)
        return try withExtendedLifetime(mount) {
            try Trees.make(in: mount.folder, many: many, isForWindows: true)
            try age(mount.folder)
            return (file, try Trees.ofKernel(mount.folder))
        }
    }

    private static func age(_ folder: String) throws {
        var generator = SeededGenerator(seed: 17)
        try Trees.directory("\(folder)/aged")
        for index in 0..<120 {
            try SampleContent.write(generator.bytes(Int(generator.next() % 20_000)), to: "\(folder)/aged/\(index)")
        }
        for index in stride(from: 0, to: 120, by: 2) { unlink("\(folder)/aged/\(index)") }
        // Two files that grow by turns, and so into each other's way.
        let files = try ["one", "other"].map { try FileHandleOf("\(folder)/aged/\($0)") }
        for _ in 0..<20 { for file in files { try file.append(generator.bytes(9000)) } }
        for index in stride(from: 1, to: 120, by: 6) { unlink("\(folder)/aged/\(index)") }
    }

    /// A file that grows.
    private final class FileHandleOf {
        private let descriptor: Int32

        init(_ path: String) throws {
            descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw ToolError("cannot create \(path): errno \(errno)") }
        }

        deinit { close(descriptor) }

        func append(_ bytes: [UInt8]) throws {
            guard write(descriptor, bytes, bytes.count) == bytes.count else { throw ToolError("write: \(errno)") }
        }
    }

    /// Where things are in a volume with one allocation bitmap in one piece.
    struct Layout {
        let sector: Int
        let cluster: Int
        let count: Int
        let table: Int
        let tableLength: Int
        let heap: Int
        let root: Int
        /// Byte of the allocation bitmap, and of the entry that tells of it.
        private(set) var bitmap = 0
        private(set) var bitmapEntry = 0

        init(_ content: [UInt8]) throws {
            func number(_ place: Int, _ count: Int = 4) -> Int {
                (0..<count).reduce(0) { $0 | Int(content[place + $1]) << (8 * $1) }
            }
            sector = 1 << Int(content[108])
            cluster = sector << Int(content[109])
            count = number(92)
            table = number(80) * sector
            tableLength = number(84) * sector
            heap = number(88) * sector
            root = heap + (number(96) - 2) * cluster
            bitmapEntry = try #require(stride(from: root, to: root + cluster, by: 32).first { content[$0] == 0x81 })
            bitmap = heap + (number(bitmapEntry + 20) - 2) * cluster
        }
    }

    /// Puts the checksums of both boot regions right.
    static func sign(_ content: inout [UInt8], _ sector: Int) {
        for start in [0, 12 * sector] {
            var sum: UInt32 = 0
            for place in 0..<11 * sector where ![106, 107, 112].contains(place) {
                sum = (sum >> 1 | sum << 31) &+ UInt32(content[start + place])
            }
            for place in stride(from: 11 * sector, to: 12 * sector, by: 4) {
                for index in 0..<4 {
                    content[start + place + index] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * index))
                }
            }
        }
    }

    /// Puts the checksum of the entries at `place` right.
    static func signEntries(_ content: inout [UInt8], at place: Int) {
        var sum: UInt16 = 0
        for index in 0..<(Int(content[place + 1]) + 1) * 32 where index != 2 && index != 3 {
            sum = (sum >> 1 | sum << 15) &+ UInt16(content[place + index])
        }
        content[place + 2] = UInt8(truncatingIfNeeded: sum)
        content[place + 3] = UInt8(sum >> 8)
    }
}
