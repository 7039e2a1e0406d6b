// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Glibc
internal import Probing

/// Mounts the target of an unattended run, and unmounts it.
final class TargetMount {
    /// Where targets are mounted.
    static let folder = "/run/coldclone/target"

    let target: JobTarget
    private let patience: Patience
    private let reporter: AutoReporter
    private let cancellation: CancellationFlag
    /// Devices that may be written to only while the target is mounted.
    private var writable: [String] = []
    private var isMounted = false

    init(_ target: JobTarget, _ patience: Patience) {
        self.target = target
        self.patience = patience
        reporter = patience.reporter
        cancellation = patience.cancellation
    }

    /// The folder that the clone goes to.
    var path: String { if case .folder(let path) = target { path } else { Self.folder } }

    /// Whether it can be mounted again when it fails.
    var canBeMountedAgain: Bool { if case .folder = target { false } else { true } }

    /// Mounts the target, waiting for its server or disk.
    ///
    /// - Parameter sources: disks that are captured; a target on one of them is refused before it is touched.
    func mount(sources: [FileSource]) throws {
        switch target {
        case .folder(let path):
            do throws(BlockError) { _ = try Folder.names(in: path) } catch {
                throw AutoError(error.description, hint: "dir: names a folder that exists")
            }
        case .nfs(let export):
            reporter.tell(.mounting(target.description))
            try prepareFolder()
            try patience.wait(for: "the NFS server \(export.host)") { try mountNFS(export) }
        case .volume(let word):
            reporter.tell(.mounting(target.description))
            try prepareFolder()
            try patience.wait(for: "the disk \(word)") { try mountVolume(word, sources) }
        }
        isMounted = canBeMountedAgain
        let free = try Folder.freeSpace(in: path)
        reporter.tell(.mounted(target: target.description, at: path, freeInBytes: free))
    }

    /// Unmounts the target, so that everything is on it; one that has failed is given up.
    ///
    /// - Returns: why it is still mounted, or nil.
    @discardableResult
    func unmount(afterFailure: Bool = false) -> String? {
        guard isMounted else { return nil }
        isMounted = false
        var reason = unmount([])
        if reason != nil, afterFailure {
            if case .nfs = target, unmount(["-f"]) == nil { return nil }
            // Its files go with the last that uses them.
            reason = unmount(["-l"])
        } else {
            for device in writable { _ = try? DeviceAccess.set(readOnly: true, device) }
        }
        writable = []
        return reason
    }

    private func unmount(_ options: [String]) -> String? {
        do throws(HelperProgram.Failure) {
            // Not to be cancelled: what is written must get there.
            let result = try HelperProgram.run("umount", options + [Self.folder], secondsAtMost: 600)
            return result.status == 0 ? nil : result.lastError ?? "umount ends with \(result.status)"
        } catch {
            return "umount: \(error)"
        }
    }

    private func prepareFolder() throws {
        for path in ["/run/coldclone", Self.folder] where !Folder.exists(path) { try Folder.create(path) }
        let own = try Folder.deviceNumber(of: Self.folder)
        guard own != (try Folder.deviceNumber(of: "/run/coldclone")) else { return }
        // An earlier run left it there.
        if let reason = unmount([]) {
            throw AutoError("\(Self.folder) is in use: \(reason)", hint: "is another coldclone auto at work?")
        }
    }

    // MARK: NFS

    private func mountNFS(_ export: JobTarget.NFSExport) throws {
        let host = export.host.contains(":") ? "[\(export.host)]" : export.host
        // The kernel's own defaults are right: hard, so that a server that starts again costs time and no data.
        var options = ["nosuid", "nodev", "noexec", "noatime", "retry=0"]
        if let port = export.port { options.append("port=\(port)") }
        options += export.options
        // NFS version 3 locks through daemons that listen, on both sides; nobody else writes to a clone.
        if !options.contains(where: { $0 == "lock" || $0 == "nolock" || $0.hasPrefix("local_lock=") }) {
            options.append("nolock")
        }
        try mount(
            ["-t", "nfs", "\(host):\(export.path)", Self.folder, "-o", options.joined(separator: ",")],
            "nfs://\(host)\(export.path)")
    }

    /// Runs mount(8).
    private func mount(_ arguments: [String], _ name: String) throws {
        let result: HelperProgram.Result
        do throws(HelperProgram.Failure) {
            result = try HelperProgram.run(
                "mount", arguments, secondsAtMost: 90, goesOn: { !cancellation.isCancelled })
        } catch {
            switch error {
            case .cancelled: throw AutoError.cancelled
            case .tookTooLong: throw AutoError("cannot mount \(name): no answer for 90 s", isTransient: true)
            case .notFound, .notStarted: throw AutoError("cannot mount \(name): mount cannot be run")
            }
        }
        guard result.status != 0 else { return }
        let text = String(decoding: result.errors.suffix(4096), as: UTF8.self)
        let lasting = [
            "access denied", "No such file", "not permitted", "Permission denied", "not supported",
            "unknown filesystem",
            "incorrect mount option", "Invalid argument", "bad option", "wrong fs type", "is not a directory",
        ]
        throw AutoError(
            "cannot mount \(name): \(text.split(whereSeparator: \.isNewline).joined(separator: " "))",
            hint: text.contains("access denied")
                ? "does the server export it to this machine's address, writable?" : nil,
            isTransient: !lasting.contains { text.contains($0) })
    }

    // MARK: Disks

    /// File systems that a clone is written to.
    static let types = ["ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs", "exfat"]

    private func mountVolume(_ word: String, _ sources: [FileSource]) throws {
        let found = VolumeSearch.volumes(named: word)
        guard let volume = found.first else {
            throw AutoError(
                "there is no disk with the label or UUID \(word)", hint: "plug it in; lsblk -f shows labels",
                isTransient: true)
        }
        guard found.count == 1 else {
            throw AutoError(
                "\(found.map(\.device).joined(separator: " and ")) are both called \(word)",
                hint: "unplug one, or name the UUID: usb:UUID")
        }
        if let objection = try BlockStack().objection(toWriting: volume.device, sources: sources) {
            throw AutoError(objection, hint: "name another target, or name the disks to capture")
        }
        guard let type = volume.type, Self.types.contains(type) else {
            throw AutoError(
                "\(volume.device) holds \(volume.type ?? "several things at once"), which no clone is written to",
                hint: "use a disk with \(Self.types.joined(separator: ", ")); nothing is formatted here")
        }
        for device in Set([volume.disk, volume.device]).sorted() {
            if try DeviceAccess.set(readOnly: false, device) { writable.append(device) }
        }
        do {
            try mount(volume, type)
        } catch {
            for device in writable { _ = try? DeviceAccess.set(readOnly: true, device) }
            writable = []
            throw error
        }
    }

    private func mount(_ volume: FoundVolume, _ type: String) throws {
        let options = "rw,nosuid,nodev,noexec,noatime"
        var types = [type]
        // The kernel's own driver, else the one in user space.
        if type == "ntfs" { types = ["ntfs3", "ntfs-3g"] }
        if type == "exfat" { types = ["exfat", "exfat-fuse"] }
        var failure: (any Error)?
        for type in types {
            do {
                return try mount(["-t", type, "-o", options, volume.device, Self.folder], volume.device)
            } catch let error as AutoError where error.code != .cancelled {
                if failure == nil { failure = error }
            }
        }
        throw failure ?? AutoError.cancelled
    }
}
