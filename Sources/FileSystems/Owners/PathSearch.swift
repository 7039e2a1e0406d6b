// SPDX-License-Identifier: GPL-3.0-or-later

/// Finds names of inodes: all directories from the root on, until each inode has one.
///
/// Directories that cannot be read are passed over. Of several names of one file the first that is met is taken.
struct PathSearch {
    /// Most directories that are looked into, and that wait for it: some tens of megabytes.
    private static let maximumDirectories = 1 << 19
    /// Longest path that is built: PATH_MAX.
    private static let maximumPath = 4096

    private let reader: any FileSystemReader
    private let wanted: Set<UInt64>
    private let goesOn: @Sendable () -> Bool

    init(_ reader: any FileSystemReader, wanted: Set<UInt64>, goesOn: @escaping @Sendable () -> Bool) {
        self.reader = reader
        self.wanted = wanted
        self.goesOn = goesOn
    }

    /// The number that owners are known by: NTFS puts a sequence number above it.
    private func number(_ file: FileID) -> UInt64 {
        reader.kind == .ntfs ? file.number & 0xffff_ffff_ffff : file.number
    }

    /// Returns the paths found, by inode.
    func run() -> [UInt64: String] {
        var paths: [UInt64: String] = [:]
        if wanted.contains(number(reader.root)) { paths[number(reader.root)] = "/" }
        var seen: Set<UInt64> = [number(reader.root)]
        var waiting = [(id: reader.root, path: "")]
        while paths.count < wanted.count, goesOn(), let (directory, path) = waiting.popLast() {
            guard let entries = try? reader.entries(of: directory) else { continue }
            for entry in entries {
                let inode = number(entry.id)
                let name = "\(path)/\(entry.name)"
                guard name.utf8.count <= Self.maximumPath else { continue }
                if wanted.contains(inode), paths[inode] == nil { paths[inode] = name }
                guard entry.mayBeDirectory, seen.count < Self.maximumDirectories,
                    waiting.count < Self.maximumDirectories, seen.insert(inode).inserted
                else { continue }
                waiting.append((entry.id, name))
            }
        }
        return paths
    }
}
