// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport

/// Trees of files, made on the host, and looked at in two ways that must agree.
enum Trees {
    /// Fills `folder` with files of many sizes, links, a sparse file, and directories of up to `many` names.
    static func make(
        in folder: String, many: Int = 1200, seed: UInt64 = 1, isForWindows: Bool = false
    ) throws {
        var generator = SeededGenerator(seed: seed)
        try directory("\(folder)/etc")
        try write("ID=test\nVERSION_ID=\"1\"\n", to: "\(folder)/etc/os-release")
        try directory("\(folder)/sizes")
        for size in [0, 1, 59, 60, 61, 100, 511, 512, 513, 4095, 4096, 4097, 70_001, 1_300_007] {
            try SampleContent.write(generator.bytes(size), to: "\(folder)/sizes/\(size)")
        }
        // Holes between blocks of 4 KiB, with a tail behind the last one.
        var sparse = [UInt8](repeating: 0, count: 900_000)
        for block in stride(from: 0, to: sparse.count - 8192, by: 24576) {
            sparse.replaceSubrange(block..<block + 4096, with: generator.bytes(4096))
        }
        try SampleContent.write(sparse, to: "\(folder)/sizes/sparse")
        var deep = folder
        for level in 0..<20 {
            deep += "/level\(level)"
            try directory(deep)
        }
        try write("deep", to: "\(deep)/end")
        try directory("\(folder)/names")
        for name in ["a", String(repeating: "n", count: 255), "mit Leerzeichen", "größe-日本", ".hidden"] {
            try write(name, to: "\(folder)/names/\(name)")
        }
        if !isForWindows { try makeLinks("\(folder)/links") }
        for count in Set([3, 40, many]) where count <= many {
            try directory("\(folder)/many\(count)")
            for index in 0..<count { try write("\(index)", to: "\(folder)/many\(count)/file-number-\(index)") }
        }
    }

    private static func makeLinks(_ folder: String) throws {
        try directory(folder)
        for (name, target) in [
            ("short", "../etc/os-release"), ("absolute", "/etc/os-release"), ("loop", "loop"), ("nowhere", "no/where"),
            ("folder", "../etc"), ("escape", "../../../../etc/os-release"),
            ("long", String(repeating: "./", count: 120) + "../etc/os-release"),
            ("longest", String(repeating: "./", count: 430) + "../etc/os-release"),
        ] {
            guard symlink(target, "\(folder)/\(name)") == 0 else { throw ToolError("symlink: \(errno)") }
        }
    }

    static func directory(_ path: String) throws {
        guard mkdir(path, 0o755) == 0 else { throw ToolError("cannot make \(path): errno \(errno)") }
    }

    static func write(_ text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ToolError("cannot create \(path): errno \(errno)") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw ToolError("write: \(errno)") }
    }

    /// Describes every file below `folder` as the kernel shows it, by path.
    static func ofKernel(_ folder: String, below prefix: String = "") throws -> [String: String] {
        var found: [String: String] = [:]
        for name in try Folder.names(in: folder + prefix) where name != "lost+found" {
            let path = "\(prefix)/\(name)"
            var status = stat()
            guard lstat(folder + path, &status) == 0 else { throw ToolError("lstat \(path): \(errno)") }
            switch status.st_mode & S_IFMT {
            case S_IFDIR:
                found[path] = "directory"
                found.merge(try ofKernel(folder, below: path)) { one, _ in one }
            case S_IFLNK:
                var target = [UInt8](repeating: 0, count: 5000)
                let length = target.withUnsafeMutableBytes { buffer in
                    buffer.bindMemory(to: CChar.self).baseAddress.map { readlink(folder + path, $0, buffer.count) } ?? 0
                }
                found[path] = "link " + String(decoding: target.prefix(max(length, 0)), as: UTF8.self)
            case S_IFREG: found[path] = describe(try SmallFile.read(folder + path, limit: 1 << 30))
            default: found[path] = "other"
            }
        }
        return found
    }

    /// Describes every file of `reader` in the same words.
    static func ofReader(_ reader: any FileSystemReader) throws -> [String: String] {
        var found: [String: String] = [:]
        var waiting = [(path: "", id: reader.root)]
        while let next = waiting.popLast() {
            for entry in try reader.entries(of: next.id) where entry.name != "lost+found" {
                let path = "\(next.path)/\(entry.name)"
                let status = try reader.status(of: entry.id)
                switch status.type {
                case .directory:
                    found[path] = "directory"
                    waiting.append((path, entry.id))
                case .symbolicLink: found[path] = "link " + (try reader.linkTarget(of: entry.id))
                case .file:
                    found[path] = describe(
                        try reader.content(of: entry.id, at: 0, count: Int(status.sizeInBytes)))
                case .other: found[path] = "other"
                }
            }
        }
        return found
    }

    /// The same in this process for the same bytes only.
    private static func describe(_ bytes: [UInt8]) -> String {
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return "file of \(bytes.count) bytes, \(hasher.finalize())"
    }

    /// Returns the first lines in which the two differ, for a readable failure.
    static func differences(_ one: [String: String], _ other: [String: String]) -> [String] {
        Set(one.keys).union(other.keys).sorted().filter { one[$0] != other[$0] }.prefix(5).map {
            "\($0): \(one[$0] ?? "missing") | \(other[$0] ?? "missing")"
        }
    }
}

extension Trees {
    /// Returns the tree below `folder` as a protofile of mkfs.xfs(8), which knows no names with blanks.
    static func protofile(
        _ folder: String, isTop: Bool = true, without isLeftOut: (String) -> Bool
    ) throws -> String {
        var text = isTop ? "/dev/null\n0 0\nd--755 0 0\n" : ""
        for name in try Folder.names(in: folder) where !name.contains(" ") {
            let path = "\(folder)/\(name)"
            if isLeftOut(path) { continue }
            var status = stat()
            guard lstat(path, &status) == 0 else { throw ToolError("lstat \(path): \(errno)") }
            switch status.st_mode & S_IFMT {
            case S_IFDIR: text += "\(name) d--755 0 0\n" + (try protofile(path, isTop: false, without: isLeftOut))
            case S_IFLNK: text += "\(name) l--777 0 0 \(try Tool.output("readlink", ["-n", path]))\n"
            default: text += "\(name) ---644 0 0 \(path)\n"
            }
        }
        return text + "$\n"
    }
}

/// A volume in memory, whose bytes tests damage.
struct MemoryVolume: BlockSource {
    let name = "memory"
    let logicalSectorSize = 512
    let physicalSectorSize = 512
    var content: [UInt8]

    init(_ content: [UInt8]) { self.content = content }

    init(file: String) throws { content = try SmallFile.read(file, limit: 1 << 30) }

    var lengthInBytes: Int64 { Int64(content.count) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        content.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
        }
    }
}

/// Reading of damaged volumes: an error is fine, anything else is not.
enum Damage {
    /// Reads names, types, links and the first bytes of every file of `reader`, errors passed over.
    ///
    /// - Returns: how many files were seen.
    @discardableResult
    static func look(at reader: any FileSystemReader, most: Int = 150) -> Int {
        var waiting = [reader.root]
        var seen: Set<FileID> = []
        while let next = waiting.popLast(), seen.count < most {
            guard seen.insert(next).inserted, let status = try? reader.status(of: next) else { continue }
            switch status.type {
            case .directory: waiting += ((try? reader.entries(of: next)) ?? []).prefix(12).map(\.id)
            case .symbolicLink: _ = try? reader.linkTarget(of: next)
            case .file:
                _ = try? reader.content(of: next, at: 0, count: 5000)
                _ = try? reader.content(of: next, at: max(status.sizeInBytes - 10, 0), count: 10)
            case .other: break
            }
        }
        _ = try? reader.text("links/escape")
        _ = try? reader.find("file-number-7", in: reader.root)
        return seen.count
    }

    /// How many times more than usual is damaged: COLDCLONE_FLIPS, for a long run.
    static let factor = getenv("COLDCLONE_FLIPS").flatMap { Int(String(cString: $0)) } ?? 1

    /// Damages one byte at a time at `count` places of `ranges`, and looks.
    static func flip(_ content: [UInt8], in ranges: [Range<Int>], count: Int, seed: UInt64, type: String) {
        var generator = SeededGenerator(seed: seed)
        var volume = MemoryVolume(content)
        for _ in 0..<count * factor {
            guard let range = ranges.randomElement(using: &generator),
                let place = range.clamped(to: 0..<content.count).randomElement(using: &generator)
            else { continue }
            let value = volume.content[place]
            switch generator.next() % 3 {
            case 0: volume.content[place] ^= 1 << UInt8(generator.next() % 8)
            case 1: volume.content[place] = 0xff
            default: volume.content[place] = UInt8(truncatingIfNeeded: generator.next())
            }
            if let reader = try? FileSystemKind.open(volume, type: type) { look(at: reader) }
            volume.content[place] = value
        }
    }

    /// Returns the runs of blocks of `content` that hold anything, each of `blockSize` bytes, without bulk data.
    static func metadata(_ content: [UInt8], blockSize: Int = 4096, where isMetadata: (ArraySlice<UInt8>) -> Bool)
        -> [Range<Int>]
    {
        stride(from: 0, to: content.count - blockSize + 1, by: blockSize).compactMap { start in
            isMetadata(content[start..<start + blockSize]) ? start..<start + blockSize : nil
        }
    }
}
