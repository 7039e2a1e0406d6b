// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// What a file system holds, and what of that a power cut would leave: only what was synchronised is sure to stay.
///
/// Of the rest any part may be there, in any order, torn at any sector; names and contents go each their own way.
/// A file is two files of the scratch folder, as it is and as it is durable, and a list of what lies between them.
struct ForgetfulDisk {
    /// A change that is not synchronised.
    enum Change {
        case write(offset: Int, bytes: [UInt8])
        case truncate(Int)
    }

    /// A change of a folder's names that is not synchronised.
    enum NameChange {
        case link(String, UInt64)
        case unlink(String)
        case rename(String, String, UInt64)
    }

    struct Node {
        var isFolder: Bool
        var names: [String: UInt64] = [:]
        var durableNames: [String: UInt64] = [:]
        var changes: [Change] = []
        var nameChanges: [NameChange] = []
        /// Descriptors of the two files.
        var current: Int32 = -1
        var durable: Int32 = -1
    }

    /// The root folder's number.
    static let root: UInt64 = 1

    private let scratch: String
    private(set) var nodes: [UInt64: Node] = [ForgetfulDisk.root: Node(isFolder: true)]
    private var nextNumber: UInt64 = 2

    init(scratch: String) { self.scratch = scratch }

    func close() {
        for node in nodes.values where !node.isFolder {
            Glibc.close(node.current)
            Glibc.close(node.durable)
        }
    }

    // MARK: What programs do

    func number(of name: String, in folder: UInt64) -> UInt64? { nodes[folder]?.names[name] }

    mutating func create(_ name: String, in folder: UInt64, isFolder: Bool) -> UInt64 {
        let number = nextNumber
        nextNumber += 1
        var node = Node(isFolder: isFolder)
        if !isFolder {
            node.current = unnamedFile()
            node.durable = unnamedFile()
        }
        nodes[number] = node
        nodes[folder]?.names[name] = number
        nodes[folder]?.nameChanges.append(.link(name, number))
        return number
    }

    mutating func unlink(_ name: String, in folder: UInt64) {
        nodes[folder]?.names[name] = nil
        nodes[folder]?.nameChanges.append(.unlink(name))
    }

    mutating func rename(_ name: String, to other: String, in folder: UInt64) {
        guard let number = nodes[folder]?.names[name] else { return }
        nodes[folder]?.names[name] = nil
        nodes[folder]?.names[other] = number
        nodes[folder]?.nameChanges.append(.rename(name, other, number))
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, to number: UInt64) {
        guard let node = nodes[number] else { return }
        _ = pwrite(node.current, bytes.baseAddress, bytes.count, off_t(offset))
        nodes[number]?.changes.append(.write(offset: offset, bytes: Array(bytes)))
    }

    mutating func truncate(_ number: UInt64, to length: Int) {
        guard let node = nodes[number] else { return }
        _ = ftruncate(node.current, off_t(length))
        nodes[number]?.changes.append(.truncate(length))
    }

    mutating func synchronize(_ number: UInt64) {
        guard let node = nodes[number] else { return }
        for change in node.changes { Self.apply(change, to: node.durable) }
        nodes[number]?.changes = []
        nodes[number]?.durableNames = node.names
        nodes[number]?.nameChanges = []
    }

    func length(of number: UInt64) -> Int {
        var status = stat()
        guard let node = nodes[number], !node.isFolder, fstat(node.current, &status) == 0 else { return 0 }
        return Int(status.st_size)
    }

    // MARK: The power cut

    /// Makes everything durable, and forgets what no name leads to.
    mutating func settle() {
        for number in nodes.keys { synchronize(number) }
        forgetNameless()
    }

    /// Leaves what a power cut leaves, as `generator` decides.
    mutating func cut(_ generator: inout SeededGenerator) {
        // Some disks keep the order of what they write, some do not.
        let keepsOrder = Bool.random(using: &generator)
        for number in nodes.keys.sorted() {
            guard var node = nodes[number] else { continue }
            if node.isFolder {
                let kept = Self.survivors(of: node.nameChanges, keepsOrder, &generator)
                for change in kept { Self.apply(change, to: &node.durableNames) }
                node.names = node.durableNames
                node.nameChanges = []
                nodes[number] = node
            } else {
                var kept = Self.survivors(of: node.changes, keepsOrder, &generator)
                if !keepsOrder { kept.shuffle(using: &generator) }
                for (index, change) in kept.enumerated() {
                    let isTorn = keepsOrder ? index == kept.count - 1 : Int.random(in: 0..<4, using: &generator) == 0
                    for part in isTorn ? Self.torn(change, &generator) : [change] { Self.apply(part, to: node.durable) }
                }
                nodes[number]?.changes = []
                restore(number)
            }
        }
        forgetNameless()
    }

    private static func survivors<Item>(
        of changes: [Item], _ keepsOrder: Bool, _ generator: inout SeededGenerator
    ) -> [Item] {
        if keepsOrder { return Array(changes.prefix(Int.random(in: 0...changes.count, using: &generator))) }
        let share = Int.random(in: 0...4, using: &generator)
        return changes.filter { _ in Int.random(in: 0..<4, using: &generator) < share }
    }

    /// Returns some sectors of a write; a truncation happens or not.
    private static func torn(_ change: Change, _ generator: inout SeededGenerator) -> [Change] {
        guard case .write(let offset, let bytes) = change else { return [change] }
        let end = Int.random(in: 0...bytes.count / 512, using: &generator) * 512
        let start = Bool.random(using: &generator) ? 0 : Int.random(in: 0...end / 512, using: &generator) * 512
        return start == end ? [] : [.write(offset: offset + start, bytes: Array(bytes[start..<end]))]
    }

    /// Makes a file as it is that which is durable of it.
    private func restore(_ number: UInt64) {
        var status = stat()
        guard let node = nodes[number], fstat(node.durable, &status) == 0 else { return }
        _ = ftruncate(node.current, 0)
        _ = ftruncate(node.current, status.st_size)
        var offset: off_t = 0
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { memory.deallocate() }
        while offset < status.st_size {
            // Images are sparse.
            let data = lseek(node.durable, offset, 3)
            guard data >= 0 else { break }
            let count = pread(node.durable, memory, 1 << 20, data)
            guard count > 0 else { break }
            _ = pwrite(node.current, memory, count, data)
            offset = data + off_t(count)
        }
    }

    private mutating func forgetNameless() {
        var reached: Set<UInt64> = [Self.root]
        var open = [Self.root]
        while let folder = open.popLast() {
            for number in nodes[folder]?.names.values.map({ $0 }) ?? [] where reached.insert(number).inserted {
                open.append(number)
            }
        }
        for (number, node) in nodes where !reached.contains(number) {
            if !node.isFolder {
                Glibc.close(node.current)
                Glibc.close(node.durable)
            }
            nodes[number] = nil
        }
    }

    private static func apply(_ change: Change, to file: Int32) {
        switch change {
        case .write(let offset, let bytes):
            _ = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, off_t(offset)) }
        case .truncate(let length): _ = ftruncate(file, off_t(length))
        }
    }

    private static func apply(_ change: NameChange, to names: inout [String: UInt64]) {
        switch change {
        case .link(let name, let number): names[name] = number
        case .unlink(let name): names[name] = nil
        case .rename(let name, let other, let number):
            if names[name] == number { names[name] = nil }
            names[other] = number
        }
    }

    private func unnamedFile() -> Int32 {
        var template = Array("\(scratch)/file.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        Glibc.unlink(template)
        return descriptor
    }
}
