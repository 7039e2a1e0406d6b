// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import FileSystems

/// The files of an installed system, those on other volumes that its fstab mounts included.
///
/// What cannot be read is as if it were not there: a cold look tells what it finds.
struct SystemTree {
    /// Most names of a directory that are looked at.
    static let maximumNames = 2048
    /// Most bytes of a configuration file.
    static let maximumText = 1 << 20

    let root: any FileSystemReader
    private var mounted: [(point: String, reader: any FileSystemReader)] = []

    init(_ root: any FileSystemReader) { self.root = root }

    /// Adds what the fstab mounts from volumes that can be opened, in directories that are looked at.
    mutating func mount(_ lines: [MountTable.Line], open: (String) -> (any FileSystemReader)?) {
        for line in lines
        where ["/boot", "/boot/efi", "/efi", "/usr", "/var", "/var/lib"].contains(line.entry.mountPoint) {
            guard line.entry.resolution == "local", let device = line.entry.device, var reader = open(device) else {
                continue
            }
            if reader.kind == .btrfs {
                // Subvolumes are named from the topmost one, whatever the default is.
                let top = RootedReader(reader, root: FileID(tree: 5, 256))
                guard let inner = try? RootedReader(top, at: line.subvolume ?? "/") else { continue }
                reader = inner
            }
            mounted.append((line.entry.mountPoint, reader))
        }
        mounted.sort { $0.point.utf8.count > $1.point.utf8.count }
    }

    private func place(_ path: String) -> (reader: any FileSystemReader, path: String) {
        for mount in mounted where path == mount.point || path.hasPrefix(mount.point + "/") {
            return (mount.reader, String(path.dropFirst(mount.point.count)))
        }
        return (root, path)
    }

    /// Returns the text of the file `path`, nil when there is none.
    func text(_ path: String) -> String? {
        let (reader, inner) = place(path)
        return try? reader.text(inner, limit: Self.maximumText)
    }

    /// Returns the names in the directory `path`, sorted, none when it is not there.
    func names(_ path: String) -> [String] {
        let (reader, inner) = place(path)
        return Array(((try? reader.names(in: inner)) ?? []).prefix(Self.maximumNames))
    }

    /// Tells whether there is anything at `path`.
    func exists(_ path: String) -> Bool {
        let (reader, inner) = place(path)
        return (try? reader.locate(inner)).flatMap { $0 } != nil
    }

    /// Tells whether `path` is a directory.
    func isDirectory(_ path: String) -> Bool {
        let (reader, inner) = place(path)
        return (try? reader.status(inner))?.type == .directory
    }
}
