// SPDX-License-Identifier: GPL-3.0-or-later

internal import FileSystems

/// A file system that is a list of paths: content, or `-> target` for a symbolic link.
final class MemoryTree: FileSystemReader {
    enum Node: Sendable {
        case file([UInt8])
        case link(String)
        case directory([String: UInt64])
    }

    let kind: FileSystemKind
    let volume = "memory"
    let uuid: String? = nil
    let label: String? = nil
    let state: FileSystemState
    let root = FileID(0)
    private let nodes: [Node]
    private let ignoresCase: Bool

    init(
        _ files: [String: String], bytes: [String: [UInt8]] = [:], kind: FileSystemKind = .ext4,
        state: FileSystemState = .clean
    ) {
        self.kind = kind
        self.state = state
        ignoresCase = kind == .ntfs || kind == .vfat
        var nodes: [Node] = [.directory([:])]
        let all = files.map { ($0.key, Array($0.value.utf8)) } + bytes.map { ($0.key, $0.value) }
        for (path, content) in all {
            var place = 0
            let names = path.split(separator: "/").map(String.init)
            for (index, name) in names.enumerated() {
                guard case .directory(var children) = nodes[place] else { break }
                if let known = children[name] {
                    place = Int(known)
                    continue
                }
                let text = String(decoding: content.prefix(1024), as: UTF8.self)
                let isLast = index == names.count - 1
                let leaf: Node = text.hasPrefix("-> ") ? .link(String(text.dropFirst(3))) : .file(content)
                nodes.append(isLast ? leaf : .directory([:]))
                children[name] = UInt64(nodes.count - 1)
                nodes[place] = .directory(children)
                place = nodes.count - 1
            }
        }
        self.nodes = nodes
    }

    /// The topmost directory has a number of its own in btrfs.
    private func node(_ file: FileID) -> Node { nodes[file == FileID(tree: 5, 256) ? 0 : Int(file.number)] }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        switch node(file) {
        case .file(let bytes): FileStatus(id: file, type: .file, sizeInBytes: Int64(bytes.count))
        case .link(let target): FileStatus(id: file, type: .symbolicLink, sizeInBytes: Int64(target.utf8.count))
        case .directory: FileStatus(id: file, type: .directory, sizeInBytes: 0)
        }
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        guard case .directory(let children) = node(directory) else {
            throw FileSystemError(volume, .notDirectory)
        }
        return children.map { DirectoryEntry(name: $0.key, id: FileID($0.value)) }
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        try entries(of: directory).first {
            ignoresCase ? $0.name.lowercased() == name.lowercased() : $0.name == name
        }?.id
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        guard case .file(let bytes) = node(file) else { throw FileSystemError(volume, .notFile) }
        return Array(bytes.dropFirst(Int(offset)).prefix(count))
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String {
        guard case .link(let target) = node(link) else { throw FileSystemError(volume, .notLink) }
        return target
    }
}
