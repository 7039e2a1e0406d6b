// SPDX-License-Identifier: GPL-3.0-or-later

internal import FileSystems
internal import Synchronization

/// A hive of the Windows registry, read in pieces and never written; its transaction logs are left alone.
///
/// ```
/// 0       base block: `regf`, at 36 the root key's cell, at 40 the length of what follows
/// 4096    bins of cells; an offset counts from here, and leads to a cell's length (negative while in use)
/// nk      key: at 20 number of subkeys, 28 their list, 36 number of values, 40 their list, 72 length of the name, 76
/// lf lh   list of subkeys: at 2 their number, then an offset and a hash each; li has offsets only, ri leads to lists
/// vk      value: at 2 length of the name, 4 of the data (highest bit: in the offset's place), 8 data, 12 type, 20 name
/// ```
/// The format as "Windows registry file format specification" by M. Suhanov describes it.
final class RegistryHive: Sendable {
    /// A key, by its cell.
    struct Key: Sendable, Hashable {
        let cell: UInt32
    }

    /// What a value holds.
    enum Value: Sendable, Hashable {
        case text(String)
        case number(UInt32)
        case list([String])
        case binary

        /// The text, or the elements of a list with commas between them.
        var string: String? {
            switch self {
            case .text(let text): text
            case .list(let list): list.joined(separator: ",")
            case .number, .binary: nil
            }
        }
    }

    private static let baseSize: Int64 = 4096
    /// Most subkeys or values of a key that are looked at.
    private static let maximumChildren = 1 << 16
    /// Most bytes of a cell that are read: names and short values.
    private static let maximumCell = 1 << 20
    /// Most bytes of a cell that holds a key or a value: its name has at most 255 characters.
    private static let maximumRecord = 1024
    private static let pageSize = 32 << 10
    private static let maximumPages = 256
    /// Bytes that are looked at before a hive is taken for a maze.
    private static let budget = 512 << 20

    private let reader: any FileSystemReader
    private let file: FileID
    private let length: Int64
    private struct Cache {
        var pages: [Int64: [UInt8]] = [:]
        var budget = RegistryHive.budget
    }
    private let cache = Mutex(Cache())
    /// The topmost key.
    let root: Key

    /// Opens the hive at `path`; nil when there is none.
    init?(_ reader: any FileSystemReader, _ path: String) {
        guard let file = (try? reader.locate(path)).flatMap({ $0 }),
            let status = try? reader.status(of: file), status.type == .file,
            let base = try? reader.content(of: file, at: 0, count: 512), base.starts(with: Array("regf".utf8)),
            base.count == 512
        else { return nil }
        self.reader = reader
        self.file = file
        length = status.sizeInBytes
        root = Key(cell: Self.integer(base, 36))
    }

    /// Returns the key that `path` leads to from `key`, names without regard to case; nil when there is none.
    func key(_ path: String, from key: Key? = nil) -> Key? {
        var current = key ?? root
        for name in path.split(separator: "\\") {
            let wanted = name.lowercased()
            guard let next = subkeys(of: current).first(where: { $0.name.lowercased() == wanted }) else { return nil }
            current = next.key
        }
        return current
    }

    /// Returns the value called `name` of `key`.
    func value(_ name: String, of key: Key?) -> Value? {
        guard let key, let cell = record(key.cell, "nk") else { return nil }
        let count = Int(Self.integer(cell, 36, as: UInt32.self))
        guard count > 0, count <= Self.maximumChildren, let list = self.cell(Self.integer(cell, 40)) else { return nil }
        let wanted = name.lowercased()
        for index in 0..<min(count, list.count / 4) {
            guard let value = record(Self.integer(list, index * 4), "vk") else { continue }
            let nameLength = Int(Self.integer(value, 2, as: UInt16.self))
            let isNarrow = Self.integer(value, 16, as: UInt16.self) & 1 != 0
            guard Self.text(value, 20, nameLength, isNarrow: isNarrow).lowercased() == wanted else { continue }
            return decode(value)
        }
        return nil
    }

    /// Returns the text of a value, nil when it is missing, empty or no text.
    func text(_ name: String, of key: Key?) -> String? {
        value(name, of: key)?.string.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Returns a value that is a number.
    func number(_ name: String, of key: Key?) -> UInt32? {
        guard case .number(let number) = value(name, of: key) else { return nil }
        return number
    }

    /// Returns the keys below `key`.
    func subkeys(of key: Key) -> [(name: String, key: Key)] {
        guard let cell = record(key.cell, "nk"), Self.integer(cell, 20, as: UInt32.self) > 0 else { return [] }
        var offsets: [UInt32] = []
        collect(Self.integer(cell, 28), into: &offsets, depth: 0)
        return offsets.compactMap { offset in
            guard let child = record(offset, "nk") else { return nil }
            let isNarrow = Self.integer(child, 2, as: UInt16.self) & 0x20 != 0
            let length = Int(Self.integer(child, 72, as: UInt16.self))
            return (Self.text(child, 76, length, isNarrow: isNarrow), Key(cell: offset))
        }
    }

    /// Adds the cells of the keys in the list at `offset`.
    private func collect(_ offset: UInt32, into offsets: inout [UInt32], depth: Int) {
        guard let cell = cell(offset), cell.count >= 4 else { return }
        let kind = String(decoding: cell.prefix(2), as: UTF8.self)
        let width = kind == "lf" || kind == "lh" ? 8 : 4
        guard ["lf", "lh", "li", "ri"].contains(kind) else { return }
        let count = min(Int(Self.integer(cell, 2, as: UInt16.self)), (cell.count - 4) / width)
        for index in 0..<count where offsets.count < Self.maximumChildren {
            let child: UInt32 = Self.integer(cell, 4 + index * width)
            if kind != "ri" {
                offsets.append(child)
            } else if depth < 2 {
                collect(child, into: &offsets, depth: depth + 1)
            }
        }
    }

    /// Returns what a value's record holds.
    private func decode(_ record: [UInt8]) -> Value? {
        let size = Self.integer(record, 4, as: UInt32.self)
        var data: [UInt8]
        if size & 1 << 31 != 0 {
            data = Array(record.dropFirst(8).prefix(Int(min(size & .max >> 1, 4))))
        } else {
            guard size > 0 else { return .text("") }
            // Data of more than 16,344 bytes are spread over several cells: no name is that long.
            guard size <= 16344, let cell = cell(Self.integer(record, 8)), cell.count >= Int(size) else { return nil }
            data = Array(cell.prefix(Int(size)))
        }
        switch Self.integer(record, 12, as: UInt32.self) {
        // REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ, REG_DWORD.
        case 1, 2: return .text(Self.strings(data).first ?? "")
        case 7: return .list(Self.strings(data).filter { !$0.isEmpty })
        case 4: return data.count == 4 ? .number(Self.integer(data, 0)) : nil
        default: return .binary
        }
    }

    /// Returns the cell at `offset` when it begins with `signature`.
    private func record(_ offset: UInt32, _ signature: String) -> [UInt8]? {
        guard let cell = cell(offset, most: Self.maximumRecord), cell.count >= 20,
            cell.starts(with: Array(signature.utf8))
        else { return nil }
        return cell
    }

    /// Returns up to `most` bytes of the cell at `offset`; nil when there is none in use.
    private func cell(_ offset: UInt32, most: Int = maximumCell) -> [UInt8]? {
        let place = Self.baseSize + Int64(offset)
        guard offset != .max, offset % 8 == 0, let head = bytes(place, 4) else { return nil }
        let size = Int32(bitPattern: Self.integer(head, 0))
        guard size < -4, size >= Int32(-Self.maximumCell) else { return nil }
        return bytes(place + 4, min(Int(-size) - 4, most))
    }

    private func bytes(_ place: Int64, _ count: Int) -> [UInt8]? {
        guard place >= 0, Int64(count) <= length, place <= length - Int64(count) else { return nil }
        let isAllowed = cache.withLock { cache in
            cache.budget -= max(count, 64)
            return cache.budget > 0
        }
        guard isAllowed else { return nil }
        var result: [UInt8] = []
        while result.count < count {
            let position = place + Int64(result.count)
            let start = position / Int64(Self.pageSize) * Int64(Self.pageSize)
            guard let page = page(start) else { return nil }
            let piece = page.dropFirst(Int(position - start)).prefix(count - result.count)
            guard !piece.isEmpty else { return nil }
            result += piece
        }
        return result
    }

    private func page(_ start: Int64) -> [UInt8]? {
        if let page = cache.withLock({ $0.pages[start] }) { return page }
        guard let page = try? reader.content(of: file, at: start, count: Self.pageSize) else { return nil }
        cache.withLock { cache in
            if cache.pages.count >= Self.maximumPages { cache.pages.removeAll() }
            cache.pages[start] = page
        }
        return page
    }

    private static func integer<Integer: FixedWidthInteger>(
        _ bytes: [UInt8], _ offset: Int, as: Integer.Type = Integer.self
    ) -> Integer {
        var value: Integer = 0
        for index in (0..<MemoryLayout<Integer>.size).reversed() {
            guard bytes.indices.contains(offset + index) else { return 0 }
            value = value << 8 | Integer(truncatingIfNeeded: bytes[offset + index])
        }
        return value
    }

    /// Returns a name: in Latin-1 when it is narrow, else in UTF-16.
    private static func text(_ bytes: [UInt8], _ offset: Int, _ length: Int, isNarrow: Bool) -> String {
        let part = Array(bytes.dropFirst(offset).prefix(length))
        if isNarrow { return String(String.UnicodeScalarView(part.map { Unicode.Scalar($0) })) }
        return strings(part, separated: false).first ?? ""
    }

    /// Returns UTF-16 text, up to each zero.
    private static func strings(_ bytes: [UInt8], separated: Bool = true) -> [String] {
        let units = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        guard separated else { return [String(decoding: units, as: UTF16.self)] }
        return units.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF16.self) }
    }
}
