// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// A machine's sysroot in a tar file: for tests, and to be sent in with a report.
public enum MachineRecording {
    /// Returns a tar archive of everything that was read from `sysroot`, which is one that records.
    ///
    /// - Parameter includingIdentities: whether serial numbers, addresses and names of the machine stay as they are.
    public static func archive(of sysroot: Sysroot, includingIdentities: Bool) -> [UInt8] {
        let pseudonyms = Pseudonyms()
        var entries = sysroot.recording
        if !includingIdentities {
            for case (let path, .file(let content)) in entries {
                entries[path] = .file(pseudonyms.replace(content, at: path))
            }
        }
        return TarArchive.encode(entries)
    }

    /// Opens a folder, or a recording in a tar file.
    ///
    /// - Throws: `ProbeError` when there is neither, or the file is damaged.
    public static func open(_ path: String) throws(ProbeError) -> Sysroot {
        var isFolder = false
        do throws(BlockError) {
            _ = try Folder.names(in: path)
            isFolder = true
        } catch {
            if error.isNotFound { throw .io(error) }
        }
        if isFolder { return Sysroot(path) }
        let archive: [UInt8]
        do throws(BlockError) {
            archive = try SmallFile.read(path, limit: TarArchive.maximumLength)
        } catch {
            throw .io(error)
        }
        return Sysroot(entries: try TarArchive.decode(archive, file: path))
    }
}
