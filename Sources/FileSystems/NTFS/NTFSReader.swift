// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CNTFS
internal import Glibc
internal import Synchronization

/// Reads NTFS by libntfs-3g, mounted by it read-only and without recovery.
final class NTFSReader: FileSystemReader, @unchecked Sendable {
    /// MFT records below this one are the file system's own.
    private static let firstUserRecord: UInt64 = 16
    /// Of the library, which keeps things in static memory.
    private static let lock = Mutex(())

    let volume: String
    let kind = FileSystemKind.ntfs
    let uuid: String?
    let label: String?
    private(set) var state = FileSystemState.clean
    /// Record 5, whatever its sequence number is.
    let root = FileID(5)

    let bytes: VolumeBytes
    private let device: NTFSDevice
    private let system: UnsafeMutablePointer<ntfs_volume>

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        volume = bytes.name
        self.bytes = bytes
        let boot = try NTFSBootSector(bytes)
        uuid = boot.serialNumber
        let reading = NTFSDevice(bytes)
        device = reading
        // Out of the lock by a variable: its result would have to be sendable, which no pointer is.
        var opened: UnsafeMutablePointer<ntfs_volume>?
        Self.lock.withLock { _ in
            reading.beginCall()
            guard let device = reading.makeDevice() else { return }
            opened = ntfs_device_mount(device, ntfs_mount_flags(NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC))
            if opened == nil { ntfs_device_free(device) }
        }
        guard let opened else {
            if let failure = reading.failure { throw FileSystemError(bytes.name, .volume(failure)) }
            throw FileSystemError(bytes.name, .damaged("libntfs-3g cannot make sense of it"))
        }
        system = opened
        let name = opened.pointee.vol_name.map { String(cString: $0) }
        label = name.flatMap { $0.isEmpty ? nil : $0 }
        state = findState()
    }

    deinit {
        Self.lock.withLock { _ in
            device.beginCall()
            ntfs_umount(system, BOOL(1))
        }
    }

    private func findState() -> FileSystemState {
        // hiberfil.sys begins so when an operating system sleeps, or when Windows' fast startup put half of it to sleep.
        do throws(FileSystemError) {
            if let file = try locate("hiberfil.sys"), try status(of: file).type != .directory {
                let head = try content(of: file, at: 0, count: 4)
                if ["hibr", "rstr"].contains(String(decoding: head, as: UTF8.self).lowercased()) { return .hibernated }
            }
        } catch {
            return .unknown("whether a system sleeps on it: \(error.reason)")
        }
        return Self.lock.withLock { _ in
            device.beginCall()
            if cn_needs_check(system) != 0 { return .dirty }
            // $LogFile.
            guard let inode = ntfs_inode_open(system, 2) else { return .unknown("the log cannot be read") }
            defer { ntfs_inode_close(inode) }
            guard let log = cn_open_data(inode) else { return .unknown("the log cannot be read") }
            defer { ntfs_attr_close(log) }
            var page: UnsafeMutablePointer<RESTART_PAGE_HEADER>?
            defer { free(page) }
            guard ntfs_check_logfile(log, &page).rawValue != 0 else { return .unknown("the log is damaged") }
            return ntfs_is_logfile_clean(log, page).rawValue != 0 ? .clean : .needsRecovery
        }
    }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        try with(file) { inode throws(FileSystemError) in
            let type: FileType =
                cn_is_reparse_point(inode) != 0 ? .other : cn_is_directory(inode) != 0 ? .directory : .file
            return FileStatus(id: file, type: type, sizeInBytes: type == .file ? max(inode.pointee.data_size, 0) : 0)
        }
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        final class Listing {
            var entries: [DirectoryEntry] = []
            var isTooLarge = false
        }
        let listing = Listing()
        try with(directory) { inode throws(FileSystemError) in
            guard cn_is_directory(inode) != 0, cn_is_reparse_point(inode) == 0 else {
                throw error(directory, .notDirectory)
            }
            var position: Int64 = 0
            let code = ntfs_readdir(inode, &position, Unmanaged.passUnretained(listing).toOpaque()) {
                context, name, length, nameType, _, reference, _ in
                guard let context, let name, length > 0 else { return 0 }
                let listing = Unmanaged<Listing>.fromOpaque(context).takeUnretainedValue()
                guard listing.entries.count < NTFSReader.maximumEntries else {
                    listing.isTooLarge = true
                    return -1
                }
                // 2: a name for DOS, beside the real one.
                let record = reference & 0xffff_ffff_ffff
                guard nameType != 2, record >= NTFSReader.firstUserRecord else { return 0 }
                let units = UnsafeRawBufferPointer(start: name, count: Int(length) * 2)
                let text = String(
                    decoding: (0..<Int(length)).map { units.littleEndian(at: $0 * 2, as: UInt16.self) ?? 0 },
                    as: UTF16.self)
                if text != "." && text != ".." {
                    listing.entries.append(DirectoryEntry(name: text, id: FileID(reference)))
                }
                return 0
            }
            if listing.isTooLarge { throw error(directory, .tooLarge(limit: Self.maximumEntries)) }
            if code != 0 { throw failure(directory) }
        }
        return listing.entries
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        let entries = try entries(of: directory)
        if let same = entries.first(where: { $0.name == name }) { return same.id }
        let folded = name.lowercased()
        return entries.first { $0.name.utf8.count == folded.utf8.count && $0.name.lowercased() == folded }?.id
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        guard count <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        return try with(file) { inode throws(FileSystemError) in
            guard cn_is_directory(inode) == 0 else { throw error(file, .notFile) }
            // Files of system compression and deduplication are reparse points: their data are elsewhere.
            guard cn_is_reparse_point(inode) == 0 else { throw error(file, .unsupported("a reparse point")) }
            guard cn_is_encrypted(inode) == 0 else { throw error(file, .unsupported("encryption")) }
            guard let data = cn_open_data(inode) else { throw failure(file) }
            defer { ntfs_attr_close(data) }
            let size = data.pointee.data_size
            guard offset >= 0, count > 0, offset < size else { return [] }
            var result = [UInt8](repeating: 0, count: Int(min(Int64(count), size - offset)))
            var done = 0
            while done < result.count {
                let wanted = Int64(result.count - done)
                let got = result.withUnsafeMutableBytes {
                    ntfs_attr_pread(data, offset + Int64(done), wanted, $0.baseAddress.map { $0 + done })
                }
                guard got > 0, got <= wanted else { throw failure(file) }
                done += Int(got)
            }
            return result
        }
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String {
        // Reparse points name volumes by drive letters: they lead nowhere here.
        throw error(link, .notLink)
    }

    /// Opens the inode of `file` while `body` runs, under the lock.
    private func with<Result: Sendable>(
        _ file: FileID, _ body: (UnsafeMutablePointer<ntfs_inode>) throws(FileSystemError) -> Result
    ) throws(FileSystemError) -> Result {
        try Self.lock.withLock { _ throws(FileSystemError) in
            device.beginCall()
            guard let inode = ntfs_inode_open(system, file.number) else { throw failure(file) }
            defer { ntfs_inode_close(inode) }
            return try body(inode)
        }
    }

    private func failure(_ file: FileID) -> FileSystemError {
        let code = errno
        if let failure = device.failure { return error(file, .volume(failure)) }
        if code == ENOENT { return error(file, .notFound) }
        return error(file, .damaged("libntfs-3g says: \(String(cString: strerror(code)))"))
    }
}

/// The first sector of an NTFS volume.
struct NTFSBootSector {
    let serialNumber: String?

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        guard let sector = try bytes.fieldsIfPresent(at: 0, count: 512), Self.isPresent(sector) else {
            throw FileSystemError(bytes.name, .damaged("there is no NTFS boot sector"))
        }
        let serial: UInt64 = sector.little(72)
        serialNumber = hexadecimal(serial, width: 16).uppercased()
        let sectorSize = UInt64(sector.little(11, as: UInt16.self))
        let (length, overflow) = sector.little(40, as: UInt64.self).multipliedReportingOverflow(by: sectorSize)
        guard sectorSize >= 256, sectorSize <= 4096, sectorSize & (sectorSize - 1) == 0, !overflow,
            length <= UInt64(max(bytes.lengthInBytes, 0))
        else { throw FileSystemError(bytes.name, .damaged("its sectors do not fit the volume")) }
    }

    static func isPresent(_ sector: ByteFields) -> Bool { sector.text(3, 8) == "NTFS    " }
}
