// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Reads and writes the tar files that machines are recorded in.
///
/// POSIX pax interchange format, IEEE Std 1003.1 pax, "ustar Interchange Format" and "pax Header Block". Offsets in a
/// header of 512 bytes: name 0, mode 100, uid 108, gid 116, size 124, mtime 136, checksum 148, type 156, link 157,
/// magic 257, prefix 345; numbers in octal digits.
enum TarArchive {
    private static let block = 512
    /// Longest archive that is read, in bytes.
    static let maximumLength = 64 << 20
    /// Longest path in bytes: Linux's PATH_MAX.
    private static let maximumPath = 4096

    /// Returns an archive of `entries`, sorted by path, with no times or owners: the same entries give the same bytes.
    static func encode(_ entries: [String: Sysroot.Entry]) -> [UInt8] {
        var archive: [UInt8] = []
        for (path, entry) in entries.sorted(by: { $0.key < $1.key }) where path != "/" {
            let name = String(path.drop { $0 == "/" })
            switch entry {
            case .file(let content): append(&archive, name, type: "0", content: content)
            case .link(let target): append(&archive, name, type: "2", link: target)
            case .folder: append(&archive, name + "/", type: "5")
            }
        }
        return archive + [UInt8](repeating: 0, count: 2 * block)
    }

    private static func append(
        _ archive: inout [UInt8], _ name: String, type: Character, link: String = "", content: [UInt8] = []
    ) {
        var records = ""
        if name.utf8.count > 100 { records += record("path", name) }
        if link.utf8.count > 100 { records += record("linkpath", link) }
        if !records.isEmpty { archive += member("pax", type: "x", link: "", content: Array(records.utf8)) }
        archive += member(name, type: type, link: link, content: content)
    }

    /// A pax record counts its own length.
    private static func record(_ key: String, _ value: String) -> String {
        let rest = " \(key)=\(value)\n"
        var length = rest.utf8.count + 1
        while "\(length)".utf8.count + rest.utf8.count != length { length = "\(length)".utf8.count + rest.utf8.count }
        return "\(length)\(rest)"
    }

    private static func member(_ name: String, type: Character, link: String, content: [UInt8]) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: block)
        func put(_ bytes: some Sequence<UInt8>, _ offset: Int, _ limit: Int) {
            for (index, byte) in bytes.prefix(limit).enumerated() { header[offset + index] = byte }
        }
        func octal(_ value: Int, _ offset: Int, _ width: Int) {
            let digits = String(value, radix: 8)
            put((String(repeating: "0", count: max(width - 1 - digits.count, 0)) + digits).utf8, offset, width - 1)
        }
        put(name.utf8, 0, 100)
        octal(type == "5" ? 0o755 : 0o644, 100, 8)
        octal(0, 108, 8)
        octal(0, 116, 8)
        octal(content.count, 124, 12)
        octal(0, 136, 12)
        put(String(repeating: " ", count: 8).utf8, 148, 8)
        put(String(type).utf8, 156, 1)
        put(link.utf8, 157, 100)
        put(Array("ustar".utf8) + [0, 0x30, 0x30], 257, 8)
        let sum = header.reduce(0) { $0 + Int($1) }
        put(String(repeating: " ", count: 8).utf8, 148, 8)
        octal(sum, 148, 7)
        header[154] = 0
        let padding = (block - content.count % block) % block
        return header + content + [UInt8](repeating: 0, count: padding)
    }

    /// Reads an archive; members of other kinds than files, links and folders are left out.
    ///
    /// - Throws: `ProbeError` naming the byte where it is no archive any more.
    static func decode(_ archive: [UInt8], file: String) throws(ProbeError) -> [String: Sysroot.Entry] {
        var entries: [String: Sysroot.Entry] = [:]
        var position = 0
        var override: (path: String?, link: String?) = (nil, nil)
        while archive.count - position >= block {
            let header = archive[position..<position + block]
            if header.allSatisfy({ $0 == 0 }) { return entries }
            func text(_ offset: Int, _ count: Int) -> String {
                String(
                    decoding: header[header.startIndex + offset..<header.startIndex + offset + count].prefix {
                        $0 != 0
                    },
                    as: UTF8.self)
            }
            func octal(_ offset: Int, _ count: Int) -> Int? {
                Int(text(offset, count).filter { $0 != " " }, radix: 8)
            }
            var sum = header.reduce(0) { $0 + Int($1) }
            for offset in 148..<156 { sum += 32 - Int(header[header.startIndex + offset]) }
            guard octal(148, 8) == sum, let size = octal(124, 12), size >= 0 else {
                throw .damaged(file: file, reason: "there is no tar header at byte \(position)")
            }
            let start = position + block
            guard size <= archive.count - start else {
                throw .damaged(file: file, reason: "it ends within the member at byte \(position)")
            }
            let content = archive[start..<start + size]
            position = min(start + (size + block - 1) / block * block, archive.count)
            let prefix = text(345, 155)
            let path = override.path ?? (prefix.isEmpty ? text(0, 100) : "\(prefix)/\(text(0, 100))")
            guard path.utf8.count <= maximumPath, override.link?.utf8.count ?? 0 <= maximumPath else {
                throw .damaged(file: file, reason: "the member before byte \(position) has a path beyond all measure")
            }
            switch text(156, 1) {
            case "x":
                override = paxRecords(content)
                continue
            case "", "0": entries[absolute(path)] = .file(Array(content))
            case "2": entries[absolute(path)] = .link(override.link ?? text(157, 100))
            case "5": entries[absolute(path)] = .folder
            default: break
            }
            override = (nil, nil)
        }
        guard position == archive.count else {
            throw .damaged(file: file, reason: "it ends within a header, at byte \(position)")
        }
        return entries
    }

    private static func absolute(_ path: String) -> String {
        "/" + path.split(separator: "/").filter { $0 != "." && $0 != ".." }.joined(separator: "/")
    }

    private static func paxRecords(_ content: ArraySlice<UInt8>) -> (path: String?, link: String?) {
        var found: (path: String?, link: String?) = (nil, nil)
        var rest = content
        while let space = rest.firstIndex(of: 0x20), let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
            length > space - rest.startIndex + 1, length <= rest.count
        {
            let record = String(decoding: rest[(space + 1)..<(rest.startIndex + length - 1)], as: UTF8.self)
            if record.hasPrefix("path=") { found.path = String(record.dropFirst(5)) }
            if record.hasPrefix("linkpath=") { found.link = String(record.dropFirst(9)) }
            rest = rest.dropFirst(length)
        }
        return found
    }
}
