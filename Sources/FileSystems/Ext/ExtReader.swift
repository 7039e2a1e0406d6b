// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CExt2fs
internal import Glibc
internal import Synchronization

/// Reads ext2, ext3 and ext4 by libext2fs, without its journal.
final class ExtReader: FileSystemReader, @unchecked Sendable {
    struct Manager: @unchecked Sendable { let pointer: io_manager }

    static let manager: Manager = {
        initialize_ext2_error_table()
        return Manager(pointer: ExtChannel.makeManager())
    }()

    let volume: String
    let kind: FileSystemKind
    let uuid: String?
    let label: String?
    let state: FileSystemState
    let root = FileID(UInt64(EXT2_ROOT_INO))

    let bytes: VolumeBytes
    private let channel: ExtChannel
    /// Of the library, which is not made for two threads: used under `lock` only.
    private let system: ext2_filsys
    private let lock = Mutex(())

    init(_ bytes: VolumeBytes) throws(FileSystemError) {
        let superblock = try ExtSuperblock(bytes)
        volume = bytes.name
        guard superblock.incompatible & ExtSuperblock.Feature.journalDevice == 0 else {
            throw FileSystemError(volume, .unsupported("a journal device"))
        }
        kind = superblock.kind
        uuid = superblock.uuid
        label = superblock.label
        self.bytes = bytes
        channel = ExtChannel(bytes)
        channel.beginCall()
        var opened: ext2_filsys?
        let flags = EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES | EXT2_FLAG_SKIP_MMP
        let code = ext2fs_open(channel.nameForLibrary, flags, 0, 0, Self.manager.pointer, &opened)
        guard code == 0, let opened else {
            throw Self.error(code, channel, volume: bytes.name, file: nil)
        }
        system = opened
        state = superblock.state == .clean ? Self.stateBesideSuperblock(superblock, opened, bytes) : superblock.state
    }

    /// Tells whether the journal and the block of multiple mount protection agree that nothing is under way.
    private static func stateBesideSuperblock(
        _ superblock: ExtSuperblock, _ system: ext2_filsys, _ bytes: VolumeBytes
    ) -> FileSystemState {
        let blockSize = UInt64(system.pointee.blocksize)
        func block(_ number: UInt64) -> ByteFields? {
            guard number < superblock.blockCount, let place = Int64(exactly: number * blockSize) else { return nil }
            return try? bytes.fields(at: place, count: 1024)
        }
        if superblock.mountProtectionBlock != 0 {
            let found = block(superblock.mountProtectionBlock)
            // Magic number, then the number that stands for nobody.
            guard found?.little(0) == UInt32(0x004d_4d50), found?.little(4) == UInt32(0xff4d_4d50) else {
                return .dirty
            }
        }
        let journal = superblock.journalInode
        guard journal != 0 else { return .clean }
        var place: blk64_t = 0
        guard ext2fs_bmap2(system, journal, nil, nil, 0, 0, nil, &place) == 0, place != 0,
            let found = block(place), found.big(0) == UInt32(0xc03b_3998)
        else { return .unknown("its journal cannot be read") }
        // Where the log begins: nowhere when it is empty.
        if found.big(28) != UInt32(0) { return .needsRecovery }
        // What went wrong when it was used last.
        return found.big(32) == UInt32(0) ? .clean : .dirty
    }

    // Frees memory only: unlike ext2fs_close(), it never writes.
    deinit { ext2fs_free(system) }

    func status(of file: FileID) throws(FileSystemError) -> FileStatus {
        try lock.withLock { _ throws(FileSystemError) in
            let inode = try self.inode(file)
            let type = FileType(mode: inode.i_mode)
            let high: UInt64 = type == .file ? UInt64(inode.i_size_high) << 32 : 0
            let size = high | UInt64(inode.i_size)
            return FileStatus(id: file, type: type, sizeInBytes: Int64(clamping: size))
        }
    }

    func entries(of directory: FileID) throws(FileSystemError) -> [DirectoryEntry] {
        final class Listing {
            var entries: [DirectoryEntry] = []
            var calls = 0
        }
        let listing = Listing()
        try lock.withLock { _ throws(FileSystemError) in
            guard try FileType(mode: inode(directory).i_mode) == .directory else {
                throw error(directory, .notDirectory)
            }
            // Empty blocks are asked for too, so that each block of a hostile directory is counted.
            let code = ext2fs_dir_iterate2(
                system, ext2_ino_t(directory.number), DIRENT_FLAG_INCLUDE_EMPTY, nil,
                { _, _, entry, offset, blockSize, _, context in
                    guard let context, let entry else { return DIRENT_ABORT }
                    let listing = Unmanaged<Listing>.fromOpaque(context).takeUnretainedValue()
                    listing.calls += 1
                    if listing.calls > ExtReader.maximumEntries { return DIRENT_ABORT }
                    let length = Int(entry.pointee.name_len & 0xff)
                    guard entry.pointee.inode != 0, length > 0, Int(offset) + 8 + length <= Int(blockSize) else {
                        return 0
                    }
                    let name = UnsafeRawBufferPointer(start: UnsafeRawPointer(entry) + 8, count: length)
                    let text = String(decoding: name, as: UTF8.self)
                    if text != "." && text != ".." {
                        // The upper byte is the type where the file system keeps it there, 0 where not; 2 is a directory.
                        let type = entry.pointee.name_len >> 8
                        listing.entries.append(
                            DirectoryEntry(
                                name: text, id: FileID(UInt64(entry.pointee.inode)),
                                mayBeDirectory: ![1, 3, 4, 5, 6, 7].contains(type)))
                    }
                    return 0
                }, Unmanaged.passUnretained(listing).toOpaque())
            try check(code, directory)
        }
        guard listing.calls <= Self.maximumEntries else {
            throw error(directory, .tooLarge(limit: Self.maximumEntries))
        }
        return listing.entries
    }

    func find(_ name: String, in directory: FileID) throws(FileSystemError) -> FileID? {
        let text = Array(name.utf8)
        guard !text.isEmpty, text.count <= 255 else { return nil }
        return try lock.withLock { _ throws(FileSystemError) -> FileID? in
            guard try FileType(mode: inode(directory).i_mode) == .directory else {
                throw error(directory, .notDirectory)
            }
            var found: ext2_ino_t = 0
            let code = text.withUnsafeBufferPointer { text in
                text.withMemoryRebound(to: CChar.self) { text in
                    ext2fs_lookup(
                        system, ext2_ino_t(directory.number), text.baseAddress, Int32(text.count), nil, &found)
                }
            }
            if code == Int(EXT2_ET_FILE_NOT_FOUND) { return nil }
            try check(code, directory)
            return found == 0 ? nil : FileID(UInt64(found))
        }
    }

    func content(of file: FileID, at offset: Int64, count: Int) throws(FileSystemError) -> [UInt8] {
        let status = try status(of: file)
        guard status.type == .file else { throw error(file, .notFile) }
        return try bytes(of: file, size: status.sizeInBytes, at: offset, count: count)
    }

    func linkTarget(of link: FileID) throws(FileSystemError) -> String {
        let fast = try lock.withLock { _ throws(FileSystemError) -> [UInt8]? in
            var inode = try self.inode(link)
            guard FileType(mode: inode.i_mode) == .symbolicLink else { throw error(link, .notLink) }
            guard inode.i_flags & UInt32(EXT4_ENCRYPT_FL) == 0 else { throw error(link, .unsupported("encryption")) }
            guard ext2fs_is_fast_symlink(&inode) != 0 else { return nil }
            let length = min(Int(inode.i_size), MemoryLayout.size(ofValue: inode.i_block))
            return withUnsafeBytes(of: inode.i_block) { Array($0.prefix(length)) }
        }
        if let fast { return String(decoding: fast, as: UTF8.self) }
        let size = try status(of: link).sizeInBytes
        guard size > 0, size <= 4096 else { throw error(link, .damaged("a symbolic link of \(size) bytes")) }
        return String(decoding: try bytes(of: link, size: size, at: 0, count: Int(size)), as: UTF8.self)
    }

    private func bytes(
        of file: FileID, size: Int64, at offset: Int64, count: Int
    ) throws(FileSystemError) -> [UInt8] {
        guard offset >= 0, count > 0, offset < size else { return [] }
        let wanted = Int(min(Int64(count), size - offset))
        guard wanted <= Self.maximumContent else { throw error(file, .tooLarge(limit: Self.maximumContent)) }
        return try lock.withLock { _ throws(FileSystemError) -> [UInt8] in
            var result = [UInt8](repeating: 0, count: wanted)
            var got: UInt32 = 0
            let inode = try self.inode(file)
            guard inode.i_flags & UInt32(EXT4_ENCRYPT_FL) == 0 else { throw error(file, .unsupported("encryption")) }
            var handle: ext2_file_t?
            try check(ext2fs_file_open(system, ext2_ino_t(file.number), 0, &handle), file)
            defer { ext2fs_file_close(handle) }
            try check(ext2fs_file_llseek(handle, UInt64(offset), EXT2_SEEK_SET, nil), file)
            let code = result.withUnsafeMutableBytes {
                ext2fs_file_read(handle, $0.baseAddress, UInt32($0.count), &got)
            }
            try check(code, file)
            guard Int(got) == wanted else { throw error(file, .damaged("\(got) of \(wanted) bytes could be read")) }
            return result
        }
    }

    /// Returns the inode of `file`; only under the lock.
    private func inode(_ file: FileID) throws(FileSystemError) -> ext2_inode {
        channel.beginCall()
        var inode = ext2_inode()
        guard let number = ext2_ino_t(exactly: file.number) else { throw error(file, .notFound) }
        try check(ext2fs_read_inode(system, number, &inode), file)
        return inode
    }

    /// Throws what `code` means; only under the lock.
    private func check(_ code: errcode_t, _ file: FileID) throws(FileSystemError) {
        if code != 0 { throw Self.error(code, channel, volume: volume, file: "inode \(file.number)") }
    }

    private static func error(
        _ code: errcode_t, _ channel: ExtChannel, volume: String, file: String?
    ) -> FileSystemError {
        if let failure = channel.failure { return FileSystemError(volume, file: file, .volume(failure)) }
        if code == Int(EXT2_ET_CANCEL_REQUESTED) {
            return FileSystemError(volume, file: file, .damaged("its structures lead in circles"))
        }
        return FileSystemError(volume, file: file, .damaged(String(cString: error_message(code))))
    }
}
